"""The shipped router with a cache: what is found is what was made, and its own model tells questions apart."""

from collections.abc import Generator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from octopus_graph.caching import CachedDecision, GraphCache
from octopus_graph.caching.differing import differ
from octopus_graph.effects import run
from octopus_graph.persistence import RedisCache
from octopus_graph.router import OctopusRouter

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

THRESHOLD = 0.512  # what `octopus-graph cache calibrate` found on 2026-11-25
SAME = [
    ("how do i boil an egg", "Please tell me how I can boil an egg."),
    ("Who discovered the electron?", "who was it that discovered the electron"),
]
DIFFERENT = [
    ("Who discovered the electron?", "What does the electron weigh?"),
    ("how do i boil an egg", "How do I get a passport?"),
    ("How do I enable swap on Debian?", "How do I disable swap on Debian?"),
]


@pytest.fixture(scope="module")
def router() -> OctopusRouter:
    return OctopusRouter.from_pretrained()


@pytest.fixture
def store(one: Any) -> Generator[RedisCache]:
    with RedisCache(f"redis://127.0.0.1:{one.port}", prefix=f"test-{uuid4().hex}") as found:
        yield found


def test_a_decision_found_is_the_decision_made(router: OctopusRouter, store: RedisCache) -> None:
    cache = GraphCache(store)
    request = "Tell me the result of derivative of x^3 when x is 2?"
    made = run(cache.decide(router, request, router.experts))
    found = run(cache.decide(router, request, tuple(reversed(router.experts))))
    assert isinstance(found, CachedDecision)
    assert not isinstance(made, CachedDecision)
    timeless = {"latency_ms": 0.0, "rewrite_ms": 0.0}
    plain = {name: value for name, value in vars(replace(found, **timeless)).items() if name != "saved_ms"}
    assert plain == vars(replace(made, **timeless))
    assert found.saved_ms > 0


def test_its_own_model_tells_paraphrases_from_other_questions(router: OctopusRouter) -> None:
    engine: Any = router.engine

    def same(one: str, other: str) -> bool:
        first, second = engine.embed([one, other])
        cosine = sum(a * b for a, b in zip(first, second, strict=True))
        return cosine >= THRESHOLD and not differ(one, other)

    assert [same(*pair) for pair in SAME] == [True] * len(SAME)
    assert [same(*pair) for pair in DIFFERENT] == [False] * len(DIFFERENT)
