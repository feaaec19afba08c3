"""The Engine seam: what a router needs of a language model, and nothing of experts or graphs.

An engine sees prompts made of segments and gives back scores or text. Whoever implements these two methods can carry a
router.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from octopus_graph.prompt import Prompt

__all__ = ["Embeds", "Engine"]


@runtime_checkable
class Engine(Protocol):
    """One language model, with named adapters that can be put on it per call."""

    @property
    def revision(self) -> str:
        """Names the weights: two engines that may answer differently have different revisions."""
        ...

    @property
    def adapters(self) -> Sequence[str]:
        """The names that `adapter=` accepts."""
        ...

    def score(
        self, prompts: Sequence[Prompt], tokens: Sequence[str], *, adapter: str | None = None
    ) -> list[list[float]]:
        """Scores single tokens as the next one after each prompt.

        Args:
            prompts: The prompts, in one batch.
            tokens: Special tokens of the model's vocabulary.
            adapter: The adapter to put on for this call; `None` for the model as it is.

        Returns:
            For each prompt the logit of each token, of shape (len(prompts), len(tokens)).
        """
        ...

    def complete(
        self, prompt: Prompt, *, stop: str, forbid: Sequence[str], max_tokens: int, adapter: str | None = None
    ) -> str:
        """Continues a prompt greedily.

        Args:
            prompt: What to continue.
            stop: The special token that ends the text; it is not part of the answer.
            forbid: Special tokens that may not be produced.
            max_tokens: The most tokens to produce.
            adapter: As in `score`.

        Returns:
            The text up to `stop`, or all of it where `max_tokens` came first.
        """
        ...


@runtime_checkable
class Embeds(Protocol):
    """What an engine can do beside that, and a semantic cache needs: say where a text lies among others."""

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Makes a vector of each text; those of texts that mean the same point the same way.

        Args:
            texts: Text that is not trusted.

        Returns:
            Vectors of one length, of shape (len(texts), dimensions).
        """
        ...
