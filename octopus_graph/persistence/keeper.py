"""One thread beside a cache: it keeps the leases of those who compute, gives them back, and sends the counters.

It runs while there is something to do and ends by itself. Nothing that it does is waited for.
"""

import threading
import time

from octopus_graph.effects import Logic, run
from octopus_graph.persistence.breaker import Guard
from octopus_graph.persistence.connecting import Link
from octopus_graph.persistence.counters import Counters
from octopus_graph.persistence.scripts import Script

__all__ = ["Keeper", "send"]

LEASE = 6.0  # seconds after which a leader that does nothing counts as dead
TICK = 1.0

EXTEND = Script(r"""
local lock = KEYS[1] .. ':l'
return redis.call('GET', lock) == ARGV[1] and redis.call('PEXPIRE', lock, ARGV[2]) or 0
""")
DROP = Script(r"""
local lock = KEYS[1] .. ':l'
return redis.call('GET', lock) == ARGV[1] and redis.call('UNLINK', lock) or 0
""")
COUNT = Script(r"""
for i = 1, #ARGV, 2 do redis.call('HINCRBYFLOAT', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
""")


class Keeper:
    """Works for all flights of one cache."""

    def __init__(self, link: Link, guard: Guard, counters: Counters, counter_key: str, *, lease: float = LEASE) -> None:
        """Starts nothing yet.

        Args:
            link: The way to Redis.
            guard: Survives its failures.
            counters: What is to be sent.
            counter_key: Where to.
            lease: The seconds a lease holds; it is renewed three times as often.
        """
        self.lease = lease
        self._link = link
        self._guard = guard
        self._counters = counters
        self._counter_key = counter_key
        self._woken = threading.Condition()
        self._held: dict[str, str] = {}
        self._dropped: list[tuple[str, str]] = []
        self._thread: threading.Thread | None = None
        self._closed = False

    def hold(self, key: str, token: str) -> None:
        """Keeps a lease until `let_go`."""
        with self._woken:
            self._held[key] = token
        self.wake()

    def let_go(self, key: str, token: str, *, drop: bool) -> None:
        """Keeps a lease no longer.

        Args:
            key: The key of the value.
            token: Its holder's.
            drop: Give it back, so that somebody else can have it at once.
        """
        with self._woken:
            self._held.pop(key, None)
            if drop:
                self._dropped.append((key, token))
        if drop:
            self.wake()

    def wake(self) -> None:
        """Makes sure that the thread runs."""
        with self._woken:
            if self._closed:
                return
            if self._thread is None or not self._thread.is_alive():  # after a fork there is no thread
                self._thread = threading.Thread(target=self._work, name="octopus-cache", daemon=True)
                self._thread.start()
            elif self._dropped:
                self._woken.notify()

    def close(self) -> None:
        """Ends the thread, once it has given back what it holds."""
        with self._woken:
            self._closed = True
            thread = self._thread
            self._woken.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join(5)

    def _work(self) -> None:
        tick = min(TICK, self.lease / 3)
        extended = sent = time.monotonic()
        while True:
            with self._woken:
                if not self._dropped and not self._closed:
                    self._woken.wait(tick)
                dropped, self._dropped = self._dropped, []
                held = dict(self._held)
                if not dropped and (self._closed or not (held or self._counters.unsent)):
                    self._thread = None
                    return
            for key, token in dropped:
                run(self._guard(None, self._link.run(DROP, key, token)))
            now = time.monotonic()
            if now - extended >= self.lease / 3:
                extended = now
                for key, token in held.items():
                    run(self._guard(None, self._link.run(EXTEND, key, token, round(self.lease * 1e3))))
            if now - sent >= TICK:
                sent = now
                run(send(self._link, self._guard, self._counters, self._counter_key))


def send(link: Link, guard: Guard, counters: Counters, key: str) -> Logic[None]:
    """Adds what this process counted to what all of them did."""
    taken = counters.take()
    if not taken:
        return
    pairs = [part for (kind, name), amount in taken.items() for part in (f"{kind}.{name}", f"{amount:.3f}")]
    if (yield from guard(None, link.run(COUNT, key, *pairs))) is None:
        counters.give_back(taken)
