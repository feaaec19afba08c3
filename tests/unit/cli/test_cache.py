"""`octopus-graph cache`, on a real Valkey of its own."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from octopus_graph.cli.view import RunView
from octopus_graph.effects import Logic, Pause, run
from octopus_graph.persistence import EmbeddedServer, RedisCache
from octopus_graph.persistence.entries import Entry, Made

GRAPH = "version: 1\nredis: {url}\nexperts:\n  math: {{description: Calculates}}\n"


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    monkeypatch.chdir(tmp_path)
    with EmbeddedServer(tmp_path / "data").use() as found:
        Path("octopus.yaml").write_text(GRAPH.format(url=found), encoding="utf-8")
        yield found


def compute() -> Logic[Made[str]]:
    yield Pause(0.01)
    return Made("value")


def fill(url: str) -> None:
    with RedisCache(url) as cache:
        for kind in ("decision", "answer", "decision"):
            run(cache.once(Entry(kind, "x", 60, str, str), compute))


def test_counters_are_shown_kind_by_kind(octopus: Any, url: str) -> None:
    assert octopus("cache", "stats", "-g", "octopus.yaml").stdout == "The cache is empty.\n"
    fill(url)
    shown = octopus("cache", "stats", "-g", "octopus.yaml").stdout.splitlines()
    told = json.loads(octopus("cache", "stats", "-g", "octopus.yaml", "--json").stdout)

    assert [line.split()[:5] for line in shown[1:]] == [
        ["answer", "1", "0", "1", "0.0%"],
        ["decision", "1", "1", "1", "50.0%"],
    ]
    assert {name: told["decision"][name] for name in ("entries", "hit", "miss", "stale", "error")} == {
        "entries": 1,
        "hit": 1,
        "miss": 1,
        "stale": 0,
        "error": 0,
    }
    assert told["decision"]["saved_ms"] > 0


def test_one_kind_is_cleared_or_all_of_it(octopus: Any, url: str) -> None:
    fill(url)
    assert octopus("cache", "clear", "answer", "-g", "octopus.yaml").stdout == "1 key deleted\n"
    assert json.loads(octopus("cache", "stats", "-g", "octopus.yaml", "--json").stdout)["answer"]["entries"] == 0
    assert json.loads(octopus("cache", "clear", "-g", "octopus.yaml", "--json").stdout) == {"deleted": 2}
    assert octopus("cache", "stats", "-g", "octopus.yaml").stdout == "The cache is empty.\n"


def test_a_server_that_is_not_there_is_one_line_and_a_failure(octopus: Any, tmp_path: Path) -> None:
    graph = tmp_path / "octopus.yaml"
    graph.write_text(GRAPH.format(url="redis://127.0.0.1:9"), encoding="utf-8")
    for command in ("stats", "clear"):
        result = octopus("cache", command, "-g", str(graph))
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: Redis at 127.0.0.1:9 does not")
        assert result.stderr.count("\n") == 1


def test_a_threshold_needs_an_engine_that_makes_vectors(octopus: Any) -> None:
    result = octopus("cache", "calibrate")
    assert result.exit_code == 2
    assert "makes no vectors of questions" in result.stderr


def test_cache_alone_shows_its_help(octopus: Any) -> None:
    result = octopus("cache")
    assert result.exit_code == 2
    assert "stats" in result.output


def test_a_run_shows_what_came_from_the_cache(capsys: pytest.CaptureFixture[str]) -> None:
    decision = {"expert": "law", "token": "<nexa_11>", "top": [["law", 0.9]], "confidence": 0.9, "query": "x"}
    decision |= {"decide_ms": 1.2, "rewrite_ms": 0.0, "rewritten": False, "cached": True}
    view = RunView(quiet=False)
    view.show("custom", {"event": "cache", "kind": "decision", "found": "exact", "saved_ms": 1})
    view.show("custom", {"event": "decision", **decision})
    view.show("custom", {"event": "hop", **decision, "served_by": None, "answer": "Yes.", "cached": "semantic"})
    shown = capsys.readouterr().out
    assert "1 ms, from the cache" in shown
    assert "from the cache (semantic)" in shown
    assert [hop["cached"] for hop in view.record()["hops"]] == ["semantic"]
