"""Threads looked back on, with any LangGraph saver: listed, shown, their steps, a fork of one.

Example:
    >>> for thread in list_threads(saver, status="waiting"):  # doctest: +SKIP
    ...     print(thread.id, thread.question)
    >>> fork(saver, "yesterday", "what if", checkpoint=steps(saver, "yesterday")[3].checkpoint)  # doctest: +SKIP
"""

from octopus_graph.threads.forking import before_request, delete, exists, fork
from octopus_graph.threads.reading import (
    Saver,
    Size,
    Status,
    Step,
    Thread,
    list_threads,
    show,
    size_of,
    snapshot,
    steps,
    thread_ids,
)

__all__ = [
    "Saver",
    "Size",
    "Status",
    "Step",
    "Thread",
    "before_request",
    "delete",
    "exists",
    "fork",
    "list_threads",
    "show",
    "size_of",
    "snapshot",
    "steps",
    "thread_ids",
]
