import json
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from octopus_graph.spec import building
from octopus_graph.testing import Pick, scripted_router


@pytest.fixture
def traffic(octopus: Any, store: InMemorySaver) -> Any:
    """Three requests of yesterday, in two threads."""
    for thread, request in (("a", "the derivative"), ("a", "both of them"), ("b", "a contract")):
        octopus("ask", "--dry-run", "--thread", thread, request)
    return store


@pytest.fixture
def decides(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts another router in the graph's place."""

    def use(script: Any, **options: Any) -> None:
        other = scripted_router(script, **options)
        monkeypatch.setattr(building, "build_router", lambda spec: other)

    return use


def test_the_same_router_decides_the_same(octopus: Any, traffic: Any) -> None:
    result = octopus("replay", "--max-changed", "0%")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("3 requests: first expert the same 100.0%, whole path 100.0%.")


def test_what_goes_another_way_is_shown_hop_by_hop(octopus: Any, traffic: Any, decides: Any) -> None:
    decides({"both": [Pick("math", rewrite="the sum?"), Pick("law", confidence=0.6)], "derivative": "math", "": "law"})

    result = octopus("replay", "--max-changed", "5%")
    assert result.exit_code == 1
    assert result.stderr == "33.3% take another path; 5.0% were allowed.\n"
    row = result.stdout.splitlines()[1]
    assert "both of them" in row
    assert "math 99% → history 99% → end 99%" in row
    assert "math 99% → law 60% → …" in row
    assert octopus("replay", "--max-changed", "0.4").exit_code == 0

    run = json.loads(octopus("replay", "--json").stdout)
    assert (run["requests"], run["first"], run["path"], run["cut"]) == (3, 1.0, 0.6667, 1)
    (changed,) = [one for one in run["replayed"] if one["differs_at"] is not None]
    assert (changed["differs_at"], changed["is"][1]) == (1, {"experts": ["law"], "confidence": 0.6})


def test_walking_on_asks_the_experts(octopus: Any, traffic: Any, decides: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    decides({"both": [Pick("math", rewrite="the sum?"), "law"], "derivative": "math", "": "law"})
    build: Any = building.build_graph
    monkeypatch.setattr(
        "octopus_graph.spec.build_graph", lambda spec, **options: build(spec, **options | {"dry_run": True})
    )

    run = json.loads(octopus("replay", "--walk", "--json").stdout)
    assert run["cut"] == 0
    (changed,) = [one for one in run["replayed"] if one["differs_at"] is not None]
    assert [hop["experts"] for hop in changed["is"]] == [["math"], ["law"], []]


def test_costs_are_those_of_the_graph_file(octopus: Any, traffic: Any, decides: Any, tmp_path: Path) -> None:
    decides({"derivative": "law", "contract": "law", "both": ["math", "history"]})
    graph = tmp_path / "priced.yaml"
    graph.write_text(
        "version: 1\nexperts:\n  math: {description: M, cost: 1}\n  law: {description: L, cost: 5}\n"
        "  history: {description: H}\n"
    )

    run = json.loads(octopus("replay", "--graph", graph, "--json").stdout)
    assert (run["priced"], run["cost_was"], run["cost_now"]) == (2, 3.0, 5.0)
    assert (
        "Cost of a request: 3 then, at least 5 now (2 requests have prices)."
        in octopus("replay", "--graph", graph).stdout
    )


def test_threads_time_and_number_narrow_it_down(octopus: Any, traffic: Any) -> None:
    def count(*options: str) -> int:
        return int(json.loads(octopus("replay", "--json", *options).stdout)["requests"])

    assert count("--threads", "a") == 2
    assert count("--threads", "a", "--threads", "b*") == 3
    assert count("--since", "1h") == 3
    assert count("--since", "2990-01-01") == 0
    newest = json.loads(octopus("replay", "--json", "--limit", "1").stdout)["replayed"]
    assert [one["request"] for one in newest] == ["a contract"]


class Other(TypedDict):
    said: str


def test_what_other_graphs_left_is_skipped_and_counted(octopus: Any, traffic: Any, graph_file: Path) -> None:
    builder: Any = StateGraph(Other)
    builder.add_node("say", lambda _: {"said": "hello"})
    builder.add_edge(START, "say")
    builder.compile(checkpointer=traffic).invoke({"said": ""}, {"configurable": {"thread_id": "foreign"}})
    octopus("ask", "--dry-run", "--thread", "c", "unsure")  # to politics, of which the graph file knows nothing

    result = octopus("replay", "--graph", graph_file)
    assert "Left out: 1 threads of other graphs, 1 requests of other graphs." in result.stdout


def test_nothing_to_replay_is_said(octopus: Any, store: InMemorySaver) -> None:
    result = octopus("replay")

    assert (result.exit_code, "nothing to decide again" in result.stderr) == (0, True)


@pytest.mark.parametrize("share", ["many", "-1%", "200%", "nan"])
def test_a_share_is_a_share(octopus: Any, store: InMemorySaver, share: str) -> None:
    result = octopus("replay", f"--max-changed={share}")

    assert (result.exit_code, "a share such as 5%" in result.stderr) == (2, True)
