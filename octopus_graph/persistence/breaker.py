"""What failed is left alone for a while: a Redis that is dead or frozen is waited for once, and not by every call."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from octopus_graph.effects import Logic
from octopus_graph.errors import OctopusError, StoreError
from octopus_graph.persistence.connecting import REFUSED, Link
from octopus_graph.persistence.counters import Counters

__all__ = ["Breaker", "Guard"]

T = TypeVar("T")
FIRST_PAUSE = 1.0  # seconds for which a server that failed is left alone; doubled with each further failure
LONGEST_PAUSE = 30.0
QUIET = 60.0  # seconds between two lines in the log that say the same

_log = logging.getLogger(__name__)


class Breaker:
    """Says whether something that failed before may be tried."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begins in good faith.

        Args:
            clock: Tells the seconds.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._pause = 0.0
        self._closed_until = 0.0

    def allows(self) -> bool:
        """Says whether to try. After a pause one caller may; the others wait until it has come back well."""
        with self._lock:
            if not self._pause:
                return True
            if (now := self._clock()) < self._closed_until:
                return False
            self._closed_until = now + self._pause
            return True

    def failed(self) -> float:
        """Takes note of a failure, and returns the seconds for which nobody tries again."""
        with self._lock:
            self._pause = min(2 * self._pause or FIRST_PAUSE, LONGEST_PAUSE)
            self._closed_until = self._clock() + self._pause
            return self._pause

    def worked(self) -> bool:
        """Takes note of a success, and says whether there was a failure before it."""
        with self._lock:
            before, self._pause = self._pause > 0, 0.0
            return before


class Guard:
    """Stands before every use of a Redis that nobody depends on: what fails is logged, counted and survived."""

    def __init__(self, link: Link, counters: Counters, revive: Callable[[], object] | None = None) -> None:
        """Connects to nothing.

        Args:
            link: The way to Redis.
            counters: Where errors are counted.
            revive: Starts a server that was killed; called in a thread of its own, for it may take long.
        """
        self.breaker = Breaker()
        self._link = link
        self._counters = counters
        self._revive = revive
        self._reviving: threading.Thread | None = None
        self._told = float("-inf")

    def __call__(self, kind: str | None, logic: Logic[T]) -> Logic[T | None]:
        """Runs logic, unless Redis is being left alone.

        Args:
            kind: Of what counters an error counts; `None` for none.
            logic: Asks Redis.

        Returns:
            Logic that ends in what the other ends in; `None` if Redis failed, or was not asked.
        """
        if not self.breaker.allows():
            logic.close()
            return None
        try:
            result = yield from logic
        except (StoreError, OSError, *REFUSED) as error:
            if kind is not None:
                self._counters.add(kind, "error")
            self._failed(error)
            return None
        if self.breaker.worked():
            self._told = float("-inf")
            _log.info("The cache in Redis at %s is back.", self._link.where)
        return result

    def _failed(self, error: Exception) -> None:
        self.breaker.failed()
        if (now := time.monotonic()) - self._told >= QUIET:
            self._told = now
            reason = (str(error.__cause__ or error).splitlines() or [type(error).__name__])[0]
            where = self._link.where
            _log.warning("The graph goes on without its cache in Redis at %s (%s): see whether it runs.", where, reason)
        if self._revive is not None and (self._reviving is None or not self._reviving.is_alive()):
            self._reviving = threading.Thread(target=self._bring_back, name="octopus-cache-revive", daemon=True)
            self._reviving.start()

    def _bring_back(self) -> None:
        try:
            if self._revive is not None:
                self._revive()
        except (OctopusError, OSError) as error:
            _log.warning("The cache's server does not start again: %s", error)
