"""The tasks, with a router that follows a script and baselines that really learn."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from octopus_graph.errors import ConfigurationError
from octopus_graph.evaluation.cases import Case
from octopus_graph.evaluation.contenders import Knn, Router, SemanticRouter, Svm
from octopus_graph.evaluation.paths import measure_paths, walk
from octopus_graph.evaluation.report import write_report
from octopus_graph.evaluation.rewrites import measure_rewrites
from octopus_graph.evaluation.robustness import measure_robustness
from octopus_graph.evaluation.tasks import TASKS, Evaluation, held_out_cases
from octopus_graph.testing import Pick, scripted_router
from octopus_graph.training.data import Multipart, PathHop, Question, Request, Unroutable
from octopus_graph.training.mixture import Rows

WORDS = {"math": ("integral", "matrix", "prime"), "law": ("contract", "court", "tort")}
ROWS = Rows(
    [
        Request(id=f"{expert}{index}", request=f"{word} number {index} please", expert=expert, style="terse")
        for expert, words in WORDS.items()
        for index in range(10)
        for word in words
    ],
    [
        Multipart(
            id="p",
            request="the integral, then the contract",
            hops=(PathHop(expert="math", query="integral?", answer="x"), PathHop(expert="law", query="c?", answer="y")),
            style="then",
        )
    ],
    [Question(question="Which court?", choices="A. high\nB. low", expert="law")],
    [Unroutable(id="u", request="lol")],
    ["Lunch is at noon."],
)
SCRIPT = {
    "then": ["math", "law", None],
    "lol": Pick("general", confidence=0.2),
    "integral": Pick("math", rewrite="What is the integral number 3?"),
    "matrix": "math",
    "prime": "math",
    "": "law",
}


def embed(texts: Sequence[str]) -> Any:
    """Counts words."""
    known = [word for words in WORDS.values() for word in words]
    return np.asarray([[1.0 + 9 * (word in text.lower()) for word in known] for text in texts])


def test_baselines_learn_what_a_word_tells() -> None:
    texts, experts = [row.request for row in ROWS.requests], [row.expert for row in ROWS.requests]
    for contender in (Svm(texts, experts), Knn(texts, experts, embed)):
        guesses = contender.guess(["a prime integral", "the contract at court"])
        assert [guess.expert for guess in guesses] == ["math", "law"], contender.name
        assert all(0.5 < guess.confidence <= 1 for guess in guesses)


def test_a_path_is_walked_after_the_routers_own_decisions() -> None:
    case = Case(request="the integral, then the contract", hops=ROWS.paths[0].hops, source="s", style="then")
    assert walk(scripted_router(SCRIPT), case)[0] == ("math", "law")
    lost = Case(request="the contract", hops=ROWS.paths[0].hops, source="s", style="also")
    figures = measure_paths(scripted_router({"then": ["math", "law", None], "": ["law", None]}), [case, lost])
    assert figures.exact.value == 0.5
    assert figures.first.value == 0.5
    assert figures.styles == {"also": 0.0, "then": 1.0}
    assert figures.one_hop_only == 0


def test_a_router_that_never_ends_is_stopped() -> None:
    def forever(scene: Any) -> str:
        return ("math", "law")[len(scene.answers) % 2]

    case = Case(request="x", hops=ROWS.paths[0].hops)
    assert len(walk(scripted_router(forever), case)[0]) <= 4


def test_a_router_that_minds_capitals_is_found_out() -> None:
    router = Router(scripted_router(lambda scene: "law" if scene.request.isupper() else "math"))
    kept = measure_robustness(router, ["one request", "and another"], [])
    assert kept["all_caps"].value == 0
    assert kept["typos"].value == 1
    assert "pasted_paragraph" not in kept  # there was none to paste


def test_a_number_that_a_rewrite_leaves_out_counts() -> None:
    router = scripted_router({"": Pick("math", rewrite="What is the prime after 7?")})
    figures = measure_rewrites(router, [Case(request="the prime after 7, and what do 40 apples cost", expert="math")])
    assert figures.rewritten == 1
    assert figures.kept["number"] == (0.5, 2)


@pytest.fixture
def figures() -> dict[str, Any]:
    run = Evaluation(scripted_router(SCRIPT), held_out_cases(ROWS), ROWS, ROWS.paragraphs, embed, lambda text: None)
    return run.run(list(TASKS))


def test_all_tasks_measure_and_the_page_holds_them(figures: dict[str, Any], tmp_path: Path) -> None:
    contenders = figures["routing"]["contenders"]
    assert set(contenders) == {"octopus", "svm", "minilm"}
    assert contenders["octopus"]["sources"]["own"]["accuracy"]["value"] == 1
    assert contenders["octopus"]["stray_auroc"] == 1
    assert figures["paths"]["own paths"]["exact"]["value"] == 1
    assert set(figures["robustness"]["octopus"]) == {"typos", "all_caps", "lower_case", "pls", "pasted_paragraph"}
    page = write_report(figures, tmp_path / "out")
    text = page.read_text()
    assert text.count("<svg") >= 4
    assert "http://" not in text.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    assert "<script" not in text
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text()) == json.loads(json.dumps(figures))
    assert sorted(file.name for file in page.parent.iterdir()) == ["evaluation.html", "evaluation.json"]


def test_a_python_without_semantic_router_is_named(tmp_path: Path) -> None:
    texts, experts = [row.request for row in ROWS.requests], [row.expert for row in ROWS.requests]
    contender = SemanticRouter(texts, experts, embed, Path(sys.executable))
    with pytest.raises(ConfigurationError, match=r"semantic-router cannot be run by .*No module named"):
        contender.guess(["a prime integral"])


def test_answers_are_asked_of_the_graphs_experts_where_cases_carry_one() -> None:
    cases = [Case(request="integral?\nA. 1\nB. 2", expert="math", answer="B", source="exam", subject="calculus")]
    asked: list[str] = []

    def ask(name: str, prompt: str) -> str:
        asked.append(name)
        return "B"

    run = Evaluation(
        router=scripted_router(SCRIPT), cases=cases, learned=None, unseen_paragraphs=[], embed=None, say=print, ask=ask
    )
    assert run.run(["answers"])["answers"]["five_shot"]["right"]["value"] == 1.0
    assert asked == ["math"]


def test_a_long_list_of_cases_is_thinned_out_evenly() -> None:
    cases = [Case(request=f"prime {place}", expert="math", source=str(place // 500)) for place in range(1000)]
    run = Evaluation(
        router=scripted_router(SCRIPT), cases=cases, learned=None, unseen_paragraphs=["Lunch."], embed=None, say=print
    )
    assert {source: figures["rows"] for source, figures in run.rewrite().items()} == {"0": 150, "1": 150}
