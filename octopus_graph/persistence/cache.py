"""A LangGraph cache on plain Redis or Valkey that slows a graph a little when Redis is gone, and never stops it.

    with RedisCache("redis://localhost:6379", ttl=3600) as cache:
        graph = builder.compile(cache=cache)

What it adds to LangGraph's interface is `once` (single flight, see `flight`) and counters. The keys:

    octopus:cache:<kind>:…           what `once` keeps
    octopus:cache:node:<ns>:{<key>}  STRING  what LangGraph keeps; each key has a slot of a cluster to itself
    octopus:cache:counters           HASH    what all processes counted
    octopus:cache:semantic:{<space>} STREAM  vectors of questions, see `vectors`

All names are digests: nobody reads a prompt out of a key.
"""

import asyncio
import random
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from langgraph.cache.base import BaseCache, FullKey, Namespace
from langgraph.checkpoint.serde.base import SerializerProtocol  # pyright: ignore[reportMissingTypeStubs]
from typing_extensions import override

from octopus_graph.effects import Logic, arun, run
from octopus_graph.errors import ConfigurationError, MissingExtraError, StoreError
from octopus_graph.persistence.breaker import Guard
from octopus_graph.persistence.connecting import REFUSED, Link
from octopus_graph.persistence.counters import NAMES, Counters, Tally, tallies
from octopus_graph.persistence.entries import Entry, Found, Made, digest
from octopus_graph.persistence.flight import Flight, Landed
from octopus_graph.persistence.keeper import LEASE, Keeper, send
from octopus_graph.persistence.layout import Values, quoted
from octopus_graph.persistence.pipelines import fields_of, pipelined, unlinked
from octopus_graph.persistence.saver import allow_list_serializer

if TYPE_CHECKING:
    from octopus_graph.persistence.vectors import Vectors

__all__ = ["RedisCache"]

T = TypeVar("T")
TIMEOUT = 0.5  # seconds: a cache that takes longer is worth nothing
NODE = "node"


