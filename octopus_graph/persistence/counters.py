"""What a cache was worth, counted in memory and now and then added to what other processes counted.

hit       found, and used
miss      not there, so it was computed
stale     there, but not to be read: broken bytes, another format, an expert that is gone
error     Redis failed
saved_ms  what the hits would have taken to compute, less what it took to find them
"""

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping

__all__ = ["NAMES", "Counters", "Tally", "tallies"]

NAMES = ("hit", "miss", "stale", "error", "saved_ms")
Tally = dict[str, float]
"""The counters of one kind by name."""


class Counters:
    """Counters of this process, by kind (`decision`, `answer`, `semantic`, `node`) and name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all = defaultdict[tuple[str, str], float](float)
        self._unsent = defaultdict[tuple[str, str], float](float)

    def add(self, kind: str, name: str, amount: float = 1) -> None:
        """Counts."""
        with self._lock:
            self._all[kind, name] += amount
            self._unsent[kind, name] += amount

    def read(self) -> dict[str, Tally]:
        """Returns what this process has counted, kind by kind."""
        with self._lock:
            return tallies(self._all.items())

    @property
    def unsent(self) -> bool:
        """Whether something was counted since the last `take`."""
        return bool(self._unsent)

    def take(self) -> Mapping[tuple[str, str], float]:
        """Returns what is to be added to the counters of all processes."""
        with self._lock:
            taken, self._unsent = self._unsent, defaultdict[tuple[str, str], float](float)
            return taken

    def give_back(self, taken: Mapping[tuple[str, str], float]) -> None:
        """Takes back what could not be sent."""
        with self._lock:
            for place, amount in taken.items():
                self._unsent[place] += amount


def tallies(counted: Iterable[tuple[tuple[str, str], float]]) -> dict[str, Tally]:
    """Sorts counters by kind, and fills in what was never counted."""
    found: dict[str, Tally] = {}
    for (kind, name), amount in counted:
        found.setdefault(kind, dict.fromkeys(NAMES, 0))[name] = round(amount, 3)
    return dict(sorted(found.items()))
