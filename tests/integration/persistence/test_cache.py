"""RedisCache on real servers: LangGraph's interface, one flight for all processes, and what is survived."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import CachePolicy
from typing_extensions import TypedDict

from octopus_graph.effects import Logic, Pause, arun, run
from octopus_graph.errors import ConfigurationError, StoreError
from octopus_graph.persistence import RedisCache, open_cache
from octopus_graph.persistence.cache import TIMEOUT
from octopus_graph.persistence.connecting import Link
from octopus_graph.persistence.entries import Entry, Found, Made

pytestmark = pytest.mark.integration

KEY = (("a", "b"), "k")
# One who wants a value that takes a while: says that it computes, and ends with what it got.
WORKER = """\
import sys, time, json
from octopus_graph.effects import Pause, run
from octopus_graph.persistence import RedisCache
from octopus_graph.persistence.entries import Entry, Made

url, prefix, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])

def compute():
    print("computes", flush=True)
    yield Pause(seconds)
    return Made("value")

with RedisCache(url, prefix=prefix, lease=2.0) as cache:
    print("ready", flush=True)
    sys.stdin.readline()
    entry = Entry("answer", "one", 60, str, str)
    found = run(cache.once(entry, compute))
    print(json.dumps([found.value, found.cached]), flush=True)
