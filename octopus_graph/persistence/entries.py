"""What a cache is asked for and gives back. Nothing here needs redis, so whoever describes an entry does not either."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["Entry", "Found", "Made", "digest"]

T = TypeVar("T")


@dataclass(frozen=True)
class Entry(Generic[T]):
    """What may be in the cache.

    Attributes:
        kind: What counters and keys call it: `decision`, `answer`.
        digest: The rest of its key.
        ttl: How many seconds it is kept.
        dump: Makes plain data of a value.
        load: Makes a value of plain data that anybody may have written; raises where it cannot.
    """

    kind: str
    digest: str
    ttl: float
    dump: Callable[[T], Any]
    load: Callable[[Any], T]


@dataclass(frozen=True)
class Made(Generic[T]):
    """A value that was computed.

    Attributes:
        value: The value.
        keep: Whether others may have it.
    """

    value: T
    keep: bool = True


@dataclass(frozen=True)
class Found(Generic[T]):
    """A value, wherever it comes from.

    Attributes:
        value: The value.
        cached: Whether somebody else computed it.
        saved_ms: What that saved.
    """

    value: T
    cached: bool = False
    saved_ms: float = 0.0


def digest(*parts: str | bytes) -> str:
    """Makes a name of texts, from which they cannot be read; it tells ("ab", "c") from ("a", "bc").

    Example:
        >>> digest("ab", "c") == digest("a", "bc")
        False
    """
    made = hashlib.blake2b(digest_size=20)
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        made.update(len(data).to_bytes(8, "big") + data)
    return made.hexdigest()
