"""Threads read: listed, shown, measured, their steps.

Everything is listed and nothing got: a saver with a TTL keeps alive what it gives out, and a look must not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Literal, Protocol, cast, runtime_checkable

from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (  # pyright: ignore[reportMissingTypeStubs]
    BaseCheckpointSaver,
    CheckpointTuple,
)

from octopus_graph.errors import StoreError, UnknownThreadError

__all__ = [
    "Saver",
    "Size",
    "Status",
    "Step",
    "Thread",
    "configurable",
    "light",
    "list_threads",
    "made_at",
    "parent_id",
    "show",
    "size_of",
    "snapshot",
    "steps",
    "thread_ids",
    "upcoming",
]

Saver = BaseCheckpointSaver[Any]
Status = Literal["done", "waiting", "unfinished", "broken"]
"""`waiting`: for a human. `unfinished`: whoever ran it stopped, or runs it still. `broken`: it cannot be read."""

INTERRUPT = "__interrupt__"
_BRANCH = "branch:to:"  # LangGraph's channels that say which node is next
_START = "__start__"


@runtime_checkable
class _NamesThreads(Protocol):
    """A saver that can name its threads without reading them, such as RedisSaver."""

    def thread_ids(self) -> Iterator[str]: ...


@dataclass(frozen=True)
class Thread:
    """A thread as its newest checkpoint has it.

    Attributes:
        id: Its name.
        status: Where it stands.
        updated: When that checkpoint was made.
        checkpoint: That checkpoint's id.
        values: What the graph keeps; those of an octopus graph are `octopus_graph.state.OctopusState`.
        next: The nodes that come next.
        question: What a human is asked, where it waits for one.
        trouble: Why it is broken.
    """

    id: str
    status: Status
    updated: datetime | None = None
    checkpoint: str = ""
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    next: tuple[str, ...] = ()
    question: Any = None
    trouble: str = ""

    @property
    def messages(self) -> Sequence[AnyMessage]:
        """Its messages, where the graph keeps any."""
        found = self.values.get("messages")
        return cast("list[AnyMessage]", found) if isinstance(found, list) else []

    @property
    def turns(self) -> int:
        """How often a human spoke."""
        return sum(isinstance(message, HumanMessage) for message in self.messages)


@dataclass(frozen=True)
class Size:
    """What a thread takes: its checkpoints, and its values in the saver's own form, each once."""

    checkpoints: int
    bytes: int


@dataclass(frozen=True)
class Step:
    """One checkpoint of a thread.

    Attributes:
        checkpoint: Its id.
        parent: The id of the one it followed.
        at: When it was made.
        step: LangGraph's number of it.
        source: What made it: `input`, `loop`, `update` or `fork`.
        ran: The nodes that ran since its parent; empty where the parent is gone.
        decision: The decision made by them.
        next: The nodes that come next.
        question: What a human is asked there.
    """

    checkpoint: str
    parent: str | None
    at: datetime
    step: int | None
    source: str
    ran: tuple[str, ...]
    decision: Mapping[str, Any] | None
    next: tuple[str, ...]
    question: Any = None


def thread_ids(saver: Saver) -> Iterator[str]:
    """Names the threads of a saver, each once; a saver that cannot name them is read whole."""
    if isinstance(saver, _NamesThreads):
        yield from saver.thread_ids()
        return
    # Whole before it goes on: the saver on SQLite holds its lock while it is read.
    yield from list(dict.fromkeys(configurable(found.config)["thread_id"] for found in saver.list(None)))


def list_threads(
    saver: Saver,
    pattern: str = "*",
    *,
    status: Status | None = None,
    since: datetime | None = None,
    limit: int | None = None,
) -> list[Thread]:
    """Lists threads, the one that was written to last first.

    Args:
        saver: Where they are.
        pattern: What their names look like, as shells have it: `ada-*`.
        status: Only those that stand so.
        since: Only those written to since then.
        limit: The most of them.
    """
    chosen: list[tuple[float, str]] = []  # without their values: there may be many
    for name in thread_ids(saver):
        thread = _look(saver, name) if fnmatchcase(name, pattern) else None
        if thread is None or (status is not None and thread.status != status):
            continue
        if since is None or (thread.updated is not None and thread.updated >= since):
            chosen.append((thread.updated.timestamp() if thread.updated else 0.0, name))
    chosen.sort(reverse=True)
    return [thread for _, name in chosen[:limit] if (thread := _look(saver, name)) is not None]


def show(saver: Saver, thread: str, checkpoint: str | None = None) -> Thread:
    """Reads a thread as it stands, or as it stood at a checkpoint.

    Raises:
        UnknownThreadError: If there is no such thread or checkpoint.
    """
    return _thread(thread, snapshot(saver, thread, checkpoint))


