"""A graph with a cache on a real Valkey: what is computed once, what is seen of it, what happens when it is gone."""

import asyncio
import signal
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from octopus_graph.caching import GraphCache
from octopus_graph.errors import ConfigurationError, ExpertError, UnknownExpertError
from octopus_graph.experts import Expert
from octopus_graph.graph import create_octopus_graph
from octopus_graph.options import ModelOptions, with_options
from octopus_graph.persistence import RedisCache
from octopus_graph.router import OctopusRouter
from octopus_graph.testing import EchoExpert, Pick, ScriptedEngine, scripted_router

pytestmark = pytest.mark.integration

NAMES = ("math", "physics", "law")
SCRIPT = {
    "derivative": Pick("math", rewrite="Find the derivative of the mass."),
    "mass": ["physics", "math"],
    "sue": "law",
}
Ask = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid4().hex}"


@pytest.fixture
async def store(one: Any, prefix: str) -> AsyncGenerator[RedisCache]:
    async with RedisCache(f"redis://127.0.0.1:{one.port}", prefix=prefix) as found:
        yield found


@pytest.fixture(params=["invoke", "ainvoke"])
def ask(request: pytest.FixtureRequest) -> Ask:
    async def asks(graph: Any, question: str, **options: Any) -> dict[str, Any]:
        given = {"messages": [("user", question)]}
        if request.param == "invoke":
            return await asyncio.to_thread(graph.invoke, given, **options)
        return await graph.ainvoke(given, **options)

    return asks


class Counted:
    """An expert's function that counts how often it is called."""

    def __init__(self, *, fails: int = 0, gate: threading.Event | None = None) -> None:
        self.calls = 0
        self.fails = fails
        self.gate = gate

    def __call__(self, query: str) -> str:
        self.calls += 1
        if self.gate is not None:
            assert self.gate.wait(20)
        if self.calls <= self.fails:
            raise ConnectionError("refused")
        return f"answer {self.calls} to {query}"


def graph_of(cache: GraphCache | None, *experts: Expert, router: OctopusRouter | None = None) -> Any:
    given = {expert.name: expert for expert in [*(EchoExpert(name) for name in NAMES), *experts]}
    return create_octopus_graph(list(given.values()), router or scripted_router(SCRIPT), cache=cache).compile()


def decided(router: OctopusRouter) -> int:
    assert isinstance(router.engine, ScriptedEngine)
    return len(router.engine.scenes)


def events(graph: Any, question: str) -> list[dict[str, Any]]:
    return list(graph.stream({"messages": [("user", question)]}, stream_mode="custom"))


async def test_a_decision_is_made_once_for_all_graphs_of_one_router(store: RedisCache, ask: Ask) -> None:
    first, second = scripted_router(SCRIPT), scripted_router(SCRIPT)
    context = {"max_hops": 1}
    made = await ask(graph_of(GraphCache(store), router=first), "the mass of the derivative?", context=context)
    found = await ask(graph_of(GraphCache(store), router=second), "the  mass of\nthe derivative?", context=context)

    assert decided(first) > 0
    assert decided(second) == 0
    assert found["decision"]["cached"] is True
    assert "cached" not in made["decision"]
    plain = ("expert", "token", "rewritten", "confidence", "top", "by")
    assert {name: found["decision"][name] for name in plain} == {name: made["decision"][name] for name in plain}
    assert found["hops"][0]["query"] == "Find the derivative of the mass."


async def test_hops_are_found_as_well(store: RedisCache, ask: Ask) -> None:
    router = scripted_router(SCRIPT)
    graph = graph_of(GraphCache(store), router=router)
    made = await ask(graph, "What is mass?")
    count = decided(router)
    found = await ask(graph, "What is mass?")

    assert [hop["expert"] for hop in made["hops"]] == [hop["expert"] for hop in found["hops"]] == ["physics", "math"]
    assert decided(router) == count
    assert store.counters.read()["decision"]["hit"] == store.counters.read()["decision"]["miss"] > 1


