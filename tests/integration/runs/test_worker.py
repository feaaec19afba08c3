"""Workers and the runs they walk, in one process; `test_chaos` kills real ones."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

from octopus_graph import Expert, create_octopus_graph
from octopus_graph.effects import arun
from octopus_graph.errors import ConfigurationError, InputError, RunError
from octopus_graph.persistence import RedisSaver, allow_list_serializer
from octopus_graph.persistence.fencing import Hold
from octopus_graph.runs import RunQueue, RunWorker
from octopus_graph.state import OctopusContext
from octopus_graph.testing import Scene, scripted_router

pytestmark = pytest.mark.integration

PATH = ["math", "law", "history"]
PLAN = {"plan": PATH}
LONG = 60.0  # seconds: the machine may be slow


class Asked:
    """Experts that note who was asked under which key, and do as they are told."""

    def __init__(self, **acts: Callable[[], Any]) -> None:
        self.calls: list[tuple[str, str]] = []
        self.acts = acts

    def expert(self, name: str) -> Expert:
        async def answer(query: str, config: RunnableConfig) -> str:
            self.calls.append((name, config.get("metadata", {}).get("idempotency_key", "")))
            if name in self.acts and asyncio.iscoroutine(done := self.acts[name]()):
                await done
            return f"{name} says {len(self.calls)}"

        return Expert(name, f"Knows {name}", RunnableLambda(answer))

    def graph(self, script: Any = PLAN, **defaults: Any) -> Any:
        router = scripted_router(script)
        experts = [self.expert(name) for name in PATH]
        return create_octopus_graph(experts, router, defaults=OctopusContext(**defaults)).compile()

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


def once(error: Exception) -> Callable[[], None]:
    """Fails the first time."""
    left = [error]

    def act() -> None:
        if left:
            raise left.pop()

    return act


async def test_a_run_is_walked_to_its_end_and_leaves_nothing_but_its_thread(
    saver: RedisSaver, queue: RunQueue, working: Any
) -> None:
    asked = Asked()
    run = await queue.asubmit("t", "a plan")
    assert (await queue.astatus(run)).status == "queued"
    async with working(asked.graph()):
        found = await queue.await_(run, LONG)
    assert (found.status, found.attempts, found.thread) == ("done", 1, "t")
    output = await queue.aresult(run)
    assert [hop["expert"] for hop in output["hops"]] == PATH
    assert isinstance(output["messages"][-1], AIMessage)
    assert asked.names == PATH
    assert len({key for _, key in asked.calls}) == 3
    assert not [key async for key in saver.link.async_client().scan_iter(match="*{t}:[fa]")]


async def test_the_settings_of_a_run_are_kept_with_it(queue: RunQueue, working: Any) -> None:
    asked = Asked()
    run = await queue.asubmit("t", "a plan", context={"max_hops": 1})
    async with working(asked.graph()):
        await queue.await_(run, LONG)
    assert asked.names == ["math"]


async def test_runs_of_one_thread_follow_each_other_though_hands_are_free(queue: RunQueue, working: Any) -> None:
    going: list[int] = []

    async def act() -> None:
        going.append(going[-1] + 1 if going else 1)
        await asyncio.sleep(0.05)
        going.append(going[-1] - 1)

    asked = Asked(math=act)
    runs = [await queue.asubmit("t", f"plan {number}", context={"max_hops": 1}) for number in range(4)]
    async with working(asked.graph(), concurrency=4):
        found = [await queue.await_(run, LONG) for run in runs]
    assert max(going) == 1
    assert [run.ended for run in found] == sorted(run.ended or 0 for run in found)
    messages = (await queue.aresult(runs[-1]))["messages"]
    assert [message.text for message in messages if message.type == "human"] == [f"plan {n}" for n in range(4)]


async def test_a_failed_run_goes_on_from_where_it_failed(queue: RunQueue, working: Any) -> None:
    asked = Asked(law=once(RuntimeError("secret words")))
    run = await queue.asubmit("t", "a plan")
    async with working(asked.graph()):
        found = await queue.await_(run, LONG)
    assert (found.status, found.attempts) == ("done", 2)
    assert asked.names == ["math", "law", "law", "history"]
    assert asked.calls[1] == asked.calls[2]  # the same key
    answers = [one for one in (await queue.aresult(run))["messages"] if isinstance(one, ToolMessage)]
    assert [one.name for one in answers] == PATH


async def test_an_answer_that_was_given_is_not_asked_for_again(queue: RunQueue, working: Any) -> None:
    """The node fails after its expert answered: in the edge router, which comes next."""
    left = [RuntimeError("the router fell over")]

    def script(scene: Scene) -> Any:
        if len(scene.answers) == 1 and left:
            raise left.pop()
        return PATH[len(scene.answers)] if len(scene.answers) < 3 else None

    asked = Asked()
    run = await queue.asubmit("t", "a plan")
    async with working(asked.graph(script)):
        assert (await queue.await_(run, LONG)).attempts == 2
    assert not left
    assert asked.names == PATH
    assert [hop["answer"] for hop in (await queue.aresult(run))["hops"]] == [
        "math says 1",
        "law says 2",
        "history says 3",
    ]


async def test_a_run_that_fails_too_often_is_dead_and_a_requeued_one_goes_on_from_its_last_checkpoint(
    queue: RunQueue, working: Any
) -> None:
    broken = [True]

    def act() -> None:
        if broken:
            raise RuntimeError("secret words")

    asked = Asked(law=act)
    run = await queue.asubmit("t", "a plan")
    after = await queue.asubmit("t", "hello")
    async with working(asked.graph({"plan": PATH, "hello": "history"}), attempts=2):
        found = await queue.await_(run, LONG)
        assert (found.status, found.attempts) == ("dead", 2)
        assert found.error is not None
        assert found.error.startswith("The expert 'law' did not answer")
        assert (await queue.await_(after, LONG)).status == "done"  # the line goes on
        assert [one.id for one in await queue.alist(dead=True)] == [run]
        with pytest.raises(RunError, match="has no result: it is dead"):
            await queue.aresult(run)
    assert asked.names == ["math", "law", "law", "history"]


async def test_a_requeued_run_asks_nobody_again(queue: RunQueue, working: Any) -> None:
    broken = [True]

    def act() -> None:
        if broken:
            raise RuntimeError("out of order")

    asked = Asked(law=act)
    run = await queue.asubmit("t", "a plan")
    async with working(asked.graph(), attempts=1):
        assert (await queue.await_(run, LONG)).status == "dead"
        broken.clear()
        await queue.arequeue(run)
        assert (await queue.await_(run, LONG)).status == "done"
    assert asked.names == ["math", "law", "law", "history"]


async def test_a_request_that_cannot_be_used_is_not_tried_twice(queue: RunQueue, working: Any) -> None:
    run = await queue.asubmit("t", {"messages": [("ai", "not a request")]})
    async with working(Asked().graph()):
        found = await queue.await_(run, LONG)
    assert (found.status, found.attempts) == ("dead", 1)
    assert found.error == "There is no request: the last message must be the user's."


async def test_a_run_that_asks_its_human_goes_on_with_the_answer(queue: RunQueue, working: Any) -> None:
    asked = Asked()
    script = {"plan": {"math": 1.0, "law": 0.9}}
    run = await queue.asubmit("t", "a plan")
    async with working(asked.graph(script, min_confidence=0.8, when_unsure="ask", max_hops=1)):
        found = await queue.await_(run, LONG)
        assert found.status == "interrupted"
        assert found.question[0]["request"] == "a plan"
        assert asked.calls == []
        await queue.aresume(run, "law")
        assert (await queue.await_(run, LONG)).status == "done"
        with pytest.raises(RunError, match="does not wait for its human: it is done"):
            await queue.aresume(run, "law")
    assert asked.names == ["law"]


async def test_an_answer_of_the_human_is_not_lost_with_an_attempt(queue: RunQueue, working: Any) -> None:
    asked = Asked(law=once(RuntimeError("fell over")))
    script = {"plan": {"math": 1.0, "law": 0.9}}
    run = await queue.asubmit("t", "a plan")
    async with working(asked.graph(script, min_confidence=0.8, when_unsure="ask", max_hops=1)):
        await queue.await_(run, LONG)
        await queue.aresume(run, "law")
        found = await queue.await_(run, LONG)
    assert (found.status, found.attempts) == ("done", 2)
    assert asked.names == ["law", "law"]


async def test_a_running_run_is_cancelled_across_workers(saver: RedisSaver, queue: RunQueue, working: Any) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.sleep(LONG)
        finally:
            ended.set()

    run = await queue.asubmit("t", "a plan")
    after = await queue.asubmit("t", "hello")
    asked = Asked(law=hang)
    async with working(asked.graph({"plan": PATH, "hello": "history"})):
        await asyncio.wait_for(begun.wait(), LONG)
        assert await RunQueue(saver).acancel(run) == "running"
        assert (await queue.await_(run, LONG)).status == "cancelled"
        assert ended.is_set()
        assert (await queue.await_(after, LONG)).status == "done"
    assert asked.names == ["math", "law", "history"]


async def test_a_worker_that_is_stopped_finishes_what_it_holds_and_takes_no_more(queue: RunQueue, working: Any) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def act() -> None:
        begun.set()
        await go.wait()

    asked = Asked(law=act)
    run, other = [await queue.asubmit(thread, "a plan") for thread in ("t", "u")]
    async with working(asked.graph(), concurrency=1) as worker:
        await asyncio.wait_for(begun.wait(), LONG)
        worker.stop()
        go.set()
    assert (await queue.astatus(run)).status == "done"
    assert (await queue.astatus(other)).status == "queued"


async def test_what_does_not_finish_in_its_grace_is_handed_back_and_goes_on_elsewhere(
    queue: RunQueue, working: Any
) -> None:
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.sleep(LONG)

    first, second = Asked(law=hang), Asked()
    run = await queue.asubmit("t", "a plan")
    async with working(first.graph(), grace=0.0):
        await asyncio.wait_for(begun.wait(), LONG)
    assert ((await queue.astatus(run)).status, (await queue.astatus(run)).attempts) == ("queued", 0)
    async with working(second.graph(), name="v"):
        assert (await queue.await_(run, LONG)).attempts == 1
    assert second.names == ["law", "history"]
    assert first.calls[-1] == second.calls[0]  # asked again, under the same key


async def test_told_to_stop_twice_it_does_not_wait(queue: RunQueue, working: Any) -> None:
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.sleep(LONG)

    run = await queue.asubmit("t", "a plan")
    async with working(Asked(math=hang).graph(), grace=LONG) as worker:
        await asyncio.wait_for(begun.wait(), LONG)
        worker.stop()
        worker.stop()
    assert (await queue.astatus(run)).status == "queued"


async def test_a_run_that_has_lost_its_thread_writes_no_more(
    saver: RedisSaver, queue: RunQueue, working: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody with a later token takes the thread while an expert thinks: what it answers comes too late."""

    async def steal() -> None:
        if len(asked.calls) == 2:
            await arun(Hold(saver.link, saver.prefix, "t", "9" * 16, 60_000).take())

    asked = Asked(law=steal)
    run = await queue.asubmit("t", "a plan")
    with caplog.at_level(logging.INFO, "octopus_graph.runs"):
        async with working(asked.graph(), attempts=1):
            assert (await queue.await_(run, LONG)).status == "dead"
    assert "no longer holds the thread 't'" in caplog.text
    saved = await saver.aget_tuple({"configurable": {"thread_id": "t"}})
    assert saved is not None
    assert [hop["expert"] for hop in saved.checkpoint["channel_values"]["hops"]] == ["math"]


