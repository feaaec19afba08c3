"""Answers to questions that mean the same, on a real Valkey, with an engine whose vectors are known."""

from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from octopus_graph.caching import GraphCache
from octopus_graph.effects import run
from octopus_graph.experts import Expert
from octopus_graph.graph import create_octopus_graph
from octopus_graph.persistence import RedisCache
from octopus_graph.persistence.vectors import LONGEST
from octopus_graph.router import OctopusRouter
from octopus_graph.testing import EchoExpert, ScriptedEngine, scripted_router

pytestmark = pytest.mark.integration

NEAR = [1.0, 0.1, 0.0]


class Embedding(ScriptedEngine):
    """An engine to which all questions about deposits are near, and no other is near anything."""

    embedded = 0

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.embedded += len(texts)
        return [[1.0, 0.01 * len(text) / 100, 0.0] if "deposit" in text.lower() else [0.0, 0.0, 1.0] for text in texts]


class Law:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, query: str) -> str:
        self.asked.append(query)
        return f"answer {len(self.asked)}"


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid4().hex}"


@pytest.fixture
async def store(one: Any, prefix: str) -> AsyncGenerator[RedisCache]:
    async with RedisCache(f"redis://127.0.0.1:{one.port}", prefix=prefix) as found:
        yield found


def graph_of(store: RedisCache, law: Law, **options: Any) -> Any:
    plain = scripted_router({"": "law"})
    router = OctopusRouter(Embedding({"": "law"}, plain.tokens, plain.codec), plain.tokens, plain.codec)
    cache = GraphCache(store, answers=["law"], semantic=0.9, **options)
    return create_octopus_graph([Expert("law", "Law", law), EchoExpert("math")], router, cache=cache).compile()


def ask(graph: Any, *messages: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    given = {"messages": [("user", each) if isinstance(each, str) else each for each in messages]}
    events: list[dict[str, Any]] = []
    result: dict[str, Any] = {}
    for mode, event in graph.stream(given, context={"max_hops": 1}, stream_mode=["custom", "values"]):
        if mode == "custom":
            events.append(event)
        else:
            result = event
    return result["hops"][0], [event for event in events if event["event"] == "cache" and event["kind"] == "answer"]


def test_the_answer_to_a_question_that_means_the_same_is_given_and_shown(store: RedisCache, prefix: str) -> None:
    law = Law()
    graph = graph_of(store, law)
    first, _ = ask(graph, "my landlord keeps my deposit")
    second, events = ask(graph, "please, my landlord keeps my deposit!")
    again, more = ask(graph, "my landlord keeps my deposit")

    assert law.asked == ["my landlord keeps my deposit"]
    assert "cached" not in first
    assert (second["answer"], second["cached"]) == ("answer 1", "semantic")
    assert second["likeness"] > 0.99
    assert [(event["found"], event["likeness"]) for event in events] == [("semantic", second["likeness"])]
    (key,) = store.link.client().scan_iter(f"{prefix}:cache:semantic:*")
    assert b"landlord" not in repr(store.link.client().xrange(key)).encode()
    assert (again["cached"], [event["found"] for event in more]) == ("exact", ["exact"])
    assert "likeness" not in again
    assert {name: store.counters.read()["semantic"][name] for name in ("hit", "miss")} == {"hit": 1, "miss": 1}


def test_other_processes_find_it_and_read_only_what_is_new(store: RedisCache, one: Any, prefix: str) -> None:
    law = Law()
    graph = graph_of(store, law)
    with RedisCache(f"redis://127.0.0.1:{one.port}", prefix=prefix) as other:
        second = graph_of(other, law)
        for number in range(5):
            ask(graph, f"question {number}")
            assert ask(second, f"question {number}, please")[0]["cached"] == "semantic"
            (seen,) = other.vectors._seen.values()
            assert len(seen.names) == number + 1
        with one.client() as client:
            (key,) = client.scan_iter(f"{prefix}:cache:semantic:*")
            client.delete(key)  # what was read is known all the same
        assert ask(second, "question 3, thanks")[0]["cached"] == "semantic"
    assert len(law.asked) == 5


@pytest.mark.parametrize(
    "question",
    ["my landlord keeps my deposit of 500 euros", "my landlord returns my deposit", "what is the weather?"],
    ids=["number", "word", "far"],
)
def test_what_is_near_and_not_the_same_is_asked(store: RedisCache, question: str) -> None:
    law = Law()
    graph = graph_of(store, law)
    ask(graph, "my landlord keeps my deposit")
    assert "cached" not in ask(graph, question)[0]
    assert len(law.asked) == 2


def test_a_question_that_leans_on_earlier_ones_is_asked(store: RedisCache) -> None:
    law = Law()
    graph = graph_of(store, law)
    ask(graph, "my landlord keeps my deposit")
    ask(graph, "I live in Rome.", ("assistant", "I see."), "please, my landlord keeps my deposit")
    assert len(law.asked) == 2
    assert store.counters.read()["semantic"]["miss"] == 1  # the second was not even looked up


def test_an_answer_that_expired_is_asked_again(store: RedisCache, one: Any, prefix: str) -> None:
    law = Law()
    graph = graph_of(store, law)
    ask(graph, "my landlord keeps my deposit")
    with one.client() as client:
        client.delete(*client.scan_iter(f"{prefix}:cache:answer:*"))
    assert "cached" not in ask(graph, "please, my landlord keeps my deposit")[0]


def test_rubbish_in_a_list_is_survived(store: RedisCache, one: Any, prefix: str) -> None:
    law = Law()
    graph = graph_of(store, law)
    ask(graph, "my landlord keeps my deposit")
    with one.client() as client:
        (key,) = client.scan_iter(f"{prefix}:cache:semantic:*")
        client.xadd(key, {"v": "odd"})
        client.xadd(key, {"d": "x" * 40, "v": b"\x00<" * 7})
        client.xadd(key, {"x": "y"})
    assert ask(graph, "please, my landlord keeps my deposit")[0]["cached"] == "semantic"


def test_a_list_is_bounded(store: RedisCache, one: Any, prefix: str) -> None:
    vectors, key = store.vectors, store.key("semantic", "space")
    for number in range(LONGEST + 20):
        run(vectors.add(key, f"d{number}", "m", [1.0, number, 0.0], ttl_ms=60_000))
    near = run(vectors.nearest(key, "m", [1.0, LONGEST + 19.0, 0.0], threshold=0.99, most=1))
    assert near[0][1].startswith("d")
    with one.client() as client:
        assert client.xlen(key) == LONGEST
        assert 0 < client.pttl(key) <= 60_000
    assert len(vectors._seen[key].names) == LONGEST
    run(vectors.add(key, "newest", "other", [0.0, 0.0, 1.0], ttl_ms=60_000))
    ask_near = partial(vectors.nearest, key, threshold=0.99, most=3)
    assert run(ask_near("other", [0.0, 0.0, 2.0])) == [(pytest.approx(1.0, abs=1e-3), "newest")]
    assert run(ask_near("m", [0.0, 0.0, 2.0])) == []
    assert run(ask_near("other", [0.0, 1.0])) == []  # of another length: of another engine
