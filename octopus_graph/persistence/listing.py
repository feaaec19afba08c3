"""One call of `list`: pages are fetched as they are asked for, a round trip each."""

from collections import deque
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple, get_checkpoint_id  # pyright: ignore[reportMissingTypeStubs]

from octopus_graph.effects import Logic
from octopus_graph.persistence import scripts
from octopus_graph.persistence.connecting import Link
from octopus_graph.persistence.layout import Values, index_key, quoted, thread_keys, thread_of

__all__ = ["Listing", "Selection"]

PAGE = 50


@dataclass(frozen=True)
class Selection:
    """Which checkpoints a call of `list` asks for; what is `None` or empty is left open."""

    thread: str | None
    space: str | None
    """The namespace, percent-encoded."""
    id: str
    below: str
    filter: dict[str, Any]
    limit: int | None

    @classmethod
    def of(
        cls,
        config: RunnableConfig | None,
        wanted: dict[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> "Selection":
        """Reads the arguments of `BaseCheckpointSaver.list`."""
        configurable: dict[str, Any] = config.get("configurable", {}) if config else {}
        thread, space = configurable.get("thread_id"), configurable.get("checkpoint_ns")
        return cls(
            None if thread is None else str(thread),
            None if space is None else quoted(str(space)),
            str(configurable.get("checkpoint_id") or ""),
            str(get_checkpoint_id(before) or "") if before else "",
            wanted or {},
            limit,
        )


class Listing:
    """The checkpoints that are asked for, newest first in each thread."""

    def __init__(self, link: Link, prefix: str, values: Values, selection: Selection) -> None:
        """Fetches nothing yet.

        Args:
            link: The way to Redis.
            prefix: What the keys begin with.
            values: How values become bytes.
            selection: What is asked for.
        """
        self._link = link
        self._prefix = prefix
        self._values = values
        self._selection = selection
        self._left = selection.limit
        self._threads = None if selection.thread is None else deque([selection.thread])
        # What is left of the thread that is being read: names that are known, or where its namespace goes on.
        self._thread = ""
        self._names: deque[bytes] = deque()
        self._next: str | None = None

    def page(self) -> Logic[list[CheckpointTuple] | None]:
        """Fetches the next checkpoints.

        Returns:
            Logic that ends in some of them, or in `None` where there are no more.
        """
        if self._threads is None:
            keys = yield from self._link.scan(thread_keys(self._prefix))
            self._threads = deque(sorted({thread_of(key) for key in keys}))
        while self._left is None or self._left > 0:
            if self._names:
                names = [self._names.popleft() for _ in range(min(self._most(), len(self._names)))]
                reply = yield from self._link.run(scripts.READ, self._key(), *names)
            elif self._next is not None:
                reply = yield from self._link.run(
                    scripts.PAGE, self._key(), self._selection.space or "", self._next, self._most()
                )
                self._next = reply[2].partition(b"\t")[2].decode() or None
            elif self._threads:
                self._thread = self._threads.popleft()
                yield from self._open()
                continue
            else:
                return None
            if found := self._chosen(reply):
                return found
        return None

    def _open(self) -> Logic[None]:
        selection = self._selection
        if selection.space is not None and not selection.id:
            self._next = selection.below
            return
        if selection.space is not None:
            names = [f"{selection.space}\t{selection.id}".encode()]
        else:  # of all namespaces, which the index does not sort by age
            names = cast(list[bytes], (yield from self._link.command("ZRANGE", self._key(), 0, -1)))
        chosen = [(name.partition(b"\t")[2], name) for name in names]
        only, below = selection.id.encode(), selection.below.encode()
        chosen = [(one, name) for one, name in chosen if (not only or one == only) and (not below or one < below)]
        self._names = deque(name for _, name in sorted(chosen, reverse=True))

    def _chosen(self, reply: Any) -> list[CheckpointTuple]:
        found: list[CheckpointTuple] = []
        for unread in self._values.load_tuples(self._thread, reply):
            if self._left is not None and len(found) >= self._left:
                break
            metadata = unread.metadata()
            if all(metadata.get(name) == value for name, value in self._selection.filter.items()):
                found.append(unread.read(metadata))
        if self._left is not None:
            self._left -= len(found)
        return found

    def _most(self) -> int:
        return PAGE if self._left is None or self._selection.filter else min(PAGE, self._left)

    def _key(self) -> str:
        return index_key(self._prefix, self._thread)