async def test_a_finished_run_whose_worker_died_before_it_said_so_is_not_walked_again(
    saver: RedisSaver, queue: RunQueue, working: Any
) -> None:
    asked = Asked()
    graph = asked.graph()
    run = str(uuid4())
    config: Any = {"configurable": {"thread_id": "t"}, "metadata": {"run_id": run, "resumes": 0}}
    await graph.copy({"checkpointer": saver}).ainvoke({"messages": [("user", "a plan")]}, config)
    await queue.asubmit("t", "a plan", run_id=run)
    async with working(graph):
        assert (await queue.await_(run, LONG)).status == "done"
    assert asked.names == PATH
    assert len((await queue.aresult(run))["hops"]) == 3


async def test_sync_and_async_see_the_same_queue(saver: RedisSaver, queue: RunQueue, working: Any) -> None:
    identity = str(uuid4())
    run = await asyncio.to_thread(queue.submit, "t", "a plan", run_id=identity)
    assert run == identity
    async with working(Asked().graph()):
        found = await asyncio.to_thread(queue.wait, run, LONG)
    assert await asyncio.to_thread(queue.status, run) == found
    assert [one.id for one in await asyncio.to_thread(queue.list)] == [run]
    assert (await asyncio.to_thread(queue.result, run))["hops"] == (await queue.aresult(run))["hops"]
    assert await asyncio.to_thread(queue.cancel, run) == "done"


