"""`cache:` in a graph file: what is kept, what is refused, and how the parts come out."""

from pathlib import Path

import pytest

from octopus_graph.caching import DAY, WEEK
from octopus_graph.errors import SpecError
from octopus_graph.persistence import RedisCache
from octopus_graph.spec import build_graph, load_spec
from octopus_graph.testing import scripted_router

ROUTER = scripted_router({"derivative": "math"})
EXPERTS = """
experts:
  math: {description: Calculates, model: {url: "http://127.0.0.1:9/v1", model: tiny}}
  law: {description: Judges, model: {url: "http://127.0.0.1:9/v1", model: tiny}, version: "2"}
"""
# Nothing listens there, and nothing has to: a cache connects when it is first used.
HEAD = "version: 1\nredis: redis://127.0.0.1:9\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def write(cache: str) -> str:
        (tmp_path / "octopus.yaml").write_text(f"{HEAD}{cache}{EXPERTS}", encoding="utf-8")
        return "octopus.yaml"

    return write


def test_without_the_section_nothing_is_kept(write) -> None:
    built = build_graph(load_spec(write("")), router=ROUTER)
    assert built.cache is None


def test_with_an_empty_one_decisions_are(write) -> None:
    cache = build_graph(load_spec(write("cache: {}")), router=ROUTER).cache
    assert cache is not None
    assert (cache.decisions, cache.answers, cache.semantic) == (WEEK, (), None)
    assert isinstance(cache.store, RedisCache)
    assert cache.store.link.where == "127.0.0.1:9"


def test_every_field_is_read(write) -> None:
    section = "cache: {decisions: false, ttl: 60, answers: {experts: [law], ttl: 30}}"
    cache = build_graph(load_spec(write(section)), router=ROUTER).cache
    assert cache is not None
    assert (cache.decisions, cache.answers, cache.answer_ttl) == (None, ("law",), 30)
    cache = build_graph(load_spec(write("cache: {ttl: 60, answers: {experts: [law]}}")), router=ROUTER).cache
    assert cache is not None
    assert (cache.decisions, cache.answer_ttl) == (60, DAY)


def test_echoes_are_never_kept(write) -> None:
    spec = load_spec(write("cache: {answers: {experts: [law]}}"))
    assert build_graph(spec, dry_run=True, router=ROUTER).cache is None


def test_experts_have_the_version_of_what_the_file_says_of_them(write) -> None:
    def versions(text: str) -> list[str]:
        Path("octopus.yaml").write_text(text, encoding="utf-8")
        return [expert.version for expert in build_graph(load_spec("octopus.yaml"), router=ROUTER).experts]

    text = HEAD + EXPERTS
    math, law = versions(text)
    assert math != law
    assert versions(text) == [math, law]
    assert versions(text.replace('version: "2"', 'version: "3"'))[1] != law
    assert versions(text.replace("model: tiny}}", "model: small}}"))[0] != math


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("cache: {answer: {experts: [law]}}", r":3: cache\.answer: there is no such field: did you mean answers\?"),
        ("cache: {answers: {expert: [law]}}", r":3: cache\.answers\.expert: .* did you mean experts\?"),
        ("cache: {answers: {experts: [lw]}}", r":3: cache\.answers\.experts\[0\]: there is no expert 'lw'"),
        ("cache: {answers: {experts: []}}", r":3: cache\.answers\.experts: it is empty"),
        ("cache: {ttl: 0}", r":3: cache\.ttl: it must be greater than or equal to 0.001, not 0"),
        ("cache: {decisions: 60}", r":3: cache\.decisions: write true or false, not 60"),
        ("cache: true", r":3: cache: write a mapping, not true"),
        ("cache: {answers: {experts: [law], semantic: 2}}", r":3: cache\.answers\.semantic: it must be less than"),
    ],
)
def test_a_wrong_field_is_named_with_its_line(write, section: str, message: str) -> None:
    with pytest.raises(SpecError, match=f"octopus.yaml{message}"):
        load_spec(write(section))


def test_a_semantic_cache_needs_an_engine_that_makes_vectors(write) -> None:
    spec = load_spec(write("cache: {answers: {experts: [law], semantic: 0.9}}"))
    with pytest.raises(SpecError, match=r":3: cache\.answers\.semantic: the engine of this router makes no vectors"):
        build_graph(spec, router=ROUTER)