"""


class State(TypedDict):
    n: int


def entry(name: str = "one", ttl: float = 60) -> Entry[str]:
    return Entry("answer", name, ttl, str, str)


def computing(seconds: float, calls: list[float], value: str = "value") -> Any:
    def compute() -> Logic[Made[str]]:
        calls.append(time.monotonic())
        yield Pause(seconds)
        return Made(value)

    return compute


def worker(url: str, prefix: str, seconds: float) -> "subprocess.Popen[str]":
    command = [sys.executable, "-W", "error", "-c", WORKER, url, prefix, str(seconds)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture
def url(one: Any) -> str:
    return f"redis://127.0.0.1:{one.port}"


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid4().hex}"


@pytest.fixture
async def cache(url: str, prefix: str) -> AsyncGenerator[RedisCache]:
    async with RedisCache(url, prefix=prefix) as found:
        yield found


# ---------------------------------------------------------------- LangGraph's interface


async def test_any_graph_can_use_it(cache: RedisCache) -> None:
    calls: list[int] = []

    def node(state: State) -> State:
        calls.append(state["n"])
        return {"n": state["n"] + 1}

    builder: Any = StateGraph(State)
    builder.add_node("node", node, cache_policy=CachePolicy(ttl=60))
    builder.add_edge(START, "node")
    graph = builder.compile(cache=cache)
    assert (await asyncio.to_thread(graph.invoke, {"n": 1})) == {"n": 2}
    assert (await graph.ainvoke({"n": 1})) == {"n": 2}
    assert (await graph.ainvoke({"n": 5})) == {"n": 6}
    assert calls == [1, 5]
    await graph.aclear_cache(["node"])
    await graph.ainvoke({"n": 1})
    assert calls == [1, 5, 1]


async def test_values_come_back_in_both_worlds(cache: RedisCache) -> None:
    other = (("a",), "b:k")
    await cache.aset({KEY: ({"x": [1, None]}, None), other: ("é", 60)})
    assert await cache.aget([KEY, other, (("a", "b"), "absent")]) == {KEY: {"x": [1, None]}, other: "é"}
    assert await asyncio.to_thread(cache.get, [KEY]) == {KEY: {"x": [1, None]}}
    assert await cache.aget([]) == {}
    await cache.aclear([("a",)])
    assert list(await cache.aget([KEY, other])) == [KEY]
    await cache.aclear()
    assert await cache.aget([KEY]) == {}


async def test_entries_expire_each_a_little_earlier_than_asked(cache: RedisCache, one: Any, prefix: str) -> None:
    await cache.aset({(("ns",), str(number)): (number, 100) for number in range(50)})
    with one.client() as client:
        lives = [client.pttl(key) for key in client.scan_iter(f"{prefix}:cache:node:*")]
    assert len(lives) == 50
    assert max(lives) <= 100_000
    assert min(lives) > 85_000
    assert max(lives) - min(lives) > 1_000
    await cache.aset({KEY: (1, 0)})
    await asyncio.sleep(0.01)
    assert await cache.aget([KEY]) == {}


async def test_on_a_cluster_keys_are_spread_and_nothing_crosses_slots(three: str, prefix: str) -> None:
    async with RedisCache(three, prefix=prefix) as cache:
        pairs: Any = {(("ns", str(number % 3)), str(number)): (number, None) for number in range(60)}
        await cache.aset(pairs)
        assert len(await cache.aget(list(pairs))) == 60
        assert len(await asyncio.to_thread(cache.get, list(pairs))) == 60
        calls: list[float] = []
        first, second = [await arun(cache.once(entry(), computing(0, calls))) for _ in range(2)]
        assert (first.cached, second.cached, len(calls)) == (False, True, 1)
        await cache.aclear([("ns", "0")])
        assert len(await cache.aget(list(pairs))) == 40
        stats = await cache.astats()
        assert (stats["node"]["entries"], stats["answer"]["entries"], stats["node"]["error"]) == (40, 1, 0)
        await cache.aclear()
        assert await cache.aget(list(pairs)) == {}


async def test_the_event_loop_is_not_held_by_a_frozen_server(private: Any) -> None:
    async with RedisCache(f"redis://127.0.0.1:{private.port}") as cache:
        await cache.aset({KEY: (1, None)})
        private.process.send_signal(signal.SIGSTOP)
        try:
            waiting = asyncio.create_task(cache.aget([KEY]))
            longest, last = 0.0, time.monotonic()
            while not waiting.done():
                await asyncio.sleep(0.005)
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
            assert await waiting == {}
            assert longest < TIMEOUT * 0.8
        finally:
            private.process.send_signal(signal.SIGCONT)


# ---------------------------------------------------------------- dead, frozen, full, broken


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
async def test_a_dead_server_costs_one_wait_and_is_found_again(
    private: Any, end: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "octopus_graph")
    async with RedisCache(f"redis://127.0.0.1:{private.port}") as cache:
        await cache.aset({KEY: (1, None)})
        private.process.send_signal(end)
        started = time.monotonic()
        for _ in range(50):
            assert await cache.aget([KEY]) == {}
            await cache.aset({KEY: (2, None)})
            assert (await arun(cache.once(entry(), computing(0, [])))).value == "value"
        assert time.monotonic() - started < 5
        warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert len(warnings) == 1
        assert "goes on without its cache" in warnings[0].getMessage()
        if end == signal.SIGSTOP:
            private.process.send_signal(signal.SIGCONT)
        else:
            private.process.wait()
            private.start()
        deadline = time.monotonic() + 40
        while not await cache.aget([KEY]):
            assert time.monotonic() < deadline
            await cache.aset({KEY: (3, None)})
            await asyncio.sleep(0.1)
        assert caplog.records[-1].getMessage().endswith("is back.")
        assert sum(tally["error"] for tally in cache.counters.read().values()) >= 1


async def test_a_server_killed_in_the_middle_of_a_computation_loses_nothing(private: Any) -> None:
    async with RedisCache(f"redis://127.0.0.1:{private.port}") as cache:

        def compute() -> Logic[Made[str]]:
            yield Pause(0)
            private.kill()
            return Made("value")

        assert await arun(cache.once(entry(), compute)) == Found("value")
        private.start()


async def test_a_full_server_is_survived(private: Any) -> None:
    private.ask("CONFIG", "SET", "maxmemory", "1")
    async with RedisCache(f"redis://127.0.0.1:{private.port}") as cache:
        await cache.aset({KEY: (1, None)})
        assert await cache.aget([KEY]) == {}
        assert (await arun(cache.once(entry(), computing(0, [])))).value == "value"
        assert cache.counters.read()["node"]["error"] == 1


async def test_rubbish_counts_as_stale(cache: RedisCache, one: Any, prefix: str) -> None:
    await cache.aset({KEY: (1, None)})
    with one.client() as client:
        (key,) = client.scan_iter(f"{prefix}:cache:node:*")
        for write in (
            lambda: client.set(key, b"\xff"),
            lambda: client.set(key, b"pickle\n\x80"),
            lambda: client.lpush(key, 1),
        ):
            client.delete(key)
            write()
            assert await cache.aget([KEY]) == {}
    assert cache.counters.read()["node"]["stale"] == 3
    await cache.aset({KEY: (2, None)})
    assert await cache.aget([KEY]) == {KEY: 2}


async def test_whoever_clears_or_counts_is_told_that_it_did_not_work(private: Any) -> None:
    async with RedisCache(f"redis://127.0.0.1:{private.port}") as cache:
        private.kill()
        for work in (cache.aclear, cache.astats):
            with pytest.raises(StoreError, match=r"Redis at 127\.0\.0\.1"):
                await work()
        with pytest.raises(StoreError):
            cache.clear()


def test_an_embedded_server_is_brought_back_by_the_cache_alone(tmp_path: Path) -> None:
    with open_cache("embedded", folder=tmp_path) as cache:
        cache.set({KEY: (1, None)})
        (server,) = [one for one in psutil.process_iter() if _is_of(one, tmp_path)]
        server.kill()
        server.wait()
        deadline = time.monotonic() + 40
        while cache.get([KEY]) != {KEY: 1}:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert not [one for one in psutil.process_iter() if _is_of(one, tmp_path)]


def _is_of(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and f"unixsocket:{folder}" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def test_an_embedded_server_that_does_not_start_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("not a folder")
    with open_cache("embedded", folder=tmp_path) as cache:
        assert cache.get([KEY]) == {}
        assert run(cache.once(entry(), computing(0, []))).value == "value"


# ---------------------------------------------------------------- single flight


def test_many_processes_compute_once(url: str, prefix: str) -> None:
    processes = [worker(url, prefix, 1.0) for _ in range(4)]
    for process in processes:
        assert said(process) == "ready"
    for process in processes:
        go(process)
    outputs = [process.communicate(timeout=60)[0].split("\n") for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sum("computes" in lines for lines in outputs) == 1
    results = [json.loads(lines[-2]) for lines in outputs]
    assert sorted(results) == [["value", False], *[["value", True]] * 3]
    with RedisCache(url, prefix=prefix) as cache:
        tally = cache.stats()["answer"]
    assert (tally["hit"], tally["miss"], tally["entries"]) == (3, 1, 1)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_whoever_waits_takes_over_from_a_dead_leader(url: str, prefix: str, end: signal.Signals) -> None:
    leader = worker(url, prefix, 60)
    try:
        assert said(leader) == "ready"
        go(leader)
        assert said(leader) == "computes"
        calls: list[float] = []
        with RedisCache(url, prefix=prefix, lease=2.0) as cache:
            leader.send_signal(end)
            started = time.monotonic()
            assert run(cache.once(entry(), computing(0, calls))) == Found("value")
        assert len(calls) == 1
        assert 0.3 < time.monotonic() - started < 20  # after its lease, long before it would have been done
    finally:
        leader.kill()
        leader.communicate()


def test_a_leader_that_takes_long_keeps_its_lease(url: str, prefix: str) -> None:
    leader = worker(url, prefix, 5)  # two leases and a half
    assert said(leader) == "ready"
    go(leader)
    assert said(leader) == "computes"
    calls: list[float] = []
    with RedisCache(url, prefix=prefix) as cache:
        found = run(cache.once(entry(), computing(0, calls)))
    assert (found.value, found.cached, calls) == ("value", True, [])
    leader.communicate(timeout=60)


async def test_a_cancelled_leader_makes_room_at_once(cache: RedisCache) -> None:
    calls: list[float] = []
    leader = asyncio.create_task(arun(cache.once(entry(), computing(60, calls))))
    while not calls:  # noqa: ASYNC110 - it may be any effect that it waits for
        await asyncio.sleep(0.01)
    follower = asyncio.create_task(arun(cache.once(entry(), computing(0, calls))))
    await asyncio.sleep(0)
    leader.cancel()
    started = time.monotonic()
    assert (await follower).value == "value"
    assert time.monotonic() - started < 4  # and not the whole lease
    assert len(calls) == 2


async def test_a_sync_call_in_the_thread_of_a_loop_does_not_wait_for_that_loop(cache: RedisCache) -> None:
    calls: list[float] = []
    leader = asyncio.create_task(arun(cache.once(entry(), computing(1, calls))))
    while not calls:  # noqa: ASYNC110 - it may be any effect that it waits for
        await asyncio.sleep(0.01)
    started = time.monotonic()
    assert run(cache.once(entry(), computing(0, calls))) == Found("value")
    assert time.monotonic() - started < 10  # and not until it loses patience
    assert (await leader).value == "value"


async def test_nobody_waits_for_a_third_leader_that_fails(cache: RedisCache) -> None:
    begun: list[int] = []

    def failing() -> Logic[Made[str]]:
        begun.append(1)
        yield Pause(0.2)
        raise ConnectionError("refused")

    started = time.monotonic()
    flights = [arun(cache.once(entry(), failing)) for _ in range(20)]
    results = await asyncio.gather(*flights, return_exceptions=True)
    assert {type(result) for result in results} == {ConnectionError}
    assert len(begun) == 20
    assert time.monotonic() - started < 20 * 0.2  # two in turn, the others together


def test_what_is_not_to_be_kept_is_not(url: str, prefix: str) -> None:
    def compute() -> Logic[Made[str]]:
        yield Pause(0)
        return Made("private", keep=False)

    with RedisCache(url, prefix=prefix) as cache:
        assert run(cache.once(entry(), compute)) == Found("private")
        assert not run(cache.once(entry(), computing(0, []))).cached


# ---------------------------------------------------------------- counters and wrong settings


def test_counters_of_all_processes_add_up(url: str, prefix: str) -> None:
    for _ in range(2):
        with RedisCache(url, prefix=prefix) as cache:
            for _ in range(3):
                run(cache.once(entry(), computing(0.05, [])))
    with RedisCache(url, prefix=prefix) as cache:
        tally = cache.stats()["answer"]
        assert (tally["miss"], tally["hit"], tally["error"]) == (1, 5, 0)
        assert 0 < tally["saved_ms"] <= 5 * 1000
        assert cache.counters.read() == {}
        assert cache.clear_kind("decision") == 0
        assert cache.clear_kind("answer") == 1
        cache.clear()
        assert cache.stats() == {}


def test_a_process_that_closes_nothing_sends_its_last_counters_all_the_same(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from octopus_graph.persistence import open_cache;"
        "cache = open_cache('embedded', folder=Path(sys.argv[1])); cache.get([(('a',), 'k')])"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("", "")
    with open_cache("embedded", folder=tmp_path) as cache:
        assert cache.stats()["node"]["miss"] == 1


def test_wrong_settings_are_refused() -> None:
    settings: list[dict[str, Any]] = [{"ttl": 0}, {"jitter": 1.0}, {"lease": 0}]
    for wrong in settings:
        with pytest.raises(ConfigurationError, match="needs a ttl and a lease"):
            RedisCache("redis://host", **wrong)
    with pytest.raises(ConfigurationError, match="Redis URL begins with"):
        RedisCache("http://host")


def test_a_link_of_ones_own_has_its_own_timeouts(url: str, prefix: str) -> None:
    with RedisCache(Link(url, timeout=3, patience=0), prefix=prefix) as cache:
        cache.set({KEY: (os.getpid(), None)})
        assert cache.get([KEY]) == {KEY: os.getpid()}


def test_with_a_key_nobody_reads_the_values_without_it(url: str, prefix: str) -> None:
    with open_cache(url, prefix=prefix, key=b"k" * 16) as cache:
        cache.set({KEY: ("my landlord", None)})
        run(cache.once(entry(), computing(0, [], "my landlord")))
        client = cache.link.client()
        values = [client.get(key) for key in client.scan_iter(f"{prefix}:cache:*}}")]
        assert len(values) == 2
        assert not [value for value in values if b"landlord" in value]
        assert cache.get([KEY]) == {KEY: "my landlord"}
    with open_cache(url, prefix=prefix, key=b"K" * 16) as other:
        assert other.get([KEY]) == {}
        assert not run(other.once(entry(), computing(0, []))).cached
        assert (other.counters.read()["node"]["stale"], other.counters.read()["answer"]["stale"]) == (1, 1)