async def test_waiting_has_an_end_though_the_run_goes_on(queue: RunQueue) -> None:
    run = await queue.asubmit("t", "a plan")
    with pytest.raises(TimeoutError, match="is queued after 0"):
        await queue.await_(run, 0.0)


async def test_what_cannot_be_queued_is_refused(queue: RunQueue) -> None:
    with pytest.raises(InputError, match="name one that is not empty"):
        await queue.asubmit("", "a plan")
    with pytest.raises(InputError, match="'mine' is no UUID"):
        await queue.asubmit("t", "a plan", run_id="mine")
    for act in (queue.astatus, queue.acancel, queue.arequeue, queue.aresult):
        with pytest.raises(RunError, match="There is no run 'x'"):
            await act("x")


def test_a_worker_of_impossible_numbers_is_refused(saver: RedisSaver) -> None:
    with pytest.raises(ConfigurationError, match="at least one run at a time"):
        RunWorker(None, saver, concurrency=0)


async def test_of_experts_asked_at_the_same_time_only_those_that_failed_are_asked_again(
    saver: RedisSaver, queue: RunQueue, working: Any
) -> None:
    failed: list[bool] = []

    async def fail() -> None:
        while not await saver.link.async_client().exists(f"{saver.prefix}:{{t}}:a"):  # noqa: ASYNC110 - an event of Redis
            await asyncio.sleep(0.01)  # until the other's answer is on record
        if not failed:
            failed.append(True)
            raise RuntimeError("fell over")

    asked = Asked(law=fail)
    run = await queue.asubmit("t", "a plan")
    script = {"plan": {"math": 1.0, "law": 0.9}}
    async with working(asked.graph(script, min_confidence=0.8, when_unsure="fan_out")):
        assert (await queue.await_(run, LONG)).attempts == 2
    assert sorted(asked.names) == ["law", "law", "math"]
    assert len({key for _, key in asked.calls}) == 2
    assert {hop["expert"] for hop in (await queue.aresult(run))["hops"]} == {"math", "law"}


