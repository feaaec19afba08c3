"""What lies in Redis: how many keys, for how long, in which slots, and in how many round trips."""

import operator
from collections.abc import Iterator
from typing import Annotated, Any
from uuid import uuid4

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

from octopus_graph.persistence import RedisSaver, StoreError
from octopus_graph.persistence.layout import place_of

pytestmark = pytest.mark.integration

STATIC = "x" * 50_000


def steps(saver: RedisSaver, count: int, thread: str = "t", **values: Any) -> Iterator[Any]:
    """Puts checkpoints as a run does: one channel changes at each step, the others never."""
    config: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
    for number in range(count):
        changed: Any = {"n": number} if number else dict.fromkeys(["n", *values], 0)
        checkpoint: Any = {
            **empty_checkpoint(),
            "channel_values": {"n": number, **values},
            "channel_versions": {"n": number, **dict.fromkeys(values, 0)},
        }
        config = saver.put(config, checkpoint, {"source": "loop", "step": number}, changed)
        yield config


@pytest.fixture
def keys(one: Any, saver: RedisSaver) -> Any:
    def found() -> list[str]:
        with one.client() as client:
            return sorted(client.scan_iter(f"{saver._prefix}:*", count=10_000))

    return found


def test_keys_grow_by_one_a_step_and_a_static_channel_is_stored_once(one: Any, saver: RedisSaver, keys: Any) -> None:
    for _ in steps(saver, 3_000, static=STATIC):
        pass
    assert len(keys()) == 3_000 + 2
    blobs = f"{saver._prefix}:{{t}}:b"
    with one.client() as client:
        assert client.hlen(blobs) == 3_000 + 1
        total = sum(client.memory_usage(key, samples=0) for key in keys())
        assert total / 3_000 < 2_000
        saver.prune(["t"])
        assert len(keys()) == 3
        assert client.hlen(blobs) == 2
    found = saver.get_tuple({"configurable": {"thread_id": "t"}})
    assert found is not None
    assert found.checkpoint["channel_values"] == {"n": 2_999, "static": STATIC}
    saver.delete_thread("t")
    assert keys() == []


def test_what_expires_leaves_nothing_behind(one: Any, saver: RedisSaver, keys: Any) -> None:
    with RedisSaver(saver.link, prefix=saver._prefix, ttl=1000) as mortal, one.client() as client:
        index, blobs = f"{saver._prefix}:{{t}}:i", f"{saver._prefix}:{{t}}:b"
        past: list[str] = []
        for number, config in enumerate(steps(mortal, 2_000, static="s"), start=1):
            past.append(f"{saver._prefix}:{{t}}:c\t{config['configurable']['checkpoint_id']}")
            if number > 20:
                client.unlink(past[number - 21])  # its time is over
        assert len(keys()) == 20 + 2
        assert client.zcard(index) < 20 + 60
        assert client.hlen(blobs) < 20 + 200
        assert len(list(mortal.list({"configurable": {"thread_id": "t"}}))) == 20


def test_reading_lets_a_checkpoint_live_on(one: Any, saver: RedisSaver, keys: Any) -> None:
    with RedisSaver(saver.link, prefix=saver._prefix, ttl=100) as mortal, one.client() as client:
        *_, old, new = steps(mortal, 3)
        assert all(90_000 < client.pttl(key) <= 100_000 for key in keys())
        for key in keys():
            client.pexpire(key, 20_000)
        mortal.get_tuple(old)
        left = {key: client.pttl(key) for key in keys()}
        unread = [key for key in keys() if client.pttl(key) <= 20_000]
        assert len(unread) == 2, left  # the two that were not read
        assert not any(old["configurable"]["checkpoint_id"] in key for key in unread)
        mortal.put_writes(new, [("a", 1)], "task")
        assert client.pttl(next(key for key in keys() if new["configurable"]["checkpoint_id"] in key)) > 90_000


def test_a_thread_without_an_end_is_given_none_by_a_reader(one: Any, saver: RedisSaver, keys: Any) -> None:
    *_, last = steps(saver, 2)
    with RedisSaver(saver.link, prefix=saver._prefix, ttl=100) as mortal, one.client() as client:
        mortal.get_tuple(last)
        assert {client.pttl(key) for key in keys()} == {-1}
        *_, _ = steps(mortal, 2, thread="u")
        *_, _ = steps(saver, 1, thread="u")  # one that must last makes what it shares last
        assert client.pttl(f"{saver._prefix}:{{u}}:i") == client.pttl(f"{saver._prefix}:{{u}}:b") == -1


