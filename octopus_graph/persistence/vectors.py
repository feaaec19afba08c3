"""Questions as vectors, in lists that all processes share: which of them is nearest to this one?

A list is a Redis stream of bounded length, so a process reads only what came since it last looked, and compares in its
own memory. A question's words are not in it: an entry is a vector, the digest of an answer, and a mark, which is the
digest of what questions have to have in common besides.
"""
# pyright: reportUnknownMemberType=false

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octopus_graph.effects import Logic
from octopus_graph.persistence.breaker import Guard
from octopus_graph.persistence.connecting import Link
from octopus_graph.persistence.pipelines import fields_of
from octopus_graph.persistence.scripts import Script

__all__ = ["Vectors"]

LONGEST = 512  # questions in a list
KIND = "semantic"
SPACES = 64  # lists a process remembers

# longest, digest, mark, vector, ttl in ms
ADD = Script(r"""
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[1], '*', 'd', ARGV[2], 'm', ARGV[3], 'v', ARGV[4])
return redis.call('PEXPIRE', KEYS[1], ARGV[5])
""")


@dataclass
class _Seen:
    """What a process has read of a list."""

    last: bytes = b"0-0"
    names: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Mark and digest of each."""
    rows: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))


class Vectors:
    """The lists of one cache."""

    def __init__(self, link: Link, guard: Guard) -> None:
        self._link = link
        self._guard = guard
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}

    def add(self, key: str, name: str, mark: str, vector: Sequence[float], *, ttl_ms: int) -> Logic[None]:
        """Adds a question.

        Args:
            key: The list.
            name: The digest of its answer.
            mark: Its mark.
            vector: The question.
            ttl_ms: How long the list lives after this.
        """
        data = _unit(np.asarray(vector, np.float32)).astype("<f2").tobytes()
        yield from self._guard(KIND, self._link.run(ADD, key, LONGEST, name, mark, data, ttl_ms))

    def nearest(
        self, key: str, mark: str, vector: Sequence[float], *, threshold: float, most: int
    ) -> Logic[list[tuple[float, str]]]:
        """Finds the questions of a list that are near.

        Args:
            key: The list.
            mark: What their mark has to be.
            vector: The question.
            threshold: The least cosine.
            most: How many to return.

        Returns:
            Logic that ends in (cosine, digest of the answer), the nearest first.
        """
        with self._lock:
            seen = self._seen.pop(key, None) or _Seen()
            self._seen[key] = seen  # the one used last stands last
            if len(self._seen) > SPACES:
                del self._seen[next(iter(self._seen))]
            last = seen.last
        news: Any = yield from self._guard(KIND, self._link.command("XRANGE", key, b"(" + last, "+"))
        with self._lock:
            if news and seen.last == last:  # else somebody else has read them meanwhile
                _take(seen, news)
            rows, names = seen.rows, seen.names
        asked = _unit(np.asarray(vector, np.float32))
        if rows.shape[1:] != asked.shape:
            return []
        likeness = rows @ asked
        near = [int(at) for at in np.argsort(-likeness) if likeness[at] >= threshold]
        return [(float(likeness[at]), names[at][1]) for at in near if names[at][0] == mark][:most]


def _take(seen: _Seen, news: Sequence[Any]) -> None:
    names, rows = list(seen.names), list(seen.rows)
    for place, fields in news:
        pairs = fields_of(fields)
        seen.last = place
        data = pairs.get(b"v", b"")
        row = np.frombuffer(data[: len(data) // 2 * 2], "<f2")
        if rows and row.shape != rows[0].shape:
            continue  # not of this list: somebody else wrote it
        names.append((_text(pairs.get(b"m")), _text(pairs.get(b"d"))))
        rows.append(row.astype(np.float32))
    seen.names, seen.rows = names[-LONGEST:], np.stack(rows[-LONGEST:]) if rows else seen.rows


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def _text(value: bytes | None) -> str:
    return (value or b"").decode("ascii", "replace")