async def test_a_graph_that_is_an_expert_has_its_own_keys_and_is_fenced_alike(
    saver: RedisSaver, queue: RunQueue, working: Any
) -> None:
    inner = Asked(law=once(RuntimeError("fell over")))
    outer = create_octopus_graph(
        [Expert("general", "Asks others", inner.graph()), Asked().expert("history")],
        scripted_router({"plan": ["general", "history"]}, experts=("general", "history")),
    ).compile()
    run = await queue.asubmit("t", "a plan")
    async with working(outer):
        assert (await queue.await_(run, LONG)).attempts == 2
    assert inner.names == ["math", "law", "law", "history"]
    assert len({key for _, key in inner.calls}) == 3
    assert "" not in {key for _, key in inner.calls}
    kept: list[Any] = [one.config async for one in saver.alist({"configurable": {"thread_id": "t"}})]
    assert any(one["configurable"]["checkpoint_ns"].startswith("general:") for one in kept)


async def test_nothing_of_a_run_is_readable_where_checkpoints_are_encrypted(url: str, working: Any) -> None:
    serde = EncryptedSerializer.from_pycryptodome_aes(allow_list_serializer(), key=b"0123456789abcdef")
    asked = Asked(law=once(RuntimeError("fell over")))
    async with RedisSaver(url, prefix=(prefix := f"test-{uuid4()}"), serde=serde) as saver:
        queue, client = RunQueue(saver), saver.link.async_client()
        run = await queue.asubmit("t", "a plan of secrets", context={"max_hops": 3})
        worker = RunWorker(asked.graph(), saver, attempts=1)
        task = asyncio.create_task(worker.run())
        await queue.await_(run, LONG)
        stored = [await client.dump(key) async for key in client.scan_iter(match=f"{prefix}*")]
        assert len(stored) > 5
        assert not [one for one in stored if b"of secrets" in one or b"math says" in one]
        await queue.arequeue(run)
        assert (await queue.await_(run, LONG)).status == "done"
        worker.stop()
        await task
        assert (await queue.aresult(run))["request"] == "a plan of secrets"


async def test_outside_of_durable_runs_there_are_no_keys() -> None:
    asked = Asked()
    await asked.graph().ainvoke({"messages": [("user", "a plan")]})
    assert {key for _, key in asked.calls} == {""}
