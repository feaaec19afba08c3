"""A LangGraph checkpointer on plain Redis or Valkey: no modules, one round trip per get and put, clusters welcome.

    with RedisSaver("redis://localhost:6379", ttl=86_400) as saver:
        graph = builder.compile(checkpointer=saver)

Sync and async are one implementation: logic that yields its calls, run by `effects`. `scripts` is what runs in Redis.

What can be lost: Redis answers before its replicas have what it was given, so a master that dies takes along what it
had not sent on: the last moments of a thread, bounded by `min-replicas-max-lag`. Each script is replicated whole, so
what remains is an earlier state of the thread, never half of one.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from types import TracebackType
from typing import Any, Self

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (  # pyright: ignore[reportMissingTypeStubs]
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.serde.base import SerializerProtocol  # pyright: ignore[reportMissingTypeStubs]
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer  # pyright: ignore[reportMissingTypeStubs]
from typing_extensions import override

from octopus_graph.effects import arun, run
from octopus_graph.errors import ConfigurationError
from octopus_graph.persistence.connecting import Link
from octopus_graph.persistence.layout import Values, thread_keys, thread_of
from octopus_graph.persistence.listing import Listing, Selection
from octopus_graph.persistence.operations import Operations

__all__ = ["RedisSaver", "allow_list_serializer"]


def allow_list_serializer(allowed: Iterable[tuple[str, str] | type] = ()) -> JsonPlusSerializer:
    """Makes a serializer that rebuilds plain values, messages and what is named here, nothing else; it knows no pickle.

    Args:
        allowed: Further types that a graph keeps in its state, each as a class or as (module, name).

    Returns:
        The serializer. A value of another type comes back as the plain data it was made of, with a warning in the log.
    """
    return JsonPlusSerializer(allowed_msgpack_modules=tuple(allowed) or None)


class RedisSaver(BaseCheckpointSaver[str]):
    """Keeps the checkpoints of any LangGraph graph in Redis or Valkey.

    Channel names, checkpoint ids, run ids and the like stay readable in Redis even where values are encrypted.

    Deleting by run looks at every thread, as only the checkpoints themselves say which run they are of. It also takes
    away what later checkpoints rebuild their delta channels from; pruning does not.
    """

    def __init__(
        self,
        where: str | Link,
        *,
        ttl: float | None = None,
        prefix: str = "octopus",
        serde: SerializerProtocol | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        """Connects to nothing yet.

        Args:
            where: The URL, or a link with timeouts of its own.
            ttl: The seconds a checkpoint lives after it was last written to or read; for good if `None`.
            prefix: What the keys begin with, so that several can share one Redis.
            serde: Turns values into bytes; by default `allow_list_serializer()`, which `EncryptedSerializer` may wrap.
            on_close: Called once the saver is closed.

        Raises:
            ConfigurationError: If the URL cannot be read, or nothing could live for `ttl`.
        """
        super().__init__(serde=serde or allow_list_serializer())
        if ttl is not None and ttl < 0.001:
            raise ConfigurationError("A ttl is a number of seconds above zero.")
        self.link = where if isinstance(where, Link) else Link(where)
        self._ttl = 0 if ttl is None else round(ttl * 1000)
        self._prefix = prefix
        self._on_close = on_close
        self._token = ""

    def fenced(self, token: str) -> Self:
        """Makes a saver that writes only where a run holds the thread; `fencing` tells how it comes to hold it.

        Args:
            token: The run's fencing token.

        Returns:
            A copy on the same connections. Its `put` and `put_writes` raise `StaleRunError` once another run holds
            the thread.
        """
        other = copy(self)
        other._token = token  # noqa: SLF001 - of its own kind
        return other

    @property
    def prefix(self) -> str:
        """What the keys begin with."""
        return self._prefix

    @property
    def _do(self) -> Operations:
        # Made anew each time, for LangGraph clones savers and gives the clone another serializer.
        return Operations(self.link, self._prefix, self._ttl, Values(self.serde), self._token)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def close(self) -> None:
        """Closes the connections."""
        self.link.close()
        self._closed()

    async def aclose(self) -> None:
        """Closes the connections, those of the running event loop included."""
        await self.link.aclose()
        await asyncio.to_thread(self._closed)

    def _closed(self) -> None:
        then, self._on_close = self._on_close, None
        if then is not None:
            then()

    # ------------------------------------------------------------ reading

    @override
    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return run(self._do.get(config))

    @override
    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await arun(self._do.get(config))

    @override
    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        listing = Listing(self.link, self._prefix, Values(self.serde), Selection.of(config, filter, before, limit))
        while (page := run(listing.page())) is not None:
            yield from page

    @override
    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        listing = Listing(self.link, self._prefix, Values(self.serde), Selection.of(config, filter, before, limit))
        while (page := await arun(listing.page())) is not None:
            for found in page:
                yield found

    def thread_ids(self) -> Iterator[str]:
        """Names the threads without reading them, which `list(None)` would."""
        yield from sorted({thread_of(key) for key in run(self.link.scan(thread_keys(self._prefix)))})

    @override
    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        return run(self._do.history(config, channels))

    @override
    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        return await arun(self._do.history(config, channels))

    # ------------------------------------------------------------ writing

    @override
    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return run(self._do.put(config, checkpoint, metadata, new_versions))

    @override
    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await arun(self._do.put(config, checkpoint, metadata, new_versions))

    @override
    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        run(self._do.put_writes(config, writes, task_id, task_path))

    @override
    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await arun(self._do.put_writes(config, writes, task_id, task_path))

    @override
    def get_next_version(self, current: str | None, channel: None) -> str:
        # The width is that of LangGraph's own savers. What follows the point tells branches of one checkpoint apart.
        last = int(str(current).partition(".")[0]) if current is not None else 0
        return f"{last + 1:032d}.{random.getrandbits(48):012x}"

    # ------------------------------------------------------------ deleting and copying

    @override
    def delete_thread(self, thread_id: str) -> None:
        run(self._do.delete(thread_id))

    @override
    async def adelete_thread(self, thread_id: str) -> None:
        await arun(self._do.delete(thread_id))

    @override
    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        run(self._do.delete_runs(run_ids))

    @override
    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await arun(self._do.delete_runs(run_ids))

    async def aroll_back(self, thread_id: str, run_ids: Sequence[str]) -> None:
        """Deletes the checkpoints that some runs made on one thread."""
        await arun(self._do.delete_runs(run_ids, thread_id))

    @override
    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        run(self._do.prune(thread_ids, strategy))

    @override
    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        await arun(self._do.prune(thread_ids, strategy))

    @override
    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        run(self._do.copy(source_thread_id, target_thread_id))

    @override
    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await arun(self._do.copy(source_thread_id, target_thread_id))