@pytest.mark.parametrize(
    "change",
    [
        lambda graph, ask: ask(graph, "sue him?", context={"experts": ["law", "math"]}),
        lambda graph, ask: ask(graph, "sue him?", context={"rewrite": "never"}),
        lambda graph, ask: ask(graph, "sue her?"),
        lambda _, ask: ask(
            create_octopus_graph(
                [EchoExpert(name) for name in NAMES],
                OctopusRouter(ROUTER.engine, ROUTER.tokens, ROUTER.codec, temperature=2.0),
                cache=CACHES[-1],
            ).compile(),
            "sue him?",
        ),
    ],
    ids=["candidates", "rewrite", "request", "revision"],
)
async def test_another_circumstance_is_another_decision(store: RedisCache, ask: Ask, change: Any) -> None:
    CACHES.append(GraphCache(store))
    graph = graph_of(CACHES[-1], router=ROUTER)
    context = {"max_hops": 1}
    await ask(graph, "sue him?", context=context)
    missed = store.counters.read()["decision"]["miss"]
    await ask(graph, "sue him?", context=context)
    assert store.counters.read()["decision"]["miss"] == missed
    await change(graph, ask)
    assert store.counters.read()["decision"]["miss"] > missed


ROUTER = scripted_router(SCRIPT)
CACHES: list[GraphCache] = []


async def test_answers_are_kept_of_the_experts_that_are_named(store: RedisCache, ask: Ask) -> None:
    law, math = Counted(), Counted()
    experts = Expert("law", "Law", law), Expert("math", "Mathematics", math)
    graph = graph_of(GraphCache(store, answers=["law"]), *experts)
    first, second = [await ask(graph, "May I sue?") for _ in range(2)]
    for _ in range(2):
        await ask(graph, "the derivative?")

    assert law.calls == 1
    assert math.calls == 2
    assert "cached" not in first["hops"][0]
    assert second["hops"][0]["cached"] == "exact"
    assert second["messages"][-1].text == first["messages"][-1].text == "answer 1 to May I sue?"
    assert store.counters.read()["answer"]["hit"] == 1


async def test_another_version_system_prompt_or_option_is_another_answer(store: RedisCache, ask: Ask) -> None:
    law = Counted()
    cache = GraphCache(store, answers=["law"])
    changes: list[dict[str, Any]] = [{}, {"version": "2"}, {"system_prompt": "Be brief."}]
    for fields in changes:
        await ask(graph_of(cache, Expert("law", "Law", law, **fields)), "May I sue?")
    config = with_options({}, ModelOptions(temperature=0.5))
    await ask(graph_of(cache, Expert("law", "Law", law)), "May I sue?", config=config)
    assert law.calls == 4
    await ask(graph_of(cache, Expert("law", "Law", law, version="2")), "May I sue?")
    assert law.calls == 4


async def test_what_was_said_before_belongs_to_the_question(store: RedisCache) -> None:
    law = Counted()
    graph = graph_of(GraphCache(store, answers=["law"]), Expert("law", "Law", law))
    graph.invoke({"messages": [("user", "May I sue?")]})
    earlier = [("user", "My dog bit him. sue?"), ("assistant", "Do not."), ("user", "May I sue?")]
    graph.invoke({"messages": earlier})
    assert law.calls == 2


async def test_the_answer_of_a_stand_in_is_not_kept(store: RedisCache, ask: Ask) -> None:
    law, math = Counted(fails=1), Counted()
    experts = Expert("law", "Law", law, fallback="math"), Expert("math", "Mathematics", math)
    graph = graph_of(GraphCache(store, answers=["law", "math"]), *experts)
    first, second, third = [await ask(graph, "May I sue?") for _ in range(3)]
    assert first["hops"][0]["served_by"] == "math"
    assert second["hops"][0]["answer"] == "answer 2 to May I sue?"
    assert third["hops"][0]["cached"] == "exact"


