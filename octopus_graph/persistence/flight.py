r"""Single flight: of all who need the same at the same time, one computes it and the others wait for what it finds.

Within a process they wait for each other, across processes for a lock in Redis:

    octopus:cache:decision:{<digest>}     STRING  the value; expires
    octopus:cache:decision:{<digest>}:l   STRING  the token of whoever computes it; expires when its holder is dead

A leader keeps its lease alive from a thread (`keeper`), so a lease is short, and whoever waits for a dead leader takes
over when it ends. Nobody waits for a third leader after two have ended with nothing: then each goes alone.
"""

import asyncio
import logging
import random
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from octopus_graph.effects import Logic, Pause
from octopus_graph.persistence.breaker import Guard
from octopus_graph.persistence.connecting import Link
from octopus_graph.persistence.counters import Counters
from octopus_graph.persistence.entries import Entry, Found, Made
from octopus_graph.persistence.keeper import Keeper
from octopus_graph.persistence.layout import Values
from octopus_graph.persistence.scripts import Script

__all__ = ["Flight", "Landed"]

T = TypeVar("T")
FORMAT = "1"  # another one is not read
LEADERS = 2  # that somebody waits for
PATIENCE = 60.0  # seconds for which somebody waits
FIRST_LOOK = 0.01
LONGEST_LOOK = 0.2  # seconds between two looks at what another process computes
IS_THERE, LEAD = 1, 2

_log = logging.getLogger(__name__)

# token, lease in ms, = and the value that could not be read
# -> 1 and the value; 2 for the leader; 3 and the token of whoever is it
ENTER = Script(r"""
local value = redis.pcall('GET', KEYS[1])
if type(value) == 'string' and '=' .. value ~= ARGV[3] then return {1, value} end
local lock = KEYS[1] .. ':l'
if redis.call('SET', lock, ARGV[1], 'NX', 'PX', ARGV[2]) then return {2, type(value) == 'table' and '1' or ''} end
return {3, redis.call('GET', lock)}
""")
# token, value, ttl in ms -> whether it was kept; a leader whose lease ran out has another in its place
LEAVE = Script(r"""
local lock = KEYS[1] .. ':l'
if redis.call('GET', lock) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('UNLINK', lock)
return 1
""")


@dataclass(frozen=True)
class Landed:
    """What somebody computed.

    Attributes:
        value: The value.
        cost_ms: How long it took.
    """

    value: Any
    cost_ms: float


class Flight:
    """Finds values, or has them computed once."""

    def __init__(
        self, link: Link, guard: Guard, values: Values, counters: Counters, keeper: Keeper, *, jitter: float
    ) -> None:
        self._link = link
        self._guard = guard
        self._values = values
        self._counters = counters
        self._keeper = keeper
        self._jitter = jitter
        self._lock = threading.Lock()
        self._aloft: dict[str, Future[Landed | None]] = {}

    def once(self, key: str, entry: Entry[T], compute: Callable[[], Logic[Made[T]]]) -> Logic[Found[T]]:
        """Finds a value, waits for somebody who computes it, or computes it.

        Args:
            key: Where in Redis it is.
            entry: What it is.
            compute: Computes it; whatever it raises passes through.
        """
        started = time.perf_counter()
        for _ in range(LEADERS):
            with self._lock:
                flight = self._aloft.get(key)
                if flight is None:
                    ours: Future[Landed | None] = Future()
                    ours.set_running_or_notify_cancel()  # whoever gives up waiting for it must not cancel it
                    self._aloft[key] = ours
                    break
            landed: Landed | None = yield _Landing(flight, PATIENCE)
            if landed is not None:
                return self._hit(entry, cast(T, landed.value), landed.cost_ms, started)
        else:
            made = yield from compute()
            self._counters.add(entry.kind, "miss")
            return Found(made.value)
        landed = None
        try:
            found, landed = yield from self._across(key, entry, compute, started)
            return found
        finally:
            with self._lock:
                del self._aloft[key]
            ours.set_result(landed)

    def _across(
        self, key: str, entry: Entry[T], compute: Callable[[], Logic[Made[T]]], started: float
    ) -> Logic[tuple[Found[T], Landed | None]]:
        """Does the same across processes."""
        token = secrets.token_hex(8)
        leads = False
        unreadable, pause, leaders = b"", FIRST_LOOK, set[bytes]()
        while len(leaders) <= LEADERS and time.perf_counter() - started < PATIENCE:
            lease = round(self._keeper.lease * 1e3)
            reply: Any = yield from self._guard(entry.kind, self._link.run(ENTER, key, token, lease, unreadable))
            if reply is None:
                break
            state, data = reply
            if state == IS_THERE:
                read = self.read(entry, data)
                if read is not None:
                    found = self._hit(entry, read.value, read.cost_ms, started)
                    return found, Landed(read.value, read.cost_ms)
                unreadable = b"=" + data
                continue
            if state == LEAD:
                if data:  # something of another type stood there
                    self._counters.add(entry.kind, "stale")
                leads = True
                break
            leaders.add(data)
            yield Pause(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_LOOK)
        if leads:
            self._keeper.hold(key, token)
        landed = None
        try:
            begun = time.perf_counter()
            made = yield from compute()
            cost = (time.perf_counter() - begun) * 1e3
            if made.keep and leads:
                data = self._values.dump({"ms": cost, FORMAT: entry.dump(made.value)})
                lives = max(1, round(entry.ttl * 1e3 * random.uniform(1 - self._jitter, 1)))
                landed = yield from self._guard(entry.kind, self._link.run(LEAVE, key, token, data, lives))
        finally:
            if leads:
                self._keeper.let_go(key, token, drop=landed is None)
        self._counters.add(entry.kind, "miss")
        return Found(made.value), Landed(made.value, cost) if made.keep else None

    def read(self, entry: Entry[T], data: bytes) -> Landed | None:
        """Reads a value; `None` where there is none to be read."""
        try:
            kept = self._values.load(data)
            return Landed(entry.load(kept[FORMAT]), float(kept["ms"]))
        except Exception as error:  # noqa: BLE001 - what stands in a shared Redis may be anybody's, and broken in any way
            _log.debug("An entry of the cache cannot be read (%s).", type(error).__name__)
            self._counters.add(entry.kind, "stale")
            return None

    def _hit(self, entry: Entry[T], value: T, cost_ms: float, started: float) -> Found[T]:
        saved = max(0.0, cost_ms - (time.perf_counter() - started) * 1e3)
        self._counters.add(entry.kind, "hit")
        self._counters.add(entry.kind, "saved_ms", saved)
        return Found(value, cached=True, saved_ms=saved)


@dataclass(frozen=True)
class _Landing:
    """The end of somebody else's flight; `None` where it found nothing, or takes too long."""

    flight: "Future[Landed | None]"
    patience: float

    def wait(self) -> Landed | None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            return None  # whoever computes it may need the loop that this thread would hold
        try:
            return self.flight.result(self.patience)
        except TimeoutError:
            return None

    async def wait_async(self) -> Landed | None:
        landing = asyncio.wrap_future(self.flight)
        await asyncio.wait([landing], timeout=self.patience)
        return landing.result() if landing.done() else None
