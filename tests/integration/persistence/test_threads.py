"""Threads looked back on and forked, on three savers: ours on a real Valkey, and LangGraph's own two."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

from octopus_graph.errors import InputError, UnknownThreadError
from octopus_graph.experts import Expert
from octopus_graph.graph import create_octopus_graph
from octopus_graph.persistence import RedisSaver
from octopus_graph.state import OctopusContext
from octopus_graph.testing import EchoExpert, Pick, scripted_router
from octopus_graph.threads import before_request, delete, fork, list_threads, show, size_of, steps, thread_ids

pytestmark = pytest.mark.integration

SCRIPT = {"unsure": Pick("law", confidence=0.3), "both": ["math", "history"], "contract": "law"}
NAMES = ("math", "history", "law", "general")


@pytest.fixture(params=["redis", "memory", "sqlite"])
def store(request: pytest.FixtureRequest) -> Generator[Any]:
    match request.param:
        case "redis":
            yield request.getfixturevalue("saver")
        case "sqlite":
            with SqliteSaver.from_conn_string(":memory:") as found:
                yield found
        case _:
            yield InMemorySaver()


def octopus(store: Any, *experts: Expert) -> Any:
    made = {expert.name: expert for expert in experts}
    builder: Any = create_octopus_graph([made.get(name, EchoExpert(name)) for name in NAMES], scripted_router(SCRIPT))
    return builder.compile(checkpointer=store)


def at(thread: str) -> Any:
    return {"configurable": {"thread_id": thread}}


def say(graph: Any, thread: str, text: str, **context: Any) -> Any:
    return graph.invoke({"messages": [("user", text)]}, at(thread), context=OctopusContext(**context))


def path(result: Any) -> list[str]:
    return [hop["expert"] for hop in result["hops"]]


def test_threads_are_listed_by_age_pattern_and_state(store: Any) -> None:
    graph = octopus(store)
    say(graph, "ada-1", "a contract")
    say(graph, "ada-2", "unsure", when_unsure="ask", min_confidence=0.5)
    say(graph, "bob", "both of them")
    say(graph, "ada-1", "both of them")

    assert sorted(thread_ids(store)) == ["ada-1", "ada-2", "bob"]
    assert [thread.id for thread in list_threads(store)] == ["ada-1", "bob", "ada-2"]
    assert [thread.id for thread in list_threads(store, "ada-*", limit=1)] == ["ada-1"]
    (waiting,) = list_threads(store, status="waiting")
    assert (waiting.id, waiting.next, waiting.turns) == ("ada-2", ("route",), 1)
    assert waiting.question["request"] == "unsure"
    soon = datetime.now(UTC) + timedelta(minutes=1)
    assert list_threads(store, since=soon) == []
    assert [thread.turns for thread in list_threads(store, status="done")] == [2, 1]


def test_a_thread_is_shown_as_it_stands_and_as_it_stood(store: Any) -> None:
    say(octopus(store), "t", "both of them")

    now = show(store, "t")
    assert (now.status, now.next, path(now.values)) == ("done", (), ["math", "history"])
    past = [step for step in steps(store, "t") if step.next == ("history",)]
    then = show(store, "t", past[0].checkpoint)
    assert (then.status, path(then.values)) == ("unfinished", ["math"])
    with pytest.raises(UnknownThreadError, match="no thread 'u'"):
        show(store, "u")
    with pytest.raises(UnknownThreadError, match="no checkpoint"):
        show(store, "t", "1f000000-0000-6000-8000-000000000000")


def test_the_steps_say_what_ran_what_was_decided_and_what_comes_next(store: Any) -> None:
    say(octopus(store), "t", "both of them")

    told = [(step.ran, (step.decision or {}).get("expert", "-"), step.next) for step in steps(store, "t")]
    assert told == [
        (("finish",), "-", ()),
        (("history",), None, ("finish",)),
        (("math",), "history", ("history",)),
        (("route",), "math", ("math",)),
        (("__start__",), "-", ("route",)),
        ((), "-", ("__start__",)),
    ]
    assert [step.step for step in steps(store, "t", limit=2)] == [4, 3]
    assert steps(store, "t", limit=1)[0].ran == ("finish",)


def test_a_static_value_counts_once(store: Any) -> None:
    say(octopus(store), "t", "a contract " + "x" * 50_000)

    taken = size_of(store, "t")
    # It stands in messages, `request`, decision and hop: stored again where such a channel changes, not at each step.
    assert taken.checkpoints == 5
    assert 50_000 < taken.bytes < 1_500_000
    before = taken.bytes
    say(octopus(store), "t", "both")
    assert size_of(store, "t").checkpoints == 11
    assert size_of(store, "t").bytes > before


def test_a_fork_goes_on_where_it_was_made_and_leaves_the_thread_alone(store: Any) -> None:
    calls: list[str] = []

    def counted(query: str) -> str:
        calls.append(query)
        return f"{len(calls)}. time"

    graph = octopus(store, Expert("history", "Counts", counted))
    say(graph, "t", "both of them")
    newest = show(store, "t").checkpoint
    (middle,) = [step.checkpoint for step in steps(store, "t") if step.next == ("history",)]

    config: Any = fork(store, "t", "what if", checkpoint=middle)
    assert config["configurable"]["thread_id"] == "what if"
    assert len(calls) == 1
    result = graph.invoke(None, config)
    assert result["hops"][1]["answer"] == "2. time"
    assert [step.ran for step in steps(store, "what if")][::-1][:4] == [(), ("__start__",), ("route",), ("math",)]
    assert show(store, "t").checkpoint == newest
    assert graph.get_state(at("t")).values["hops"][1]["answer"] == "1. time"
    with pytest.raises(InputError, match="'what if' already"):
        fork(store, "t", "what if")


def test_a_fork_of_a_waiting_thread_waits_as_well(store: Any) -> None:
    graph = octopus(store)
    say(graph, "t", "unsure", when_unsure="ask", min_confidence=0.5)
    fork(store, "t", "u")

    assert show(store, "u").status == "waiting"
    context = OctopusContext(when_unsure="ask", min_confidence=0.5)
    assert path(graph.invoke(Command(resume="history"), at("u"), context=context)) == ["history"]
    assert show(store, "t").status == "waiting"


def test_a_fork_may_hold_other_values(store: Any) -> None:
    graph = octopus(store)
    say(graph, "t", "both of them")
    (middle,) = [step.checkpoint for step in steps(store, "t") if step.next == ("history",)]
    messages: list[Any] = list(show(store, "t", middle).messages)
    messages[-1] = messages[-1].model_copy(
        update={"tool_calls": [{**messages[-1].tool_calls[0], "args": {"query": "who?"}}]}
    )
    fork(store, "t", "u", checkpoint=middle, values={"messages": messages})

    assert graph.invoke(None, at("u"))["hops"][1]["query"] == "who?"
    assert graph.get_state(at("t")).values["hops"][1]["query"] == "both of them"


def test_another_request_in_the_place_of_the_last(store: Any) -> None:
    graph = octopus(store)
    say(graph, "t", "a contract")
    first = show(store, "t").checkpoint
    say(graph, "t", "both of them")

    assert before_request(store, "t") == first
    assert before_request(store, "t", first) is None
    fork(store, "t", "u", checkpoint=before_request(store, "t"))
    assert path(say(graph, "u", "another contract")) == ["law"]
    assert [message.text for message in show(store, "u").messages if message.type == "human"] == [
        "a contract",
        "another contract",
    ]


def test_without_its_beginning_a_request_cannot_be_replaced(saver: RedisSaver) -> None:
    say(octopus(saver), "t", "a contract")
    saver.prune(["t"])

    with pytest.raises(InputError, match="beginning of the last request"):
        before_request(saver, "t")
    fork(saver, "t", "u")
    assert len(steps(saver, "u")) == 1


class Asked(TypedDict):
    said: str


def test_a_graph_inside_is_forked_with_its_question(store: Any) -> None:
    calls: list[str] = []

    def first(_: Asked) -> Asked:
        calls.append("first")
        return {"said": ""}

    inner: Any = StateGraph(Asked)
    inner.add_sequence([("first", first), ("ask", lambda _: {"said": interrupt("Which?")})])
    inner.add_edge(START, "first")
    outer: Any = StateGraph(Asked)
    outer.add_node("inner", inner.compile())
    outer.add_edge(START, "inner")
    graph = outer.compile(checkpointer=store)
    graph.invoke({"said": "-"}, at("t"))
    fork(store, "t", "u")

    assert show(store, "u").question == "Which?"
    assert graph.invoke(Command(resume="this"), at("u")) == {"said": "this"}
    assert calls == ["first"], "the graph inside went on where it was"


def test_a_deleted_thread_is_gone(store: Any) -> None:
    say(octopus(store), "t", "a contract")
    delete(store, "t")

    assert list(thread_ids(store)) == []
    with pytest.raises(UnknownThreadError):
        delete(store, "t")


def test_a_look_keeps_nothing_alive_and_a_broken_thread_hides_no_other(one: Any, saver: RedisSaver) -> None:
    with RedisSaver(saver.link, prefix=saver._prefix, ttl=100) as mortal, one.client() as client:
        say(octopus(mortal), "t", "a contract")
        say(octopus(mortal), "broken", "a contract")
        keys = list(client.scan_iter(f"{saver._prefix}:*"))
        for key in keys:
            client.pexpire(key, 20_000)
        list_threads(mortal)
        show(mortal, "t")
        steps(mortal, "t")
        size_of(mortal, "t")
        assert all(client.pttl(key) <= 20_000 for key in keys)
        client.unlink(f"{saver._prefix}:{{broken}}:b")
        assert {thread.id: thread.status for thread in list_threads(mortal)} == {"t": "done", "broken": "broken"}
        assert "lost the value" in list_threads(mortal, status="broken")[0].trouble