def snapshot(saver: Saver, thread: str, checkpoint: str | None = None) -> CheckpointTuple:
    """Reads the newest checkpoint of a thread, or a certain one, and keeps nothing alive by it.

    Raises:
        UnknownThreadError: If there is no such thread or checkpoint.
    """
    chosen = {} if checkpoint is None else {"checkpoint_id": checkpoint}
    config: RunnableConfig = {"configurable": {"thread_id": thread, "checkpoint_ns": "", **chosen}}
    found = list(saver.list(config, limit=1))
    if not found:
        raise UnknownThreadError(thread, checkpoint)
    return found[0]


def size_of(saver: Saver, thread: str) -> Size:
    """Counts what a thread takes, those of its subgraphs included; it is read whole for that."""
    count = total = 0
    seen: set[tuple[str, str, str]] = set()
    for found in saver.list({"configurable": {"thread_id": thread}}):
        count += 1
        values = found.checkpoint["channel_values"]
        total += _bytes(saver, {**found.checkpoint, "channel_values": {}})
        total += sum(_bytes(saver, write) for write in found.pending_writes or ())
        for channel, version in found.checkpoint["channel_versions"].items():
            place = (str(configurable(found.config).get("checkpoint_ns")), channel, str(version))
            if channel in values and place not in seen:
                seen.add(place)
                total += _bytes(saver, values[channel])
    return Size(count, total)


def steps(saver: Saver, thread: str, *, limit: int | None = None) -> list[Step]:
    """Lists the checkpoints of a thread, the newest first.

    Raises:
        UnknownThreadError: If there is no such thread.
    """
    wanted = None if limit is None else limit + 1  # one more: what the oldest shown did is told by its parent
    listed = saver.list({"configurable": {"thread_id": thread, "checkpoint_ns": ""}}, limit=wanted)
    found = [light(one, "decision") for one in listed]
    if not found:
        raise UnknownThreadError(thread)
    by_id = {one.checkpoint["id"]: one for one in found}
    return [_step(one, by_id.get(parent_id(one) or "")) for one in found[:limit]]


def parent_id(found: CheckpointTuple) -> str | None:
    """Returns the id of the checkpoint that one followed."""
    return configurable(found.parent_config).get("checkpoint_id") if found.parent_config else None


def light(found: CheckpointTuple, *channels: str) -> CheckpointTuple:
    """Returns a checkpoint with no other values than some, and what says what comes next: many fit into memory."""
    values = found.checkpoint["channel_values"]
    kept = {name: values[name] for name in values if name in (*channels, _START) or name.startswith(_BRANCH)}
    return found._replace(checkpoint={**found.checkpoint, "channel_values": kept})


def upcoming(found: CheckpointTuple) -> tuple[str, ...]:
    """Names the nodes that come next: of octopus graphs all of them, of others those an edge or a `goto` leads to."""
    values = found.checkpoint["channel_values"]
    begun = (_START,) if _START in values else ()
    return (*begun, *(name.removeprefix(_BRANCH) for name in values if name.startswith(_BRANCH)))


def made_at(found: CheckpointTuple) -> datetime:
    """Returns when a checkpoint was made."""
    return datetime.fromisoformat(found.checkpoint["ts"])


def _look(saver: Saver, name: str) -> Thread | None:
    try:
        return _thread(name, snapshot(saver, name))
    except UnknownThreadError:  # it has gone meanwhile, or is one of writes alone
        return None
    except StoreError as error:  # one lost value must not hide the other threads
        return Thread(name, "broken", trouble=str(error))


def _thread(name: str, found: CheckpointTuple) -> Thread:
    question, after = _question(found), upcoming(found)
    status: Status = "waiting" if question is not None else "unfinished" if after else "done"
    return Thread(
        id=name,
        status=status,
        updated=made_at(found),
        checkpoint=found.checkpoint["id"],
        values=found.checkpoint["channel_values"],
        next=after,
        question=question,
    )


def _question(found: CheckpointTuple) -> Any:
    """Returns what the interrupt of a checkpoint asks."""
    for _, channel, value in found.pending_writes or ():
        if channel == INTERRUPT:
            asked = cast("Sequence[Any]", value) if isinstance(value, (list, tuple)) else [value]
            return getattr(asked[0], "value", asked[0]) if asked else ""
    return None


def _step(found: CheckpointTuple, parent: CheckpointTuple | None) -> Step:
    decision = found.checkpoint["channel_values"].get("decision")
    before = parent.checkpoint["channel_versions"].get("decision") if parent else None
    news = parent is not None and found.checkpoint["channel_versions"].get("decision") != before
    step = found.metadata.get("step")
    source = str(found.metadata.get("source", ""))
    return Step(
        checkpoint=found.checkpoint["id"],
        parent=parent_id(found),
        at=made_at(found),
        step=step if isinstance(step, int) else None,
        source=source,
        ran=upcoming(parent) if parent is not None and source == "loop" else (),
        decision=cast("Mapping[str, Any] | None", decision) if news else None,
        next=upcoming(found),
        question=_question(found),
    )


def _bytes(saver: Saver, value: Any) -> int:
    return len(saver.serde.dumps_typed(value)[1])


def configurable(config: RunnableConfig) -> dict[str, Any]:
    """Returns what a config points at."""
    return config.get("configurable", {})
