"""URLs, and calls that are made again. No server: the client is a double."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from redis import exceptions as refused
from redis.asyncio import SSLConnection as AsyncSSLConnection
from redis.connection import SSLConnection, UnixDomainSocketConnection

from octopus_graph.effects import arun, run
from octopus_graph.errors import ConfigurationError
from octopus_graph.persistence import Link, StoreError
from octopus_graph.persistence.scripts import GET


def options(link: Link) -> dict[str, Any]:
    return link.client().connection_pool.connection_kwargs


def test_both_timeouts_are_set_and_the_url_has_the_last_word() -> None:
    read = options(Link("redis://me:p%40ss@host:7000/3"))
    assert (read["socket_timeout"], read["socket_connect_timeout"]) == (5.0, 2.0)
    assert (read["host"], read["port"], read["db"], read["username"], read["password"]) == (
        "host",
        7000,
        3,
        "me",
        "p@ss",
    )
    assert options(Link("redis://host?socket_timeout=9&decode_responses=true"))["socket_timeout"] == 9.0
    assert options(Link("redis://host?decode_responses=true"))["decode_responses"] is False


def test_tls_and_sockets() -> None:
    link = Link("rediss://host:7000?ssl_ca_certs=/ca.pem")
    assert link.client().connection_pool.connection_class is SSLConnection
    assert options(link)["ssl_ca_certs"] == "/ca.pem"
    assert Link("unix:///a%20b/c.sock").client().connection_pool.connection_class is UnixDomainSocketConnection
    assert options(Link("unix:///a%20b/c.sock"))["path"] == "/a b/c.sock"

    async def pool() -> Any:
        return link.async_client().connection_pool

    assert asyncio.run(pool()).connection_class is AsyncSSLConnection


@pytest.mark.parametrize("tls", [False, True])
def test_sentinels_have_accounts_of_their_own(tls: bool) -> None:
    scheme = "rediss+sentinel" if tls else "redis+sentinel"
    link = Link(f"{scheme}://me:pw@one:1,two/service/2?sentinel_username=s&sentinel_password=t")
    assert link.where == "one:1,two"
    read, watchers = options(link), link.client().watchers.sentinels
    assert (read["username"], read["password"], read["db"], read["socket_timeout"]) == ("me", "pw", 2, 5.0)
    assert "host" not in read
    assert issubclass(link.client().connection_pool.connection_class, SSLConnection) == tls
    seen = [watcher.connection_pool.connection_kwargs for watcher in watchers]
    assert [(one["host"], one["port"]) for one in seen] == [("one", 1), ("two", 26379)]
    assert {(one["username"], one["password"], one["socket_timeout"]) for one in seen} == {("s", "t", 5.0)}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://host", "begins with one of redis://"),
        ("host:6379", "begins with one of"),
        ("", "begins with one of"),
        ("redis://host:port", "cannot be read"),
        ("redis://host?socket_timeout=soon", "cannot be read"),
        ("redis+sentinel://host:26379", "names their service"),
    ],
)
def test_a_wrong_url_is_found_at_once(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Link(url)


class Double:
    """A client that answers as it is told, error or value, and remembers what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers: Iterator[Any] = iter(answers)
        self.asked: list[tuple[Any, ...]] = []

    def execute_command(self, *arguments: Any) -> Any:
        self.asked.append(arguments)
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


class AsyncDouble(Double):
    async def execute_command(self, *arguments: Any) -> Any:
        return super().execute_command(*arguments)


@pytest.fixture(params=["sync", "async"])
def called(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the script GET on a double, sync or async."""

    def call(*answers: Any, **settings: Any) -> tuple[Any, list[str]]:
        link = Link("redis://host", **settings)
        double = Double(*answers) if request.param == "sync" else AsyncDouble(*answers)
        monkeypatch.setattr(link, "client" if request.param == "sync" else "async_client", lambda: double)
        logic = link.run(GET, "key", "argument")
        reply = run(logic) if request.param == "sync" else asyncio.run(arun(logic))
        assert {asked[2:] for asked in double.asked} == {(1, "key", "argument")}
        return reply, [asked[0] for asked in double.asked]

    return call


def test_a_script_is_sent_whole_only_where_it_is_not_known(called: Any) -> None:
    assert called("reply") == ("reply", ["EVALSHA"])
    assert called(refused.NoScriptError(), "reply") == ("reply", ["EVALSHA", "EVAL"])


@pytest.mark.parametrize(
    "error",
    [
        refused.ConnectionError("gone"),
        refused.TimeoutError(),
        refused.ReadOnlyError(),
        refused.BusyLoadingError(),
        refused.ClusterDownError("CLUSTERDOWN"),
        refused.RedisClusterException("Redis Cluster cannot be connected."),
        ConnectionResetError(),
    ],
)
def test_what_passes_is_waited_for(called: Any, error: Exception) -> None:
    assert called(error, error, "reply") == ("reply", ["EVALSHA"] * 3)
    with pytest.raises(StoreError, match="Redis at host does not do its part"):
        called(error, patience=0)


@pytest.mark.parametrize(
    "error",
    [
        refused.AuthenticationError("WRONGPASS"),
        refused.NoPermissionError("NOPERM"),
        refused.ResponseError("ERR something"),
        refused.RedisClusterException("Cluster mode is not enabled on this node"),
        refused.OutOfMemoryError(),
    ],
)
def test_what_does_not_pass_is_said_at_once(called: Any, error: Exception) -> None:
    with pytest.raises(StoreError) as said:
        called(error)
    assert said.value.__cause__ is error
    with pytest.raises(StoreError):
        called(refused.NoScriptError(), error)


def test_a_dead_server_is_revived_and_a_slow_one_is_not(called: Any) -> None:
    revived: list[int] = []
    called(refused.ConnectionError(), refused.TimeoutError(), "reply", revive=lambda: revived.append(1))
    assert revived == [1]