class RedisCache(BaseCache[Any]):
    """Keeps what nodes of any LangGraph graph computed, and what `once` computes.

    Reading and writing never fail: what Redis refuses is logged, counted and survived. `clear` and `stats` do fail, for
    whoever calls them wants to know.
    """

    def __init__(
        self,
        where: str | Link,
        *,
        ttl: float = 86_400.0,
        jitter: float = 0.1,
        prefix: str = "octopus",
        serde: SerializerProtocol | None = None,
        lease: float = LEASE,
        revive: Callable[[], object] | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        """Connects to nothing yet.

        Args:
            where: The URL, or a link with timeouts of its own; its `patience` should be 0.
            ttl: The seconds a value is kept where whoever stores it says nothing.
            jitter: The share by which lives are shortened at random, so that what came together does not go together.
            prefix: What the keys begin with, so that several can share one Redis.
            serde: Turns values into bytes; plain values, messages and LangGraph's own types by default.
            lease: The seconds after which somebody who computes a value and gives no sign of life counts as dead.
            revive: Starts a server that was killed.
            on_close: Called once the cache is closed.

        Raises:
            ConfigurationError: If the URL cannot be read, or nothing could live for `ttl`.
        """
        super().__init__(serde=serde or allow_list_serializer())
        if not ttl >= 0.001 or not 0 <= jitter < 1 or not lease > 0:
            raise ConfigurationError("A cache needs a ttl and a lease above zero, and a jitter from 0 to below 1.")
        if not isinstance(where, Link):
            where = Link(where, timeout=TIMEOUT, connect_timeout=TIMEOUT, patience=0.0)
        self.link = where
        self.counters = Counters()
        self.guard = Guard(self.link, self.counters, revive)
        self.values = Values(self.serde)
        self._ttl, self._jitter = ttl, jitter
        self._base = f"{quoted(prefix)}:cache"
        self._keeper = Keeper(self.link, self.guard, self.counters, self._counter_key, lease=lease)
        self._flight = Flight(self.link, self.guard, self.values, self.counters, self._keeper, jitter=jitter)
        self._vectors: Vectors | None = None
        self._on_close = on_close
        self._send = weakref.finalize(self, _last_counts, self.link, self.guard, self.counters, self._counter_key)

    @property
    def vectors(self) -> "Vectors":
        """Lists of questions as vectors.

        Raises:
            MissingExtraError: If numpy is not installed.
        """
        if self._vectors is None:
            try:
                from octopus_graph.persistence.vectors import Vectors
            except ModuleNotFoundError as error:
                raise MissingExtraError("local", "A semantic cache") from error
            self._vectors = Vectors(self.link, self.guard)
        return self._vectors

    @property
    def _counter_key(self) -> str:
        return f"{self._base}:counters"

    # ------------------------------------------------------------ single flight

    def once(self, entry: Entry[T], compute: Callable[[], Logic[Made[T]]]) -> Logic[Found[T]]:
        """Finds a value, waits for somebody who computes it, or computes it; see `Flight.once`."""
        found = yield from self._flight.once(self.key(entry.kind, entry.digest), entry, compute)
        self._keeper.wake()
        return found

    def peek(self, entry: Entry[Any]) -> Logic[Landed | None]:
        """Reads a value where it is there; nothing is computed, and only what is stale or fails is counted."""
        data: Any = yield from self.guard(entry.kind, self.link.command("GET", self.key(entry.kind, entry.digest)))
        return None if data is None else self._flight.read(entry, data)

    def key(self, kind: str, name: str) -> str:
        """Names the place of a value; the hash tag keeps it and its lock in one slot."""
        return f"{self._base}:{kind}:{{{name}}}"

    # ------------------------------------------------------------ LangGraph's interface

    @override
    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        return run(self._get(keys))

    @override
    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        return await arun(self._get(keys))

    @override
    def set(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        run(self._set(pairs))

    @override
    async def aset(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        await arun(self._set(pairs))

    @override
    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Deletes what LangGraph keeps in some namespaces; without any, everything, counters included.

        Raises:
            StoreError: If Redis does not answer.
        """
        run(self._clear(namespaces))

    @override
    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """As `clear`.

        Raises:
            StoreError: If Redis does not answer.
        """
        await arun(self._clear(namespaces))

    def _get(self, keys: Sequence[FullKey]) -> Logic[dict[FullKey, Any]]:
        found: dict[FullKey, Any] = {}
        if not keys:
            return found
        asking = pipelined(self.link, [("GET", self._node_key(*key)) for key in keys])
        replies = (yield from self.guard(NODE, asking)) or [None] * len(keys)
        for key, reply in zip(keys, replies, strict=True):
            self.counters.add(NODE, self._load(key, reply, found))
        self._keeper.wake()
        return found

    def _load(self, key: FullKey, reply: Any, found: dict[FullKey, Any]) -> str:
        """Reads a reply, and says what it counts as."""
        if reply is None:
            return "miss"
        try:
            found[key] = self.values.load(reply)
        except Exception:  # noqa: BLE001 - what stands in a shared Redis may be anybody's, and broken in any way
            return "stale"
        return "hit"

    def _set(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> Logic[None]:
        if pairs:
            yield from self.guard(NODE, self._written(pairs))

    def _written(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> Logic[None]:
        lives = {key: self.lifetime(self._ttl if ttl is None else ttl) for key, (_, ttl) in pairs.items()}
        commands = [
            ("SET", self._node_key(*key), self.values.dump(value), "PX", lives[key])
            for key, (value, _) in pairs.items()
        ]
        for reply in (yield from pipelined(self.link, commands)):
            if isinstance(reply, Exception):
                raise reply

    def _clear(self, namespaces: Sequence[Namespace] | None) -> Logic[int]:
        if namespaces is None:
            return (yield from self._unlinked(f"{self._base}:*"))
        count = 0
        for namespace in namespaces:
            count += yield from self._unlinked(f"{self._base}:{NODE}:{digest(*namespace)}:*")
        return count

    def _node_key(self, namespace: Namespace, key: str) -> str:
        return f"{self._base}:{NODE}:{digest(*namespace)}:{{{digest(key)}}}"

    def lifetime(self, ttl: float) -> int:
        """Returns the milliseconds a value of this ttl lives: never longer, often a little shorter."""
        return max(1, round(ttl * 1000 * random.uniform(1 - self._jitter, 1)))

    # ------------------------------------------------------------ looking after it

    def clear_kind(self, kind: str | None = None) -> int:
        """Deletes all values of a kind, such as `decision`, and returns how many keys that were.

        Args:
            kind: The kind; `None` for everything, counters included.

        Raises:
            StoreError: If Redis does not answer.
        """
        return run(self._unlinked(f"{self._base}:{quoted(kind)}:*" if kind else f"{self._base}:*"))

    def stats(self) -> dict[str, Tally]:
        """Returns the counters of all processes by kind, with the number of `entries` that are there now.

        Raises:
            StoreError: If Redis does not answer.
        """
        return run(self._stats())

    async def astats(self) -> dict[str, Tally]:
        """As `stats`.

        Raises:
            StoreError: If Redis does not answer.
        """
        return await arun(self._stats())

    def _stats(self) -> Logic[dict[str, Tally]]:
        yield from send(self.link, self.guard, self.counters, self._counter_key)
        reply: Any = yield from self.link.command("HGETALL", self._counter_key)
        counted: list[tuple[tuple[str, str], float]] = []
        for field, amount in fields_of(reply).items():
            kind, _, name = field.decode().rpartition(".")
            if name in NAMES:
                counted.append(((kind, name), float(amount)))
        found = tallies(counted)
        keys = yield from self.link.scan(f"{self._base}:*}}")
        for key in keys:
            kind = key.decode()[len(self._base) + 1 :].partition(":")[0]
            tally = found.setdefault(kind, dict.fromkeys(NAMES, 0))
            tally["entries"] = tally.get("entries", 0) + 1
        return {kind: {"entries": 0, **tally} for kind, tally in sorted(found.items())}

    def _unlinked(self, pattern: str) -> Logic[int]:
        try:
            return (yield from unlinked(self.link, pattern))
        except (OSError, *REFUSED) as error:
            raise StoreError(f"Redis at {self.link.where} does not clear its cache ({error}).") from error

    # ------------------------------------------------------------ the end

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
        """Sends the last counters and closes the connections."""
        self._keeper.close()
        self._send()
        self.link.close()
        self._closed()

    async def aclose(self) -> None:
        """Sends the last counters and closes the connections, those of the running event loop included."""
        await asyncio.to_thread(self._keeper.close)
        await asyncio.to_thread(self._send)
        await self.link.aclose()
        await asyncio.to_thread(self._closed)

    def _closed(self) -> None:
        then, self._on_close = self._on_close, None
        if then is not None:
            then()


def _last_counts(link: Link, guard: Guard, counters: Counters, key: str) -> None:
    run(send(link, guard, counters, key))