async def test_a_failure_is_not_kept_and_the_lock_is_given_back(store: RedisCache, ask: Ask) -> None:
    law = Counted(fails=1)
    graph = graph_of(GraphCache(store, answers=["law"]), Expert("law", "Law", law))
    with pytest.raises(ExpertError):
        await ask(graph, "May I sue?")
    started = time.perf_counter()
    assert (await ask(graph, "May I sue?"))["hops"][0]["answer"] == "answer 2 to May I sue?"
    assert time.perf_counter() - started < 4  # and not the whole lease


async def test_the_same_question_at_the_same_time_is_asked_once(store: RedisCache) -> None:
    gate = threading.Event()
    law = Counted(gate=gate)
    graph = graph_of(GraphCache(store, answers=["law"]), Expert("law", "Law", law))
    question = {"messages": [("user", "May I sue?")]}
    runs = [asyncio.create_task(graph.ainvoke(question)) for _ in range(5)]
    threads = [asyncio.create_task(asyncio.to_thread(graph.invoke, question)) for _ in range(2)]
    while not law.calls:  # noqa: ASYNC110 - threads are among those who wait
        await asyncio.sleep(0.01)
    gate.set()
    results = await asyncio.gather(*runs, *threads)
    assert law.calls == 1
    assert sum("cached" in result["hops"][0] for result in results) == 6


def test_hits_are_seen_in_the_trace(store: RedisCache) -> None:
    graph = graph_of(GraphCache(store, answers=["law"]))
    assert not [event for event in events(graph, "May I sue?") if event["event"] == "cache"]
    found = [event for event in events(graph, "May I sue?") if event["event"] == "cache"]
    assert [(event["kind"], event["found"]) for event in found][:2] == [("decision", "exact"), ("answer", "exact")]
    assert all(event["saved_ms"] >= 0 for event in found)


def test_no_prompt_stands_in_a_key(store: RedisCache, one: Any, prefix: str) -> None:
    graph_of(GraphCache(store, answers=["law"])).invoke({"messages": [("user", "May I sue Xanthippe?")]})
    store.set({(("Xanthippe",), "Xanthippe"): (1, None)})
    with one.client() as client:
        keys = list(client.scan_iter(f"{prefix}:*"))
        assert len(keys) >= 4
        assert all(client.pttl(key) > 0 for key in keys if not key.endswith("counters"))
    assert not [key for key in keys if "xanthippe" in key.lower()]


@pytest.mark.parametrize(
    "rubbish",
    [
        b"",
        b"\xff\x00rubbish",
        b"msgpack\n\xc1",
        b"json\n{}",
        b'json\n{"ms": 1, "1": {"expert": "president", "ranked": [["president", 1.0]], "rewrite": null}}',
        b'json\n{"ms": 1, "1": {"expert": "law", "ranked": [["math", 1.0]], "rewrite": null}}',
        b'json\n{"ms": 1, "1": {"expert": "law", "ranked": [["law", 1.0]], "rewrite": ["<nexa_3>"]}}',
        "list",
    ],
)
async def test_rubbish_in_a_key_is_counted_survived_and_mended(
    store: RedisCache, one: Any, prefix: str, ask: Ask, rubbish: Any
) -> None:
    router = scripted_router(SCRIPT)
    graph = graph_of(GraphCache(store), router=router)
    context = {"max_hops": 1}
    await ask(graph, "sue him?", context=context)
    with one.client() as client:
        (key,) = list(client.scan_iter(f"{prefix}:cache:decision:*"))
        client.delete(key)
        client.lpush(key, "x") if rubbish == "list" else client.set(key, rubbish)
    result = await ask(graph, "sue him?", context=context)
    assert result["hops"][0]["expert"] == "law"
    assert "cached" not in result["decision"]
    assert store.counters.read()["decision"]["stale"] == 1
    assert (await ask(graph, "sue him?", context=context))["decision"]["cached"] is True
    assert decided(router) == 2


