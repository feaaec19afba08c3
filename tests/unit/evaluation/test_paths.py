"""Paths without a graph: they are those the graph walks, and no rewrite is made that nobody needs."""

from typing import Any

import pytest

from octopus_graph.evaluation.cases import Case
from octopus_graph.evaluation.paths import measure_paths, walk
from octopus_graph.graph import create_octopus_graph
from octopus_graph.router import OctopusRouter
from octopus_graph.testing import EchoExpert, Pick, Scene, Script, scripted_router
from octopus_graph.training.data import PathHop

HOPS = (PathHop(expert="math", query="integral?", answer="x"), PathHop(expert="law", query="c?", answer="y"))


def forever(scene: Scene) -> str:
    return ("math", "law")[len(scene.answers) % 2]


def area(text: str) -> Pick:
    return Pick("math", rewrite=text)


SCRIPTS: dict[str, Script] = {
    "two hops": {"": ["math", "law", None]},
    "more hops than a graph takes": {"": ["math", "law", "physics", "history", "general"]},
    "in circles": forever,
    "the next best in the place of who was asked": lambda scene: {"math": 3.0, "law": 2.0, "physics": 1.0, "end": 0.0},
    "the same expert, asked something else": {"": [area("the area"), "law", area("the width"), None]},
    "the same expert, asked the same": {"": [area("What is the area?"), "law", area("Find the area"), None]},
}


@pytest.mark.parametrize("rewrite", ["auto", "never"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_path_is_walked_as_the_graph_walks_it(script: str, rewrite: Any) -> None:
    experts = ("math", "law", "physics", "history", "general")
    case = Case(request="the area and the width", hops=HOPS)
    router = scripted_router(SCRIPTS[script], experts=experts)
    graph: Any = create_octopus_graph([EchoExpert(name) for name in experts], router).compile()
    result = graph.invoke({"messages": [("user", case.request)]}, context={"rewrite": rewrite})
    assert walk(router, case, rewrite=rewrite)[0] == tuple(hop["expert"] for hop in result["hops"])


def test_rewrites_are_made_only_where_an_expert_is_chosen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    completed = OctopusRouter.decide

    def decide(self: OctopusRouter, *args: Any, **more: Any) -> Any:
        if more.get("rewrite") != "never":
            made.append(args)
        return completed(self, *args, **more)

    monkeypatch.setattr(OctopusRouter, "decide", decide)
    case = Case(request="the area and the width", hops=HOPS)
    walk(scripted_router(SCRIPTS["two hops"]), case)
    assert made == []
    walk(scripted_router(SCRIPTS["the same expert, asked something else"]), case)
    assert len(made) == 2  # what it was asked, and what it would be


def test_an_expert_of_two_hops_gives_two_answers() -> None:
    scenes: list[Scene] = []

    def script(scene: Scene) -> Pick | None:
        scenes.append(scene)
        moves = [area("the area"), Pick("law"), area("the width")]
        return moves[len(scene.answers)] if len(scene.answers) < len(moves) else None

    hops = (HOPS[0], HOPS[1], PathHop(expert="math", query="width?", answer="z"))
    walk(scripted_router(script), Case(request="the area and the width", hops=hops), max_hops=4)
    assert scenes[-1].answers == ("x", "y", "z")


def test_figures_of_paths() -> None:
    case = Case(request="the integral, then the contract", hops=HOPS, source="s", style="then")
    lost = Case(request="the contract", hops=HOPS, source="s", style="also")
    router = scripted_router(
        {"then": [Pick("math", confidence=0.8), Pick("law", confidence=0.3), None], "": ["law", None]}
    )
    figures = measure_paths(router, [case, lost])
    assert figures.exact.value == 0.5
    assert figures.first.value == 0.5
    assert {name: cut.share.value for name, cut in figures.styles.items()} == {"also": 0.0, "then": 1.0}
    assert figures.lengths["2"].rows == 2
    assert figures.one_hop_only == 0
    assert figures.walked[0] == (("math", "law"), ("math", "law"), pytest.approx(0.8))  # of the first decision
