"""One call opens the checkpointer, or the cache, wherever it lies."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from langgraph.checkpoint.serde.base import SerializerProtocol  # pyright: ignore[reportMissingTypeStubs]
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer  # pyright: ignore[reportMissingTypeStubs]

from octopus_graph.errors import ConfigurationError, MissingExtraError, StoreError
from octopus_graph.persistence.cache import TIMEOUT, RedisCache
from octopus_graph.persistence.connecting import Link
from octopus_graph.persistence.saver import RedisSaver, allow_list_serializer

__all__ = ["EMBEDDED", "open_cache", "open_saver"]

EMBEDDED = "embedded"
KEY_SIZES = (16, 24, 32)

_log = logging.getLogger(__name__)


def open_saver(
    where: str | None = None,
    *,
    ttl: float | None = None,
    prefix: str = "octopus",
    allowed: Iterable[tuple[str, str] | type] = (),
    key: bytes | None = None,
    folder: Path | None = None,
) -> RedisSaver:
    """Opens a checkpointer.

        with open_saver() as saver: ...            async with open_saver("redis://cache:6379") as saver: ...

    Args:
        where: A URL, or `embedded` for the user's own Valkey. By default what `OCTOPUS_REDIS_URL` says, else that.
        ttl: The seconds a checkpoint lives after it was last written to or read; for good if `None`.
        prefix: What the keys begin with.
        allowed: Types beyond plain values and messages that may be rebuilt, each as a class or (module, name).
        key: 16, 24 or 32 bytes with which values are encrypted (AES) before they leave this process. By default what
            `OCTOPUS_AES_KEY` says, in hex; where it says nothing, values are not encrypted.
        folder: Where the embedded Valkey keeps its data; the user's data folder by default.

    Returns:
        The saver. Close it, or use it in a `with`: the last to close stops the embedded Valkey.

    Raises:
        ConfigurationError: If the URL or the key cannot be used.
        MissingExtraError: If a package is not installed.
        StoreError: If the embedded Valkey does not start.
    """
    chosen = where or os.environ.get("OCTOPUS_REDIS_URL") or EMBEDDED
    serde = _serializer(allowed, key)
    if chosen != EMBEDDED:
        return RedisSaver(chosen, ttl=ttl, prefix=prefix, serde=serde)
    from octopus_graph.persistence.embedded import (
        EmbeddedServer,
    )  # its locks are those of Unix, a URL is for any system

    server = EmbeddedServer(folder)
    link = Link(server.url, revive=server.revive)
    saver = RedisSaver(link, ttl=ttl, prefix=prefix, serde=serde, on_close=server.release)
    server.acquire()
    return saver


def open_cache(
    where: str | None = None,
    *,
    ttl: float = 86_400.0,
    prefix: str = "octopus",
    allowed: Iterable[tuple[str, str] | type] = (),
    key: bytes | None = None,
    folder: Path | None = None,
) -> RedisCache:
    """Opens a cache, for any LangGraph graph and for `octopus_graph.caching`.

        with open_cache() as cache: ...            async with open_cache("redis://cache:6379") as cache: ...

    Args:
        where: As in `open_saver`.
        ttl: The seconds a value is kept where whoever stores it says nothing.
        prefix: What the keys begin with.
        allowed: Types beyond plain values and messages that may be rebuilt, each as a class or (module, name).
        key: As in `open_saver`.
        folder: As in `open_saver`.

    Returns:
        The cache. An embedded Valkey that does not start is tried again later: the graph runs without it.

    Raises:
        ConfigurationError: If the URL or the key cannot be used.
        MissingExtraError: If a package is not installed.
    """
    chosen = where or os.environ.get("OCTOPUS_REDIS_URL") or EMBEDDED
    serde = _serializer(allowed, key)
    if chosen != EMBEDDED:
        return RedisCache(chosen, ttl=ttl, prefix=prefix, serde=serde)
    from octopus_graph.persistence.embedded import EmbeddedServer

    server = EmbeddedServer(folder)

    def revive() -> None:
        server.acquire()
        server.revive()

    # Before the cache is made: at the end of a process the newest goes first, and a cache sends its last counters then.
    try:
        server.acquire()
    except StoreError as error:
        _log.warning("The graph goes on without its cache: %s", error)
    link = Link(server.url, timeout=TIMEOUT, connect_timeout=TIMEOUT, patience=0.0)
    return RedisCache(link, ttl=ttl, prefix=prefix, serde=serde, revive=revive, on_close=server.release)


def _serializer(allowed: Iterable[tuple[str, str] | type], key: bytes | None) -> SerializerProtocol:
    serde = allow_list_serializer(allowed)
    if key is None:
        said = os.environ.get("OCTOPUS_AES_KEY")
        if not said:
            return serde
        try:
            key = bytes.fromhex(said)
        except ValueError:
            raise ConfigurationError("OCTOPUS_AES_KEY is no hex: write the key as 32, 48 or 64 digits.") from None
    if len(key) not in KEY_SIZES:
        raise ConfigurationError(f"A key for AES has 16, 24 or 32 bytes, this one has {len(key)}.")
    try:
        return EncryptedSerializer.from_pycryptodome_aes(serde, key=key)
    except ImportError:
        raise MissingExtraError("redis", "Encryption") from None
