"""A run that no longer holds its thread writes nothing, whatever it believes."""

from collections.abc import Generator
from typing import Any
from uuid import uuid4

import pytest
from langgraph.checkpoint.base import empty_checkpoint

from octopus_graph.effects import run
from octopus_graph.errors import StaleRunError
from octopus_graph.persistence import RedisSaver
from octopus_graph.persistence.fencing import Hold, RedisLedger
from octopus_graph.persistence.layout import Values

pytestmark = pytest.mark.integration

THREAD: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


@pytest.fixture(params=["one", "three", "debian"])
def anywhere(request: pytest.FixtureRequest) -> Generator[RedisSaver]:
    """A saver on Valkey alone, on a cluster, on Debian's Redis."""
    place = request.getfixturevalue(request.param)
    url = place if isinstance(place, str) else f"redis://127.0.0.1:{place.port}"
    with RedisSaver(url, prefix=f"test-{uuid4()}") as found:
        yield found


def hold(saver: RedisSaver, token: str) -> Hold:
    return Hold(saver.link, saver.prefix, "t", token, 60_000)


def written(saver: RedisSaver, value: str) -> Any:
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"said": value}
    checkpoint["channel_versions"] = {"said": saver.get_next_version(None, None)}
    return saver.put(THREAD, checkpoint, {"source": "loop", "step": 0}, checkpoint["channel_versions"])


def test_the_holder_writes_and_whoever_held_the_thread_before_does_not(anywhere: RedisSaver) -> None:
    run(hold(anywhere, "1").take())
    first = anywhere.fenced("1")
    config = written(first, "one")
    run(hold(anywhere, "2").take())
    with pytest.raises(StaleRunError, match="no longer holds the thread 't'"):
        written(first, "late")
    with pytest.raises(StaleRunError):
        first.put_writes(config, [("said", "late")], "task")
    second = anywhere.fenced("2")
    second.put_writes(config, [("said", "two")], "task")
    found = anywhere.get_tuple(THREAD)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"said": "one"}
    assert [write[2] for write in found.pending_writes or []] == ["two"]


def test_the_holder_before_cannot_take_the_thread_back(anywhere: RedisSaver) -> None:
    run(hold(anywhere, "10").take())
    with pytest.raises(StaleRunError):
        run(hold(anywhere, "9").take())  # 9 is smaller, though it is the greater text
    run(hold(anywhere, "9").drop(answers=True))
    written(anywhere.fenced("10"), "still mine")


def test_nobody_holds_a_thread_that_was_given_back(saver: RedisSaver) -> None:
    run(hold(saver, "1").take())
    run(hold(saver, "1").drop(answers=True))
    with pytest.raises(StaleRunError):
        written(saver.fenced("1"), "late")


def test_a_run_does_not_bring_a_deleted_thread_back(saver: RedisSaver) -> None:
    run(hold(saver, "1").take())
    held = saver.fenced("1")
    written(held, "one")
    saver.delete_thread("t")
    with pytest.raises(StaleRunError):
        written(held, "two")
    assert saver.get_tuple(THREAD) is None


def test_savers_without_a_token_are_not_asked_for_one(saver: RedisSaver) -> None:
    run(hold(saver, "1").take())
    written(saver, "from outside")


async def test_async_writes_are_refused_alike(one: Any) -> None:
    async with RedisSaver(f"redis://127.0.0.1:{one.port}", prefix=f"test-{uuid4()}") as saver:
        with pytest.raises(StaleRunError):
            await saver.fenced("1").aput_writes(
                {"configurable": {"thread_id": "t", "checkpoint_id": "c"}}, [("said", "x")], "task"
            )


def test_the_first_answer_to_a_call_is_the_one_that_counts(anywhere: RedisSaver) -> None:
    run(hold(anywhere, "1").take())
    ledger = RedisLedger(hold(anywhere, "1"), "run", Values(anywhere.serde))
    assert run(ledger.find("key")) is None
    assert run(ledger.keep("key", "first")) == "first"
    assert run(ledger.keep("key", "second")) == "first"
    run(hold(anywhere, "2").take())
    with pytest.raises(StaleRunError):
        run(ledger.keep("other", "late"))
    after = RedisLedger(hold(anywhere, "2"), "run", Values(anywhere.serde))
    assert run(after.find("key")) == "first"
    run(hold(anywhere, "2").drop(answers=False))
    assert run(after.find("key")) == "first"
    run(hold(anywhere, "2").take())
    run(hold(anywhere, "2").drop(answers=True))
    assert run(after.find("key")) is None


def test_what_a_run_leaves_behind_goes_with_its_thread_or_by_itself(saver: RedisSaver) -> None:
    brief = Hold(saver.link, saver.prefix, "t", "1", 60_000)
    run(brief.take())
    run(RedisLedger(brief, "run", Values(saver.serde)).keep("key", "answer"))
    client = saver.link.client()
    keys = list(client.scan_iter(match=f"{saver.prefix}:*"))
    assert len(keys) == 2
    assert all(0 < client.pttl(key) <= 60_000 for key in keys)
    saver.delete_thread("t")
    assert not list(client.scan_iter(match=f"{saver.prefix}:*"))
