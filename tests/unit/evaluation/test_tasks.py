"""The tasks, with a router that follows a script and baselines that really learn."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from octopus_graph.errors import ConfigurationError
from octopus_graph.evaluation.cases import Case, read_cases
from octopus_graph.evaluation.contenders import Knn, SemanticRouter, Svm
from octopus_graph.evaluation.metrics import part
from octopus_graph.evaluation.report import write_report
from octopus_graph.evaluation.samples import held_out_cases, own_cases, thinned
from octopus_graph.evaluation.tables import tables
from octopus_graph.evaluation.tasks import TASKS, Evaluation
from octopus_graph.risk import Calibration
from octopus_graph.testing import Pick, scripted_router
from octopus_graph.tokens import PAPER_EXPERTS
from octopus_graph.training.data import Multipart, PathHop, Previous, Question, Request, Unroutable
from octopus_graph.training.mixture import Rows

WORDS = {"math": ("integral", "matrix", "prime"), "law": ("contract", "court", "tort")}
ROWS = Rows(
    [
        Request(id=f"{expert}{index}", request=f"{word} number {index} please", expert=expert, style="terse")
        for expert, words in WORDS.items()
        for index in range(10)
        for word in words
    ]
    + [
        Request(
            id="later",
            request="and what follows?",
            previous=(Previous(request="the court", expert="law"),),
            expert="law",
            rewrite="What follows from it in court?",
        )
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


def evaluation(cases: Sequence[Case], learned: Rows | None = None, **more: Any) -> Evaluation:
    given: dict[str, Any] = {
        "router": scripted_router(SCRIPT),
        "unseen_paragraphs": ROWS.paragraphs,
        "embed": embed if learned else None,
        "say": print,
    }
    return Evaluation(cases=cases, learned=learned, **(given | more))


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    router = scripted_router(SCRIPT)
    router.calibration = Calibration(hop=((0.9, True),) * 100, path=((0.9, True),) * 100)
    return evaluation(held_out_cases(ROWS), ROWS, router=router).run(list(TASKS))


def test_all_tasks_measure_and_the_page_holds_them(figures: dict[str, Any], tmp_path: Path) -> None:
    contenders = figures["routing"]["contenders"]
    assert set(contenders) == {"octopus", "svm", "minilm"}
    assert contenders["octopus"]["sources"]["own"]["accuracy"]["value"] == 1
    assert contenders["octopus"]["stray_auroc"]["value"] == 1
    assert contenders["octopus"]["stray_sources"] == {"unroutable": {"value": 1, "low": 1, "high": 1}}
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


def test_every_table_is_as_wide_as_its_head_and_stands_on_the_page(figures: dict[str, Any], tmp_path: Path) -> None:
    made = tables(figures)
    text = write_report(figures, tmp_path).read_text()
    for table in made:
        assert all(len(row) == len(table.head) for row in table.rows), table.title
        assert table.title.replace("'", "&#39;") in text
    by_title = {table.title: table for table in made}
    assert "(100.0 to 100.0)" in by_title["Routing: macro-F1"].rows[0][2]
    assert list(by_title["Routing: share right by style"].rows[0][:2]) == ["terse", "60"]


def test_requests_that_need_the_turn_before_are_a_source_of_the_router_alone(figures: dict[str, Any]) -> None:
    contenders = figures["routing"]["contenders"]
    assert contenders["octopus"]["sources"]["own follow-ups"]["accuracy"]["value"] == 1
    assert "own follow-ups" not in contenders["svm"]["sources"]
    router = scripted_router(lambda scene: "law" if scene.previous == "the court" else "math")
    found = evaluation(held_out_cases(ROWS), router=router).run(["routing"])["routing"]["contenders"]["octopus"]
    assert found["sources"]["own follow-ups"]["accuracy"]["value"] == 1


def test_a_neighbouring_domain_counts_in_a_share_of_its_own() -> None:
    router = scripted_router({"circuit": "physics", "verb": "law", "": "electrical_engineering"})
    texts = ("circuit a", "circuit b", "verb", "voltage")
    cases = [Case(request=text, expert="electrical_engineering", source="exam") for text in texts]
    found = evaluation(cases, router=router).run(["routing"])
    octopus = found["routing"]["contenders"]["octopus"]
    assert octopus["sources"]["exam"]["accuracy"]["value"] == 0.25
    assert octopus["nearby"]["exam"]["share"]["value"] == 0.75
    assert "Routing: share right where a neighbouring domain counts too" in [table.title for table in tables(found)]


def test_literals_that_survive_stand_by_source_and_together() -> None:
    cases = [Case(request="whats the integral", expert="math", source=source) for source in ("one", "two", "none")]
    found = evaluation(cases).run(["rewrite"])
    for source, hits in (("one", [True] * 3), ("two", [False])):
        found["rewrite"][source]["kept"] = {"number": asdict(part(hits))}
    found["rewrite"]["none"]["kept"] = {}
    survived = {table.title: table for table in tables(found)}["Rewrite: literals of the request that survive"]
    assert [(row[0], row[1][:6], row[1][-1], row[2]) for row in survived.rows] == [
        ("all", "75.0% ", "4", "-"),
        ("one", "100.0%", "3", "-"),
        ("two", "0.0% (", "1", "-"),
    ]


def test_the_bound_is_the_routers_own_and_not_fitted_on_the_cases() -> None:
    """Cases that are all wrong would raise a threshold fitted on them; the router's stays."""
    router = scripted_router({"a": Pick("math", confidence=0.8), "": Pick("math", confidence=0.4)})
    router.calibration = Calibration(hop=((0.7, True),) * 99 + ((0.3, False),) * 10)
    cases = [Case(request=text, expert="law", source="exam") for text in ("a", "b", "c", "d")]
    found = evaluation(cases, router=router, max_error=0.03).run(["calibration"])["calibration"]
    worth = found["one_hop"]["3.0%"]
    assert worth["min_confidence"] == 0.7
    assert worth["coverage"] == 0.25
    assert worth["wrong"]["value"] == 0.25
    assert found["one_hop_sources"]["exam"] == worth
    assert found["one_hop"]["1.0%"]["min_confidence"] == 0.7
    assert found["calibration_sources"]["exam"]["calibration_error"] == pytest.approx(0.5)