def test_a_value_that_went_is_brought_again(one: Any, saver: RedisSaver) -> None:
    run = steps(saver, 3, static="still here")
    next(run)
    saver.delete_thread("t")  # while the run goes on
    *_, last = run
    found = saver.get_tuple(last)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"n": 2, "static": "still here"}


def test_a_value_that_redis_lost_is_an_error_and_not_an_empty_channel(one: Any, saver: RedisSaver) -> None:
    *_, last = steps(saver, 2, static="s")
    with one.client() as client:
        client.unlink(f"{saver._prefix}:{{t}}:b")
    with pytest.raises(StoreError, match=r"lost the value of 'n'.* noeviction"):
        saver.get_tuple(last)


def test_one_round_trip_per_get_and_put(saver: RedisSaver, monkeypatch: pytest.MonkeyPatch) -> None:
    *_, last = steps(saver, 2, static=STATIC)
    saver.put_writes(last, [("a", 1)], "task")
    assert saver.get_tuple(last) is not None  # the server knows the scripts from here on
    client, sent = saver.link.client(), list[str]()
    monkeypatch.setattr(client, "execute_command", _counted(client.execute_command, sent))
    *_, last = steps(saver, 5, thread="u", static=STATIC)
    assert len(sent) == 5
    saver.get_tuple(last)
    saver.put_writes(last, [("a", 1), ("b", 2)], "task")
    assert sent == ["EVALSHA"] * 7
    assert len(list(saver.list({"configurable": {"thread_id": "u", "checkpoint_ns": ""}}))) == 5
    assert len(sent) in {8, 9}  # the page's script may be new to the server


async def test_async_takes_no_more_round_trips(saver: RedisSaver, monkeypatch: pytest.MonkeyPatch) -> None:
    *_, last = steps(saver, 2, static=STATIC)
    saver.put_writes(last, [("a", 1)], "task")
    saver.get_tuple(last)
    client, sent = saver.link.async_client(), list[str]()
    monkeypatch.setattr(client, "execute_command", _counted(client.execute_command, sent))
    config: Any = {"configurable": {"thread_id": "u", "checkpoint_ns": ""}}
    config = await saver.aput(config, {**empty_checkpoint(), "channel_values": {}}, {"step": 0}, {})
    await saver.aput_writes(config, [("a", 1)], "task")
    assert await saver.aget_tuple(config) is not None
    assert sent == ["EVALSHA"] * 3
    await saver.aclose()


def test_what_deleted_runs_were_made_of_is_collected(one: Any, saver: RedisSaver, keys: Any) -> None:
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    for number in range(4):
        checkpoint: Any = {
            **empty_checkpoint(),
            "channel_values": {"n": number},
            "channel_versions": {"n": number},
        }
        config = saver.put(config, checkpoint, {"run_id": f"run {number % 2}"}, {"n": number})
    saver.delete_for_runs(["run 1"])
    with one.client() as client:
        assert sorted(client.hkeys(f"{saver._prefix}:{{t}}:b")) == ["n\t0", "n\t2"]
    saver.delete_for_runs(["run 0"])
    assert [key for key in keys() if not key.endswith(":i")] == []


def _counted(function: Any, sent: list[str]) -> Any:
    def execute(*arguments: Any, **options: Any) -> Any:
        sent.append(arguments[0])
        return function(*arguments, **options)

    return execute


THREADS = ["", "a}b{c", "{x}", "{}", "ä ö/ü:*?[1]", "50%", "tab\tline\n", "%"]


