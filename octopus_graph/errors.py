"""Every error octopus-graph raises on purpose.

    OctopusError
    ├── InputError              the request cannot be used as it is
    ├── ConfigurationError      the graph was wired wrongly; raised while it is built
    │   ├── SpecError           a graph file is broken (names file, line and field)
    │   ├── UnknownExpertError  a name that no expert of the graph bears
    │   └── AdapterError        an adapter or checkpoint that does not fit the base model
    ├── WeightsError            a model file is broken or is not what it says it is
    │   └── ModelNotFoundError  a model is missing and could not be fetched
    │       └── NetworkError    … because the network failed: worth another try
    ├── MissingExtraError       an optional package is not installed
    ├── ParseError              a router's output is not in the wire format
    ├── ExpertError             an expert failed, and so did its retries and its fallback
    ├── UnknownThreadError      a thread or a checkpoint that is not in the store
    ├── StoreError              Redis cannot be reached, refuses, or has lost what it was given
    │   └── StaleRunError       somebody else holds the thread by now: this run writes no more
    ├── RunError                a queued run that is not in the state it was asked for
    └── TrainingError           training data or a training run went wrong

Each message is one sentence that says what to do. The command line prints it and exits with `exit_code`.
"""

from collections.abc import Mapping
from typing import ClassVar

__all__ = [
    "AdapterError",
    "ConfigurationError",
    "ExpertError",
    "InputError",
    "MissingExtraError",
    "ModelNotFoundError",
    "NetworkError",
    "OctopusError",
    "ParseError",
    "RunError",
    "SpecError",
    "StaleRunError",
    "StoreError",
    "TrainingError",
    "UnknownExpertError",
    "UnknownThreadError",
    "WeightsError",
]


class OctopusError(Exception):
    """The root of the tree: catch this to catch all of them."""

    exit_code: ClassVar[int] = 1


class InputError(OctopusError):
    """The request is empty, too long, or not text."""

    exit_code: ClassVar[int] = 2


class ConfigurationError(OctopusError):
    """The graph cannot be built from what was given."""

    exit_code: ClassVar[int] = 2


class SpecError(ConfigurationError):
    """A graph file is broken; the message names file, line and field."""


class UnknownExpertError(ConfigurationError):
    """A name that no expert of the graph bears."""

    def __init__(self, name: str, known: list[str], where: str = "") -> None:
        """Builds the sentence from the unknown name and the known ones.

        Args:
            name: The name that was asked for.
            known: The names that exist.
            where: What named it, put before the sentence, such as `neighbours of math`.
        """
        self.name = name
        self.known = known
        prefix = f"{where}: " if where else ""
        super().__init__(f"{prefix}there is no expert {name!r}; the experts are {', '.join(known)}.")


class AdapterError(ConfigurationError):
    """An adapter does not fit the base model it is put on."""


class WeightsError(OctopusError):
    """A model file is broken, or its checksum is not the pinned one."""


class ModelNotFoundError(WeightsError):
    """A model is neither here nor to be fetched."""


class NetworkError(ModelNotFoundError):
    """The network failed: the one failure that is worth another try."""


class MissingExtraError(OctopusError):
    """An optional package is needed and not installed."""

    def __init__(self, extra: str, what: str) -> None:
        """Builds the sentence.

        Args:
            extra: The extra of this distribution that brings the package.
            what: What needs it.
        """
        self.extra = extra
        super().__init__(f"{what} needs the extra {extra!r}: pip install 'octopus-graph[{extra}]'.")


class ParseError(OctopusError):
    """The text is not a functional token with its argument."""


class ExpertError(OctopusError):
    """An expert could not answer, and nobody in its place could."""

    def __init__(self, failures: Mapping[str, str]) -> None:
        """Builds the sentence.

        Args:
            failures: Why each expert that was asked did not answer: first the one meant, then its fallbacks.
        """
        self.failures = dict(failures)
        (name, reason), *others = self.failures.items()
        tried = "".join(f", nor did its fallback {other!r} ({why})" for other, why in others)
        advice = "raise its timeout or retries" if others else "give it a fallback, a longer timeout or more retries"
        super().__init__(f"The expert {name!r} did not answer ({reason}){tried}: ask again, or {advice}.")


class UnknownThreadError(OctopusError):
    """A thread, or a checkpoint of it, that the store does not hold."""

    def __init__(self, thread: str, checkpoint: str | None = None) -> None:
        """Builds the sentence.

        Args:
            thread: The thread's id.
            checkpoint: The id of the checkpoint that was wanted, where the thread itself may be there.
        """
        self.thread = thread
        self.checkpoint = checkpoint
        if checkpoint is None:
            super().__init__(f"There is no thread {thread!r}: octopus-graph threads list names those there are.")
        else:
            super().__init__(
                f"The thread {thread!r} has no checkpoint {checkpoint!r}: octopus-graph threads history names its own."
            )


class StoreError(OctopusError):
    """Redis cannot be reached, or refuses, or has lost what it was given."""


class StaleRunError(StoreError):
    """A run wrote after its lease was over, and somebody else holds the thread by now: nothing was written."""

    def __init__(self, thread: str) -> None:
        """Builds the sentence.

        Args:
            thread: The thread that was to be written to.
        """
        self.thread = thread
        super().__init__(f"This run no longer holds the thread {thread!r}: leave it to whoever holds it now.")


class RunError(OctopusError):
    """A queued run is not there, or not in the state that what was asked of it needs."""


class TrainingError(OctopusError):
    """The training data or the run cannot be used."""
