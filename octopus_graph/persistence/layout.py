"""How checkpoints lie in Redis: the names of keys and fields, and values as bytes. `scripts` draws the whole.

Only here are values turned into bytes and back, and only through the serializer of the saver.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote, unquote

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (  # pyright: ignore[reportMissingTypeStubs]
    WRITES_IDX_MAP,
    Checkpoint,
    CheckpointTuple,
    PendingWrite,
    get_checkpoint_id,
    writes_sort_key,
)
from langgraph.checkpoint.serde.base import SerializerProtocol  # pyright: ignore[reportMissingTypeStubs]

from octopus_graph.errors import StoreError

__all__ = ["Place", "Values", "config_of", "index_key", "named", "place_of", "quoted", "thread_keys", "thread_of"]

# All that a key, a field or a pattern of SCAN could take for its own is left out: % { } * ? [ ] \ and white space.
SAFE = "!$&'()+,-./:;<=>@_`|~ "


@dataclass(frozen=True)
class Place:
    """What a config points at."""

    thread: str
    space: str
    """The checkpoint namespace, percent-encoded."""
    id: str
    """The checkpoint, or nothing where the newest is meant."""


def quoted(name: str) -> str:
    """Percent-encodes a name; `named` is the way back."""
    return quote(name, safe=SAFE)


def named(text: str | bytes) -> str:
    """Gives the name back."""
    return unquote(text.decode() if isinstance(text, bytes) else text)


def place_of(config: RunnableConfig) -> Place:
    """Reads what a config points at."""
    configurable: dict[str, Any] = config.get("configurable", {})
    space = quoted(str(configurable.get("checkpoint_ns") or ""))
    return Place(str(configurable["thread_id"]), space, str(get_checkpoint_id(config) or ""))


def config_of(thread: str, space: str, checkpoint: str) -> RunnableConfig:
    """Writes a config that points at one checkpoint; the namespace comes encoded."""
    return {
        "configurable": {"thread_id": thread, "checkpoint_ns": named(space), "checkpoint_id": checkpoint},
    }


def index_key(prefix: str, thread: str) -> str:
    """Names the index of a thread. An empty hash tag would be none, so an empty thread is written `%`."""
    return f"{quoted(prefix)}:{{{quoted(thread) or '%'}}}:i"


def thread_keys(prefix: str) -> str:
    """Writes the pattern that all indexes match."""
    return f"{quoted(prefix)}:{{*}}:i"


def thread_of(key: bytes) -> str:
    """Reads the thread out of the name of its index."""
    tag = key.decode().partition("{")[2].rpartition("}")[0]
    return "" if tag == "%" else named(tag)


class Values:
    """Turns values into bytes and back, with the serializer of a saver."""

    def __init__(self, serde: SerializerProtocol) -> None:
        self._serde = serde

    def dump(self, value: Any) -> bytes:
        """Writes the kind that the serializer gave, a line break, and the bytes."""
        kind, data = self._serde.dumps_typed(value)
        return kind.encode() + b"\n" + data

    def load(self, data: bytes) -> Any:
        """Reads what `dump` wrote."""
        kind, _, rest = data.partition(b"\n")
        return self._serde.loads_typed((kind.decode(), rest))

    def dump_writes(self, writes: Sequence[tuple[str, Any]], task: str, path: str) -> list[str | bytes]:
        """Gives each write three arguments: its field, its bytes, and whether an earlier one with its index stays.

        A task that runs again must not change what it wrote, except for errors, interrupts and the like, which have
        indices of their own below zero.
        """
        arguments: list[str | bytes] = []
        for position, (channel, value) in enumerate(writes):
            index = WRITES_IDX_MAP.get(channel, position)
            head = f"{quoted(path)}\n{quoted(channel)}\n".encode()
            arguments += [f"w\t{quoted(task)}\t{index}", head + self.dump(value), "1" if index >= 0 else "0"]
        return arguments

    def load_writes(self, fields: Iterable[tuple[bytes, bytes]]) -> list[PendingWrite]:
        """Reads the writes among the fields of a checkpoint, in the order in which a run applies them."""
        found: list[tuple[tuple[str, str, int], PendingWrite]] = []
        for field, data in fields:
            if not field.startswith(b"w\t"):
                continue
            _, task, index = field.split(b"\t")
            path, channel, value = data.split(b"\n", 2)
            key = writes_sort_key(named(path), named(task), int(index))
            found.append((key, (named(task), named(channel), self.load(value))))
        return [write for _, write in sorted(found, key=lambda item: item[0])]

    def load_tuples(self, thread: str, reply: Sequence[Any]) -> Iterable["Unread"]:
        """Reads the reply of a script: checkpoints, and the blobs that they share."""
        blobs = cast("dict[bytes, bytes | None]", dict(zip(reply[1][::2], reply[1][1::2], strict=True)))
        for member, flat in reply[0]:
            space, _, checkpoint = member.partition(b"\t")
            fields = list(zip(flat[::2], flat[1::2], strict=True))
            yield Unread(self, thread, space.decode(), checkpoint.decode(), fields, blobs)


@dataclass
class Unread:
    """A checkpoint as it came: the metadata alone can be read, so that a filter costs little."""

    values: Values
    thread: str
    space: str
    id: str
    fields: list[tuple[bytes, bytes]]
    blobs: Mapping[bytes, bytes | None]

    def metadata(self) -> Any:
        """Reads the metadata alone."""
        return self.values.load(dict(self.fields)[b"m"])

    def read(self, metadata: Any = None) -> CheckpointTuple:
        """Reads it whole.

        Args:
            metadata: The metadata, where it was read before.

        Raises:
            StoreError: If Redis has thrown away values that the checkpoint is made of.
        """
        fields = dict(self.fields)
        checkpoint = cast(Checkpoint, self.values.load(fields[b"c"]))
        parent = fields.get(b"p")
        return CheckpointTuple(
            config=config_of(self.thread, self.space, self.id),
            checkpoint={**checkpoint, "channel_values": self._channel_values(fields[b"b"])},
            metadata=metadata or self.metadata(),
            parent_config=config_of(self.thread, self.space, parent.decode()) if parent else None,
            pending_writes=self.values.load_writes(self.fields),
        )

    def _channel_values(self, manifest: bytes) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for blob in manifest.split(b"\n") if manifest else []:
            data = self.blobs.get(self.space.encode() + b"\n" + blob)
            channel = named(blob.partition(b"\t")[0])
            if data is None:
                raise StoreError(
                    f"Redis has lost the value of {channel!r} in checkpoint {self.id} of thread {self.thread!r}:"
                    " set maxmemory-policy to noeviction, and go on from an earlier checkpoint."
                )
            found[channel] = self.values.load(data)
        return found