def test_too_few_rows_for_a_bound_are_said_and_not_written_as_infinity() -> None:
    router = scripted_router(SCRIPT)
    router.calibration = Calibration(hop=((0.7, True),))
    found = evaluation([Case(request="integral", expert="math")], router=router).run(["calibration"])
    assert found["calibration"]["one_hop"]["1.0%"]["min_confidence"] is None
    assert "Infinity" not in json.dumps(found)
    assert any("lets nothing through" in note for table in tables(found) for note in table.notes)


def test_a_router_without_calibration_says_so() -> None:
    found = evaluation([Case(request="integral", expert="math")]).run(["calibration"])
    assert any("no calibration.json" in note for table in tables(found) for note in table.notes)


def test_a_whole_path_counts_by_its_first_decision() -> None:
    hops = ROWS.paths[0].hops
    router = scripted_router({"": [Pick("math", confidence=0.6), Pick("law", confidence=0.3), None]})
    router.calibration = Calibration(hop=((0.5, True),) * 100, path=((0.5, True),) * 100)
    found = evaluation([Case(request="both", hops=hops, source="s")], router=router).run(["calibration"])
    assert found["calibration"]["whole_path"]["5.0%"]["coverage"] == 1  # 0.6, and not the 0.3 after it


def test_what_the_temperature_saw_stands_apart() -> None:
    cases = [Case(request="integral", expert="math"), Case(request="prime", expert="law")]
    found = evaluation(cases, fitted={"integral"}).run(["calibration"])["calibration"]["halves"]
    assert {name: (half["rows"], half["right"]) for name, half in found.items()} == {
        "the_temperature_saw_these": (1, 1),
        "it_did_not_see_these": (1, 0),
    }


KINDS = {
    "single": {"request": "the integral", "expert": "math"},
    "follow-up": {"request": "and?", "expert": "law", "previous": [{"request": "the court", "expert": "law"}]},
    "path": {
        "request": "the integral, then",
        "hops": [{"expert": "math", "query": "i"}, {"expert": "law", "query": "c"}],
    },
    "none": {"request": "lol"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", TASKS)
def test_a_file_of_one_kind_alone_can_be_measured(task: str, kind: str, tmp_path: Path) -> None:
    file = tmp_path / "cases.jsonl"
    file.write_text(json.dumps(KINDS[kind]) + "\n")
    found = evaluation(read_cases(file, PAPER_EXPERTS), ROWS).run([task])
    write_report(found, tmp_path)
    measured = {
        "single": {*TASKS} - {"paths", "answers"},
        "path": {"paths", "calibration", "rewrite"},
        "follow-up": {"rewrite"},
    }
    assert ("skipped" not in found[task]) is (task in measured.get(kind, set()))


def test_the_projects_sets_are_validation_and_test() -> None:
    cases = own_cases(PAPER_EXPERTS)
    assert {case.source for case in cases} == {
        *("words", "facts", "problems"),
        *("test words", "test facts", "test pasted", "test none", "test paths"),
    }


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

    assert evaluation(cases, ask=ask).run(["answers"])["answers"]["five_shot"]["right"]["value"] == 1.0
    assert asked == ["math"]
    without = evaluation([Case(request="integral?", expert="math")], ask=ask).run(["answers"])
    assert "`answer`" in without["answers"]["five_shot_skipped"]


def test_a_long_list_of_cases_is_thinned_out_evenly_and_says_so() -> None:
    cases = [Case(request=f"prime {place}", expert="math", source=str(place // 500)) for place in range(1000)]
    kept, left_out = thinned(cases, 300)
    assert left_out == {"0": (300, 500), "1": (300, 500)}
    assert [case.request for case in kept[:4]] == ["prime 0", "prime 1", "prime 3", "prime 5"]
    assert thinned(cases, None) == (cases, {})
    found = evaluation(kept, left_out=left_out).run(["rewrite"])
    assert {source: figures["rows"] for source, figures in found["rewrite"].items()} == {"0": 75, "1": 75}
    assert tables(found)[0].notes[-1:] == ["Samples, taken evenly: 0 75 of 500, 1 75 of 500."]
