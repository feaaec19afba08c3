"""Work in a thread that nobody has to wait for, so that an interrupt ends the program and not an expert's answer."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeVar, cast

__all__ = ["in_background"]

T = TypeVar("T")


@dataclass(frozen=True)
class _Failed:
    error: BaseException


_DONE = object()


def in_background(produce: Callable[[], Iterable[T]]) -> Iterator[T]:
    """Yields what an iterable gives, made in a daemon thread.

    LangGraph waits for its nodes when it is interrupted, and nodes wait for models; the main thread waits for neither.

    Example:
        >>> list(in_background(lambda: range(3)))
        [0, 1, 2]

    Args:
        produce: Makes the iterable; called in the thread.

    Raises:
        BaseException: What the iterable raised.
    """
    results: SimpleQueue[object] = SimpleQueue()

    def work() -> None:
        try:
            for item in produce():
                results.put(item)
        except BaseException as error:  # noqa: BLE001 - raised where the items are taken
            results.put(_Failed(error))
        else:
            results.put(_DONE)

    threading.Thread(target=copy_context().run, args=(work,), name="octopus-run", daemon=True).start()
    while (item := results.get()) is not _DONE:
        if isinstance(item, _Failed):
            raise item.error
        yield cast(T, item)
