"""Delta channels: rebuilt as LangGraph's own saver rebuilds them, also after pruning and copying, and kept alive by
their heirs."""

import operator
from collections.abc import Sequence
from typing import Annotated, Any

import pytest
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from octopus_graph import threads as forks
from octopus_graph.persistence import RedisSaver

pytestmark = pytest.mark.integration


def added(state: list[int], writes: Sequence[list[int]]) -> list[int]:
    return [*state, *(item for write in writes for item in write)]


class State(TypedDict):
    seen: Annotated[list[int], DeltaChannel(added, snapshot_frequency=4)]
    rare: Annotated[list[int], DeltaChannel(added, snapshot_frequency=100)]
    step: Annotated[int, operator.add]


def step(state: State) -> dict[str, Any]:
    now = state.get("step", 0)
    return {"seen": [now, -now], "step": 1} | ({"rare": [now]} if now % 5 == 0 else {})


def compiled(saver: Any) -> Any:
    builder: Any = StateGraph(State)
    builder.add_node("step", step)
    builder.add_edge(START, "step")
    builder.add_conditional_edges("step", lambda state: END if state["step"] % 7 == 0 else "step")
    return builder.compile(checkpointer=saver)


THREAD: Any = {"configurable": {"thread_id": "delta"}}


def values(graph: Any, config: Any = THREAD) -> list[Any]:
    return [snapshot.values for snapshot in graph.get_state_history(config)]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_history_is_that_of_the_saver_in_memory(saver: RedisSaver, durability: str) -> None:
    ours, theirs = compiled(saver), compiled(InMemorySaver())
    for _ in range(3):
        assert ours.invoke({"step": 0}, THREAD, durability=durability) == theirs.invoke(
            {"step": 0}, THREAD, durability=durability
        )
    assert values(ours) == values(theirs)
    assert len(ours.get_state(THREAD).values["seen"]) == 42


async def test_async_history_is_the_same(saver: RedisSaver) -> None:
    async with RedisSaver(saver.link, prefix=saver._prefix) as other:
        ours, theirs = compiled(other), compiled(InMemorySaver())
        assert await ours.ainvoke({"step": 0}, THREAD) == await theirs.ainvoke({"step": 0}, THREAD)
        assert [s.values async for s in ours.aget_state_history(THREAD)] == values(theirs)


def test_a_fork_takes_only_what_lies_on_its_way(saver: RedisSaver) -> None:
    results: list[Any] = []
    for graph in (compiled(saver), compiled(InMemorySaver())):
        graph.invoke({"step": 0}, THREAD)
        earlier = list(graph.get_state_history(THREAD))[3]
        forked = graph.update_state(earlier.config, {"seen": [99], "rare": [98]})
        results.append((graph.get_state(forked).values, graph.invoke(None, forked)))
    assert results[0] == results[1]
    assert 99 in results[0][1]["seen"]


def test_pruning_keeps_what_the_newest_is_rebuilt_from(saver: RedisSaver) -> None:
    ours, theirs = compiled(saver), compiled(InMemorySaver())
    for _ in range(2):
        ours.invoke({"step": 0}, THREAD)
        theirs.invoke({"step": 0}, THREAD)
    before, state = len(list(saver.list(THREAD))), ours.get_state(THREAD).values
    saver.prune(["delta"])
    assert ours.get_state(THREAD).values == state
    assert 1 < len(list(saver.list(THREAD))) <= before
    assert ours.invoke({"step": 0}, THREAD) == theirs.invoke({"step": 0}, THREAD)


