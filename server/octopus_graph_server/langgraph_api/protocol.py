"""The agent streaming protocol of LangChain's newer clients: what a run says, by channel, namespace, content block.

A run's events, as stream modes name them, are translated when somebody listens, always the same way: a listener that
comes back names the last `seq` it knows and hears what follows.

    lifecycle   running, completed, failed, interrupted: of the run (namespace []) and of each subgraph
    messages    message-start, content-block-start, -delta, -finish, message-finish
    input       input.requested: an interrupt that waits for an answer
    values, updates, custom, tasks, checkpoints
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from octopus_graph.persistence.journal import Event
from octopus_graph.persistence.records import Document
from octopus_graph_server.langgraph_api.blocks import Blocks

__all__ = ["CHANNELS", "MODES", "PER_MS", "Filter", "Said", "Translator"]

CHANNELS = frozenset({"values", "updates", "messages", "tools", "lifecycle", "input", "checkpoints", "tasks", "custom"})
MODES = ["values", "updates", "messages-tuple", "custom", "tasks", "checkpoints"]
STATUS = {"success": "completed", "error": "failed", "timeout": "failed", "interrupted": "interrupted"}
PER_MS = 1000  # events of a thread are counted through all its runs: more than this a millisecond no run says

Said = dict[str, Any]


def _base_of(run: Document) -> int:
    """The number below those of a run's events: above all of the runs that went on before it on its thread."""
    return round((run.get("begun_at") or run["created_at"]) * 1000) * PER_MS


@dataclass(frozen=True)
class Filter:
    """What a listener wants to hear.

    Attributes:
        channels: The channels, `custom:<name>` among them.
        namespaces: Prefixes of namespaces; all if `None`.
        depth: How far below a prefix.
    """

    channels: frozenset[str]
    namespaces: list[list[str]] | None = None
    depth: int | None = None

    def takes(self, said: Said) -> bool:
        """Says whether an event is wanted."""
        method, params = said["method"], said["params"]
        channel = method.partition(".")[0]
        if channel == "custom" and "custom" not in self.channels:
            channel = f"custom:{params['data'].get('name')}"
        return channel in self.channels and self._near(params["namespace"])

    def _near(self, namespace: list[str]) -> bool:
        if not self.namespaces:
            return True
        return any(
            _below(namespace, prefix) and (self.depth is None or len(namespace) - len(prefix) <= self.depth)
            for prefix in self.namespaces
        )


def _below(namespace: list[str], prefix: list[str]) -> bool:
    """Says whether a namespace lies under a prefix, whose parts may be nodes without the id of a task."""
    if len(prefix) > len(namespace):
        return False
    return all(part in (one, one.partition(":")[0]) for one, part in zip(namespace, prefix, strict=False))


@dataclass
class Translator:
    """Translates one run's events, from the first on.

    Attributes:
        run: What is known of the run.
        graph: The graph's name.
        status: Tells the run's status once it has ended.
    """

    run: Document
    graph: str
    status: Callable[[], str]
    _count: int = 0
    _spaces: dict[tuple[str, ...], str] = field(default_factory=dict[tuple[str, ...], str])
    _asked: set[str] = field(default_factory=set[str])
    _failed: str | None = None
    _blocks: Blocks = field(default_factory=Blocks)

    def of(self, event: Event) -> Iterator[Said]:
        """Translates an event."""
        mode, *space = event.name.split("|")
        data = orjson.loads(event.data)
        if mode != "messages":
            for node, place, said in self._blocks.close(tuple(space)):
                yield self._said("messages", place, said, node)
        match mode:
            case "metadata":
                yield self._lifecycle([], "running")
            case "error":
                self._failed = data["message"]
            case "end":
                yield from self._end()
            case _:
                yield from self._opened(space)
                yield from self._of_mode(mode, space, data)

    def _of_mode(self, mode: str, space: list[str], data: Any) -> Iterator[Said]:  # noqa: C901 - one case each
        match mode:
            case "values":
                for interrupt in data.pop("__interrupt__", None) or ():
                    yield from self._input(space, interrupt)
                yield self._said("values", space, data)
            case "updates" if "__interrupt__" in data:
                for interrupt in data["__interrupt__"]:
                    yield from self._input(space, interrupt)
            case "updates":
                node = next(iter(data), None)
                yield self._said("updates", space, data, node)
                yield from self._closed(space, node)
            case "messages":
                chunk, metadata = data
                node = metadata.get("langgraph_node")
                for said in self._blocks.of(tuple(space), node, chunk):
                    yield self._said("messages", space, said, node)
            case "custom":
                named = cast(dict[str, Any], data) if isinstance(data, dict) else {}
                name = {"name": str(named["name"])} if named.get("name") else {}
                yield self._said("custom", space, {"payload": data, **name})
            case "checkpoints":
                yield self._said("checkpoints", space, _checkpoint(data))
            case "tasks":
                yield self._said("tasks", space, data)
            case _:
                pass  # debug and events have no channel

    def _input(self, space: list[str], interrupt: dict[str, Any]) -> Iterator[Said]:
        if interrupt["id"] not in self._asked:
            self._asked.add(interrupt["id"])
            value = interrupt["value"]
            # The schema says `payload`; LangGraph's Python client reads `value`.
            yield self._said(
                "input.requested", space, {"interrupt_id": interrupt["id"], "payload": value, "value": value}
            )

    def _opened(self, space: list[str]) -> Iterator[Said]:
        for length in range(1, len(space) + 1):
            part = tuple(space[:length])
            if part not in self._spaces:
                self._spaces[part] = "started"
                yield self._lifecycle(list(part), "started")

    def _closed(self, space: list[str], node: str | None) -> Iterator[Said]:
        for part, status in self._spaces.items():
            if status == "started" and list(part[:-1]) == space and part[-1].partition(":")[0] == node:
                self._spaces[part] = "completed"
                yield self._lifecycle(list(part), "completed")

    def _end(self) -> Iterator[Said]:
        final = "failed" if self._failed else "interrupted" if self._asked else STATUS.get(self.status(), "completed")
        for part, status in sorted(self._spaces.items(), key=lambda item: -len(item[0])):
            if status == "started":
                yield self._lifecycle(list(part), final)
        yield self._lifecycle([], final, self._failed)

    def _lifecycle(self, space: list[str], status: str, error: str | None = None) -> Said:
        name = space[-1].partition(":")[0] if space else self.graph
        return self._said(
            "lifecycle", space, {"event": status, "graph_name": name, **({"error": error} if error else {})}
        )

    def _said(self, method: str, space: list[str] | tuple[str, ...], data: Any, node: str | None = None) -> Said:
        self._count += 1
        base = _base_of(self.run)
        params: dict[str, Any] = {"namespace": list(space), "timestamp": base // PER_MS, "data": data}
        if node:
            params["node"] = node
        return {
            "type": "event",
            "event_id": f"{self.run['run_id']}:{self._count}",
            "seq": base + self._count,
            "method": method,
            "params": params,
        }


def _checkpoint(data: dict[str, Any]) -> dict[str, Any]:
    here: dict[str, Any] = data["checkpoint"] or {}
    before: dict[str, Any] = data["parent_checkpoint"] or {}
    about: dict[str, Any] = data["metadata"] or {}
    known = {"id": here.get("checkpoint_id"), "parent_id": before.get("checkpoint_id")}
    return {**{key: one for key, one in known.items() if one}, "step": about.get("step"), "source": about.get("source")}