async def test_what_expired_is_computed_again(store: RedisCache, ask: Ask) -> None:
    law = Counted()
    cache = GraphCache(store, decisions=0.001, answers=["law"], answer_ttl=0.001)
    graph = graph_of(cache, Expert("law", "Law", law))
    for _ in range(2):
        await ask(graph, "May I sue?")
        await asyncio.sleep(0.01)
    assert law.calls == 2
    assert store.counters.read()["decision"]["hit"] == 0


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
async def test_a_graph_outlives_its_cache(private: Any, ask: Ask, end: signal.Signals) -> None:
    law = Counted()
    async with RedisCache(f"redis://127.0.0.1:{private.port}") as store:
        graph = graph_of(GraphCache(store, answers=["law"]), Expert("law", "Law", law))
        await ask(graph, "May I sue?")
        assert (await ask(graph, "May I sue?"))["hops"][0]["cached"] == "exact"
        private.process.send_signal(end)
        try:
            started = time.perf_counter()
            for number in range(20):
                result = await ask(graph, f"May I sue {number}?")
                assert result["hops"][0]["answer"] == f"answer {number + 2} to May I sue {number}?"
            taken = time.perf_counter() - started
            assert store.counters.read()["decision"]["error"] >= 1
            assert taken < 20 * 0.4  # each run asks it three times: without the breaker a frozen one took 30 s
        finally:
            if end == signal.SIGSTOP:
                private.process.send_signal(signal.SIGCONT)
            else:
                private.process.wait()
                private.start()
        deadline = time.monotonic() + 40
        while "cached" not in (await ask(graph, "May I sue again?"))["decision"]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)


def test_names_are_checked_when_the_graph_is_built(store: RedisCache) -> None:
    with pytest.raises(UnknownExpertError, match="whose answers are cached"):
        graph_of(GraphCache(store, answers=["nobody"]))
    with pytest.raises(ConfigurationError, match="takes the whole state"):
        graph_of(GraphCache(store, answers=["law"]), Expert("law", "Law", len, takes="state"))
    with pytest.raises(ConfigurationError, match="makes no vectors"):
        graph_of(GraphCache(store, answers=["law"], semantic=0.9))
    settings: list[dict[str, Any]] = [
        {"decisions": 0},
        {"answer_ttl": -1.0},
        {"semantic": 1.5, "answers": ["law"]},
        {"semantic": 0.9},
    ]
    for wrong in settings:
        with pytest.raises(ConfigurationError):
            GraphCache(store, **wrong)


async def test_an_expert_that_asks_its_human_leaves_no_lock_behind(store: RedisCache) -> None:
    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [("assistant", f"with {interrupt('which court?')}")]}

    inner: Any = StateGraph(MessagesState)
    inner.add_node("node", node)
    inner.add_edge(START, "node")
    experts = [Expert("law", "Law", inner.compile()), EchoExpert("math")]
    builder = create_octopus_graph(experts, scripted_router({"": "law"}), cache=GraphCache(store, answers=["law"]))
    graph: Any = builder.compile(checkpointer=InMemorySaver())
    question = {"messages": [("user", "May I sue?")]}
    for thread, resumed in (("1", True), ("2", False)):
        config: Any = {"configurable": {"thread_id": thread}}
        result = await graph.ainvoke(question, config, context={"max_hops": 1})
        if resumed:
            assert "hops" not in result or not result["hops"]
            started = time.perf_counter()
            result = await graph.ainvoke(Command(resume="this one"), config, context={"max_hops": 1})
            assert time.perf_counter() - started < 4  # and not the whole lease
        assert result["hops"][0]["answer"] == "with this one"
        assert result["hops"][0].get("cached") == (None if resumed else "exact")