def test_pruning_goes_back_no_further_than_it_must(saver: RedisSaver) -> None:
    """One channel was stored whole not long ago, one was first written to not long ago, and one never was."""

    class Often(TypedDict):
        seen: Annotated[list[int], DeltaChannel(added, snapshot_frequency=4)]
        late: Annotated[list[int], DeltaChannel(added, snapshot_frequency=1000)]
        never: Annotated[list[int], DeltaChannel(added, snapshot_frequency=1000)]

    builder: Any = StateGraph(Often)
    builder.add_node("step", lambda state: {"seen": [len(state["seen"])]})
    builder.add_edge(START, "step")
    graph = builder.compile(checkpointer=saver)
    for number in range(25):
        graph.invoke({"seen": [number]} | ({"late": [number]} if number >= 22 else {}), THREAD)
    state = graph.get_state(THREAD).values
    assert state["late"] == [22, 23, 24]
    before = len(list(saver.list(THREAD)))
    saver.prune(["delta"])
    assert 3 <= len(list(saver.list(THREAD))) <= 12 < before
    assert graph.get_state(THREAD).values == state
    assert graph.invoke({"seen": [25], "late": [25]}, THREAD)["late"] == [22, 23, 24, 25]


def test_a_copy_can_be_rebuilt(saver: RedisSaver) -> None:
    graph = compiled(saver)
    graph.invoke({"step": 0}, THREAD)
    saver.copy_thread("delta", "copy")
    copy: Any = {"configurable": {"thread_id": "copy"}}
    assert values(graph, copy) == values(graph)
    saver.delete_thread("delta")
    assert len(graph.get_state(copy).values["seen"]) == 14


@pytest.mark.parametrize("by", ["get", "put", "write"])
def test_ancestors_live_as_long_as_what_is_rebuilt_from_them(one: Any, saver: RedisSaver, by: str) -> None:
    with RedisSaver(saver.link, prefix=saver._prefix, ttl=100) as mortal, one.client() as client:
        graph = compiled(mortal)
        graph.invoke({"step": 0}, THREAD)
        latest, *_ = found = list(mortal.list(THREAD))
        newest, *ancestors, first = [f"{saver._prefix}:{{delta}}:c\t{each.checkpoint['id']}" for each in found]
        assert client.pttl(newest) <= 100_000
        assert min(client.pttl(key) for key in ancestors) > 150_000  # they outlive their heirs
        # Time passes: the newest was used before half of it was over, and its ancestors are close to their end.
        client.hset(newest, "t", 0)
        for key in (*ancestors, first):
            client.pexpire(key, 5_000)
        if by == "get":
            assert mortal.get_tuple(latest.config) is not None
        elif by == "put":
            heir: Any = {**latest.checkpoint, "id": empty_checkpoint()["id"]}
            mortal.put(latest.config, heir, latest.metadata, {})
            assert client.pttl(newest) > 150_000  # an ancestor as well by now
        else:
            mortal.put_writes(latest.config, [("seen", [1])], "task")
        assert min(client.pttl(key) for key in ancestors) > 150_000
        assert client.pttl(first) <= 5_000  # nothing had been written to a delta channel before
        client.unlink(first)
        assert graph.get_state(latest.config).values["seen"][-2:] == [6, -6]


def test_a_gap_is_said(one: Any, saver: RedisSaver, caplog: pytest.LogCaptureFixture) -> None:
    compiled(saver).invoke({"step": 0}, THREAD)
    third = list(saver.list(THREAD))[2]
    with one.client() as client:
        client.unlink(f"{saver._prefix}:{{delta}}:c\t{third.checkpoint['id']}")
    saver.get_delta_channel_history(config=THREAD, channels=["rare"])
    assert "is gone" in caplog.text


def test_a_fork_of_a_thread_can_be_rebuilt(saver: RedisSaver) -> None:
    graph = compiled(saver)
    for _ in range(2):
        graph.invoke({"step": 0}, THREAD)
    history = list(graph.get_state_history(THREAD))
    past = history[5]
    forks.fork(saver, "delta", "fork", checkpoint=past.config["configurable"]["checkpoint_id"])
    forks.fork(saver, "delta", "whole")

    assert values(graph, {"configurable": {"thread_id": "fork"}}) == [snapshot.values for snapshot in history[5:]]
    assert values(graph, {"configurable": {"thread_id": "whole"}}) == [snapshot.values for snapshot in history]
