"""The way to Redis: one server, a cluster or a group under Sentinel, sync and async, named by one URL.

    redis://user:password@host:6379/0                     rediss:// for TLS, ?ssl_ca_certs=/path to name the authority
    unix:///path/of/the/socket
    redis+cluster://host:6379,host:6380                   rediss+cluster:// for TLS
    redis+sentinel://host:26379,host:26380/service/0      rediss+sentinel:// for TLS to the servers

What stands in the query, such as `?socket_timeout=10`, goes to the client. `sentinel_username` and `sentinel_password`
are for the Sentinels themselves, whose accounts are not those of the servers.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.cluster
from redis import exceptions as refused
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.connection import parse_url  # pyright: ignore[reportUnknownVariableType]
from redis.retry import Retry
from redis.sentinel import Sentinel

from octopus_graph.effects import Blocking, Effect, Logic, Pause
from octopus_graph.errors import ConfigurationError, StoreError
from octopus_graph.persistence.scripts import Script

__all__ = ["Link"]

SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel")
# Waiting helps against these: a server restarts, loads its data, or hands over to its replica.
PASSING = (
    refused.ConnectionError,
    refused.TimeoutError,
    refused.ReadOnlyError,
    refused.ClusterDownError,
    refused.TryAgainError,
    refused.MasterDownError,
    refused.RedisClusterException,
    OSError,
)
REFUSED = (refused.RedisError, refused.RedisClusterException)  # the second is none of the first
# Of which these are not, though they are made ConnectionErrors: no server takes a wrong password later on.
LASTING = (refused.AuthenticationError, refused.AuthorizationError, refused.MaxConnectionsError)


@dataclass(frozen=True)
class _Target:
    """What a URL names."""

    kind: str
    hosts: list[tuple[str, int]]
    service: str
    options: dict[str, Any]
    sentinel: dict[str, Any]
    where: str


class Link:
    """Clients of what a URL names, made when they are first needed: one for threads, one for each event loop.

    A call that fails for a passing reason is made again until `patience` is over. Each script may run twice: the second
    time it does nothing new.

    Attributes:
        patience: For how many seconds a call is made again while servers restart or hand over.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 5.0,
        connect_timeout: float = 2.0,
        patience: float = 15.0,
        revive: Callable[[], object] | None = None,
    ) -> None:
        """Reads the URL; connects to nothing.

        Args:
            url: Where Redis is; the head of this module shows the forms.
            timeout: The most seconds to wait for an answer; a frozen server is noticed after them.
            connect_timeout: The most seconds to wait for a connection.
            patience: For how many seconds a call is made again while servers restart or hand over.
            revive: Called when nobody listens there, before the call is made again.

        Raises:
            ConfigurationError: If the URL cannot be read.
        """
        self._target = _read(url, {"socket_timeout": timeout, "socket_connect_timeout": connect_timeout})
        self.patience = patience
        self._revive = revive
        self._client: Any = None
        self._lock = threading.Lock()  # tasks of one step write from several threads
        self._async_clients: dict[asyncio.AbstractEventLoop, Any] = {}

    @property
    def where(self) -> str:
        """The address without the credentials."""
        return self._target.where

    def client(self) -> Any:
        """The client for threads."""
        with self._lock:
            if self._client is None:
                self._client = _client(self._target)
            return self._client

    def async_client(self) -> Any:
        """The client of the running event loop: a connection cannot leave the loop that opened it."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if loop not in self._async_clients:
                self._forget_closed_loops()
                self._async_clients[loop] = _async_client(self._target)
            return self._async_clients[loop]

    def run(self, script: Script, key: str | bytes, *arguments: str | bytes | int) -> Logic[Any]:
        """Runs a script: one round trip, unless the server sees it for the first time.

        Args:
            script: What to run.
            key: The key that says which server of a cluster runs it.
            *arguments: What the script is given.

        Returns:
            Logic that ends in the reply.
        """
        try:
            try:
                return (yield from self._patiently(_Command(self, ("EVALSHA", script.sha, 1, key, *arguments))))
            except refused.NoScriptError:
                return (yield from self._patiently(_Command(self, ("EVAL", script.text, 1, key, *arguments))))
        except REFUSED as error:
            raise self._told(error) from error

    def command(self, *arguments: str | bytes | int) -> Logic[Any]:
        """Runs a plain command, as `run` does a script."""
        try:
            return (yield from self._patiently(_Command(self, arguments)))
        except REFUSED as error:
            raise self._told(error) from error

    def scan(self, pattern: str) -> Logic[list[bytes]]:
        """Lists the keys that match a pattern, of all masters of a cluster, without stopping any of them for long."""
        try:
            return (yield from self._patiently(_Scan(self, pattern)))
        except REFUSED as error:
            raise self._told(error) from error

    def _patiently(self, effect: Effect) -> Logic[Any]:
        deadline = time.monotonic() + self.patience
        pause = 0.02
        while True:
            try:
                return (yield effect)
            except PASSING as error:
                if _lasts(error):
                    raise
                if time.monotonic() + pause > deadline:
                    raise self._told(error) from error
                deaf = isinstance(error, refused.ConnectionError)
            if deaf and self._revive is not None:
                yield Blocking(self._revive)
            yield Pause(pause)
            pause = min(2 * pause, 1.0)

    def _told(self, error: Exception) -> StoreError:
        advice = (
            "its memory is full: raise maxmemory, or give the checkpoints a ttl"
            if isinstance(error, refused.OutOfMemoryError)
            else "see whether it runs, and whether its URL names the right account"
        )
        return StoreError(f"Redis at {self.where} does not do its part ({_reason(error)}): {advice}.")

    def close(self) -> None:
        """Closes the client for threads, and those of event loops that stand still."""
        client, self._client = self._client, None
        if client is not None:
            _closed(client)
        self._forget_closed_loops()
        for loop in list(self._async_clients):
            if not loop.is_running():
                loop.run_until_complete(_aclosed(self._async_clients.pop(loop)))

    def _forget_closed_loops(self) -> None:
        # Their clients hold on to them, so they would never go by themselves. They cannot be closed without their loop.
        for loop in list(self._async_clients):
            if loop.is_closed():
                del self._async_clients[loop]

    async def aclose(self) -> None:
        """Closes the client of the running event loop, and the one for threads."""
        client = self._async_clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await _aclosed(client)
        client, self._client = self._client, None
        if client is not None:
            _closed(client)


@dataclass(frozen=True)
class _Command:
    link: Link
    arguments: tuple[Any, ...]

    def wait(self) -> Any:
        return self.link.client().execute_command(*self.arguments)

    async def wait_async(self) -> Any:
        return await self.link.async_client().execute_command(*self.arguments)


@dataclass(frozen=True)
class _Scan:
    link: Link
    pattern: str

    def wait(self) -> list[bytes]:
        return list(self.link.client().scan_iter(match=self.pattern, count=1000))

    async def wait_async(self) -> list[bytes]:
        return [key async for key in self.link.async_client().scan_iter(match=self.pattern, count=1000)]


def _read(url: str, options: dict[str, Any]) -> _Target:
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ConfigurationError(f"A Redis URL begins with one of {', '.join(f'{name}://' for name in SCHEMES)}.")
    scheme, _, kind = parts.scheme.partition("+")
    account, at, addresses = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/") if kind == "sentinel" else ("", "", "")
    try:
        hosts = [_address(address, 26379 if kind == "sentinel" else 6379) for address in addresses.split(",")]
        first = addresses.split(",")[0]
        path = f"/{database}" if kind == "sentinel" else parts.path
        plain = f"{scheme}://{account}{at}{first}{path}?{parts.query}"
        read = cast(dict[str, Any], parse_url(plain))
    except ValueError as error:
        raise ConfigurationError(f"The Redis URL cannot be read ({error}).") from None
    if kind == "sentinel" and not service:
        raise ConfigurationError("The Redis URL of Sentinels names their service: redis+sentinel://host:26379/SERVICE.")
    sentinel = {name.removeprefix("sentinel_"): read.pop(name) for name in list(read) if name.startswith("sentinel_")}
    where = parts.path if scheme == "unix" else addresses or "localhost"
    if kind:
        for name in ("host", "port", "connection_class"):
            read.pop(name, None)
        read |= {"ssl": True} if scheme == "rediss" else {}
    return _Target(kind, hosts, service, {**options, **read, "decode_responses": False}, sentinel, where)


def _address(text: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    return parts.hostname or "localhost", parts.port or port


def _client(target: _Target) -> Any:
    # `Link` makes calls again itself, and knows for how long.
    once = Retry(NoBackoff(), 0)
    if target.kind == "cluster":
        nodes = [redis.cluster.ClusterNode(host, port) for host, port in target.hosts]
        return redis.RedisCluster(startup_nodes=nodes, retry=Retry(NoBackoff(), 1), **target.options)
    if target.kind == "sentinel":
        sentinel: Any = Sentinel(target.hosts, sentinel_kwargs=_for_sentinel(target, once))
        client: Any = sentinel.master_for(target.service, retry=once, **target.options)
        client.watchers = sentinel
        return client
    return redis.Redis.from_pool(redis.ConnectionPool(retry=once, **target.options))


def _async_client(target: _Target) -> Any:
    once = AsyncRetry(NoBackoff(), 0)
    if target.kind == "cluster":
        nodes = [redis.asyncio.cluster.ClusterNode(host, port) for host, port in target.hosts]
        return redis.asyncio.RedisCluster(startup_nodes=nodes, retry=AsyncRetry(NoBackoff(), 1), **target.options)
    if target.kind == "sentinel":
        sentinel: Any = AsyncSentinel(target.hosts, sentinel_kwargs=_for_sentinel(target, once))
        client: Any = sentinel.master_for(target.service, retry=once, **target.options)
        client.watchers = sentinel
        return client
    options = dict(target.options)
    kind = options.pop("connection_class", None)
    if kind is not None:  # parse_url names the classes for threads
        options["connection_class"] = getattr(redis.asyncio, kind.__name__)
    return redis.asyncio.Redis.from_pool(redis.asyncio.ConnectionPool(retry=once, **options))


def _for_sentinel(target: _Target, retry: Any) -> dict[str, Any]:
    timeouts = {name: value for name, value in target.options.items() if name.startswith("socket_")}
    return {**timeouts, **target.sentinel, "retry": retry}


def _closed(client: Any) -> None:
    client.close()
    if (sentinel := getattr(client, "watchers", None)) is not None:
        sentinel.close()


async def _aclosed(client: Any) -> None:
    await client.aclose()
    if (sentinel := getattr(client, "watchers", None)) is not None:
        for one in sentinel.sentinels:
            await one.aclose()


def _lasts(error: Exception) -> bool:
    if isinstance(error, refused.RedisClusterException):  # also raised for what waiting does not mend
        return "cannot be connected" not in str(error) or isinstance(error.__cause__, LASTING)
    return isinstance(error, LASTING)


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__
