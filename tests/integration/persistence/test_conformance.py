"""LangGraph's conformance suite, whole, on each kind of server; and through Sentinel with the master killed in its
middle."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, cast

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import Capability
from langgraph.checkpoint.conformance.report import CapabilityReport, ProgressCallbacks

from octopus_graph.persistence import Link, RedisSaver, open_saver

pytestmark = pytest.mark.integration

Opened = Callable[[], AbstractAsyncContextManager[BaseCheckpointSaver[Any]]]
TESTS = 81


async def conformance(name: str, opened: Opened, progress: ProgressCallbacks | None = None) -> CapabilityReport:
    @checkpointer_test(name=name)
    async def factory() -> AsyncGenerator[BaseCheckpointSaver[Any], None]:
        async with opened() as saver:
            yield saver

    return await validate(factory, progress=progress)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    def write(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{line}\n")

    return write


def check(report: CapabilityReport, say: Callable[[str], None]) -> None:
    failures = [failure for result in report.results.values() for failure in result.failures]
    passed = sum(result.tests_passed for result in report.results.values())
    say(f"conformance on {report.checkpointer_name}: {passed} passed, {len(failures)} failed")
    assert failures == []
    assert set(report.results) == {capability.value for capability in Capability}
    assert all(result.detected and result.passed for result in report.results.values())
    assert passed >= TESTS  # a suite that finds nothing to run passes as well


async def test_embedded(tmp_path: Path, say: Callable[[str], None]) -> None:
    check(await conformance("the embedded Valkey", lambda: open_saver("embedded", folder=tmp_path)), say)


async def test_embedded_with_ttl_and_encryption(tmp_path: Path, say: Callable[[str], None]) -> None:
    with open_saver("embedded", folder=tmp_path):  # keeps the server
        report = await conformance(
            "the embedded Valkey, with a ttl and AES",
            lambda: open_saver("embedded", folder=tmp_path, ttl=60, key=b"k" * 32),
        )
    check(report, say)


async def test_cluster(three: str, say: Callable[[str], None]) -> None:
    check(await conformance("a cluster of three masters", lambda: RedisSaver(three)), say)


async def test_debian(debian: str, say: Callable[[str], None]) -> None:
    check(await conformance("Debian's redis-server", lambda: RedisSaver(debian)), say)


async def test_sentinel_with_a_failover(group: Any, say: Callable[[str], None]) -> None:
    """The master is killed while the suite runs and while another task writes."""

    def opened() -> RedisSaver:
        return RedisSaver(Link(group.url, patience=60))

    killed: list[float] = []
    stored: list[tuple[float, str]] = []
    done = asyncio.Event()

    async def write(saver: RedisSaver) -> None:
        config: Any = {"configurable": {"thread_id": "writer", "checkpoint_ns": ""}}
        step = 0
        while not done.is_set():
            checkpoint = {**empty_checkpoint(), "channel_values": {"n": step}, "channel_versions": {"n": step}}
            config = await saver.aput(config, cast(Any, checkpoint), {"source": "loop", "step": step}, {"n": step})
            stored.append((time.monotonic(), config["configurable"]["checkpoint_id"]))
            step += 1
            await asyncio.sleep(0.002)

    def kill(capability: str) -> None:
        if capability == Capability.PUT_WRITES.value:
            group.master().process.send_signal(signal.SIGKILL)
            killed.append(time.monotonic())

    async with opened() as saver:
        before = group.master()
        writer = asyncio.create_task(write(saver))
        report = await conformance(
            "Sentinel, the master killed on the way", opened, ProgressCallbacks(on_capability_end=kill)
        )
        done.set()
        await writer
        check(report, say)
        assert group.master() is not before
        present = {
            found.checkpoint["id"]: found async for found in saver.alist({"configurable": {"thread_id": "writer"}})
        }

    lost = [moment for moment, name in stored if name not in present]
    # What was answered and is gone had been answered just before the master died: it had not reached the replica.
    assert all(killed[0] - 1.0 < moment <= killed[0] + 0.1 for moment in lost), (lost, killed)
    assert [moment for moment, _ in stored if moment > killed[0] + 0.1], "nothing was written after the failover"
    assert all(found.checkpoint["channel_values"] == {"n": found.metadata.get("step")} for found in present.values())