@pytest.mark.parametrize("where", ["one", "three"])
def test_any_name_lies_in_one_slot(where: str, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue(where)
    url = server if isinstance(server, str) else f"redis://127.0.0.1:{server.port}"
    with RedisSaver(url, prefix=f"any:{uuid4()}") as saver:
        for thread in THREADS:
            for space in ("", "a:b|c{d}", "tab\tspace"):
                config: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": space}}
                checkpoint: Any = {
                    **empty_checkpoint(),
                    "channel_values": {"branch:to:{x}\t": thread},
                    "channel_versions": {"branch:to:{x}\t": 1},
                }
                config = saver.put(config, checkpoint, {"run_id": "r"}, {"branch:to:{x}\t": 1})
                saver.put_writes(config, [("w\n{}", space)], "task\t1", "path\n")
                found = saver.get_tuple(config)
                assert found is not None
                assert found.config == config
                assert found.checkpoint["channel_values"] == {"branch:to:{x}\t": thread}
                assert found.pending_writes == [("task\t1", "w\n{}", space)]
        assert {place_of(found.config).thread for found in saver.list(None)} == set(THREADS)
        saver.prune(THREADS)
        for thread in THREADS:
            saver.copy_thread(thread, f"copy of {thread}")
        assert len(list(saver.list(None))) == 2 * 3 * len(THREADS)
        saver.delete_for_runs(["r"])
        assert list(saver.list(None)) == []


def test_a_thread_is_listed_across_namespaces_by_age(saver: RedisSaver) -> None:
    ids: list[str] = []
    for number in range(130):
        config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": "odd" if number % 2 else ""}}
        config = saver.put(config, empty_checkpoint(), {"step": number}, {})
        ids.append(config["configurable"]["checkpoint_id"])
    ids.reverse()
    thread: Any = {"configurable": {"thread_id": "t"}}
    assert [found.checkpoint["id"] for found in saver.list(thread)] == ids
    before: Any = {"configurable": {"thread_id": "t", "checkpoint_id": ids[9]}}
    assert [found.checkpoint["id"] for found in saver.list(thread, before=before, limit=3)] == ids[10:13]
    assert [found.checkpoint["id"] for found in saver.list(thread, filter={"step": 1})] == [ids[128]]
    odd: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": "odd"}}
    assert len(list(saver.list(odd))) == 65
    assert [found.checkpoint["id"] for found in saver.list(odd, before=before, limit=2)] == [ids[10], ids[12]]
    one: Any = {"configurable": {"thread_id": "t", "checkpoint_id": ids[5]}}
    assert [found.checkpoint["id"] for found in saver.list(one)] == [ids[5]]
    assert list(saver.list(thread, limit=0)) == []


class Asked(TypedDict):
    done: Annotated[list[str], operator.add]


def test_an_interrupt_waits_through_pruning_for_the_run_that_answers_it(saver: RedisSaver) -> None:
    calls: list[str] = []

    def quick(_: Asked) -> Asked:
        calls.append("quick")
        return {"done": ["quick"]}

    def ask(_: Asked) -> Asked:
        calls.append("ask")
        return {"done": [interrupt("Which?")]}

    def compiled(checkpointer: RedisSaver) -> Any:
        builder: Any = StateGraph(Asked)
        for name, node in (("quick", quick), ("ask", ask)):
            builder.add_node(name, node)
            builder.add_edge(START, name)
        return builder.compile(checkpointer=checkpointer)

    thread: Any = {"configurable": {"thread_id": "asked"}}
    assert "__interrupt__" in compiled(saver).invoke({"done": []}, thread)
    saver.prune(["asked"])
    with RedisSaver(saver.link, prefix=saver._prefix) as later:
        graph = compiled(later)
        assert graph.get_state(thread).interrupts[0].value == "Which?"
        assert sorted(graph.invoke(Command(resume="this"), thread)["done"]) == ["quick", "this"]
    assert calls.count("quick") == 1  # its write was kept, so it did not run again
    assert calls.count("ask") == 2


def test_an_interrupt_in_a_subgraph_waits_as_well(saver: RedisSaver) -> None:
    calls: list[str] = []

    def first(_: Asked) -> Asked:
        calls.append("first")
        return {"done": ["first"]}

    inner: Any = StateGraph(Asked)
    inner.add_sequence([("first", first), ("ask", lambda _: {"done": [interrupt("Which?")]})])
    inner.add_edge(START, "first")
    outer: Any = StateGraph(Asked)
    outer.add_node("inner", inner.compile())
    outer.add_edge(START, "inner")
    graph = outer.compile(checkpointer=saver)
    thread: Any = {"configurable": {"thread_id": "deep"}}
    graph.invoke({"done": []}, thread)
    saver.prune(["deep"])
    assert graph.invoke(Command(resume="this"), thread)["done"] == ["first", "this"]
    assert calls == ["first"]


def test_what_is_on_its_way_outlives_pruning(saver: RedisSaver) -> None:
    """With durability="async" a task's writes may arrive before the checkpoint that it ran on."""
    *_, last = steps(saver, 2)
    coming = empty_checkpoint()
    config: Any = {"configurable": {**last["configurable"], "checkpoint_id": coming["id"]}}
    saver.put_writes(config, [("a", 1)], "task")
    latest = saver.get_tuple({"configurable": {"thread_id": "t"}})
    assert latest is not None
    assert latest.config == last
    saver.prune(["t"])
    saver.put(last, coming, {"step": 2}, {})
    latest = saver.get_tuple({"configurable": {"thread_id": "t"}})
    assert latest is not None
    assert latest.pending_writes == [("task", "a", 1)]
