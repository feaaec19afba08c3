"""The command line in this process, with a scripted router in the place of the model."""

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from typer.testing import CliRunner, Result

from octopus_graph.cli import app, opening
from octopus_graph.router import OctopusRouter
from octopus_graph.spec import building
from octopus_graph.testing import Pick, scripted_router

SCRIPT = {
    "unsure": Pick("politics", confidence=0.3),
    "both": [Pick("math", rewrite="the sum?"), "history"],
    "derivative": Pick("math", confidence=0.97),
    "rephrase": Pick("math", rewrite="What is it?", confidence=0.9),
    "contract": "law",
    "": "general",
}

Run = Callable[..., Result]


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> OctopusRouter:
    """What every command routes with."""
    double = scripted_router(SCRIPT)
    monkeypatch.setattr(building, "build_router", lambda spec: double)
    return double


@pytest.fixture
def octopus(router: OctopusRouter, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `octopus-graph`."""
    monkeypatch.delenv("OCTOPUS_QUERY", raising=False)

    def run(*arguments: object, stdin: str | bytes = "", env: dict[str, str] | None = None) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, env=env)

    return run


@pytest.fixture
def octopus_without_router(monkeypatch: pytest.MonkeyPatch, octopus: Run) -> Run:
    """Runs `octopus-graph` where loading the router fails the test: it was to be refused, or shown, before."""
    monkeypatch.setattr(building, "build_router", lambda spec: pytest.fail("the router was loaded"))
    return octopus


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> InMemorySaver:
    """Where commands keep threads."""
    kept = InMemorySaver()
    monkeypatch.setattr(opening, "open_store", lambda *_: nullcontext(kept))
    return kept


def jsonl(rows: Sequence[object]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        jsonl([{"id": 1, "request": "the derivative of x^3"}, {"id": 2, "request": "is this contract void?"}])
    )
    return path


@pytest.fixture
def lines() -> Callable[[str], list[Any]]:
    """Reads JSON Lines."""
    return lambda text: [json.loads(line) for line in text.split("\n")[:-1]]


@pytest.fixture
def graph_file(tmp_path: Path) -> Path:
    """A graph file of three experts."""
    path = tmp_path / "octopus.yaml"
    path.write_text(
        "version: 1\n"
        "fallback: general\n"
        "experts:\n"
        "  math: {description: Calculates, neighbours: [law]}\n"
        "  law: {description: Knows the law, neighbours: []}\n"
        "  general: {description: The rest}\n"
    )
    return path
