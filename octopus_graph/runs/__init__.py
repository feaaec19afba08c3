"""Runs that outlive the machine: queued and leased in Redis, walked by workers, resumed from their checkpoints.

Example:
    >>> from octopus_graph.persistence import open_saver
    >>> from octopus_graph.runs import RunQueue
    >>> with open_saver() as saver:  # doctest: +SKIP
    ...     queue = RunQueue(saver)
    ...     run = queue.submit("thread-1", "What is the derivative of x^3?")
    ...     queue.wait(run).status
    'done'

What holds: a run is not lost once `submit` has returned; one run at a time holds a thread, and Redis refuses the writes
of any other; a node that has finished does not run again; an answer that was recorded is not asked for again. An
expert whose answer was still on its way when its worker died is asked once more, under the same idempotency key.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from octopus_graph.runs.queue import Run, RunQueue, Status
    from octopus_graph.runs.worker import RunWorker

__all__ = ["Run", "RunQueue", "RunWorker", "Status"]

_HOMES = {"queue": ("Run", "RunQueue", "Status"), "worker": ("RunWorker",)}


def __getattr__(name: str) -> Any:
    """Imports a name when it is first asked for: workers need LangGraph's runtime, and those who submit do not."""
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"octopus_graph.runs.{home}"), name)
            return value
    raise AttributeError(f"module 'octopus_graph.runs' has no attribute {name!r}")
