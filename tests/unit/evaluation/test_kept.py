"""What a run keeps: whole, by what it depends on, and without the words of requests."""

import json
from pathlib import Path
from typing import Any

import pytest

from octopus_graph.errors import TrainingError
from octopus_graph.evaluation.cases import Case
from octopus_graph.evaluation.kept import Journal, Kept, digest
from octopus_graph.evaluation.samples import THOROUGH
from octopus_graph.evaluation.tasks import Evaluation
from octopus_graph.testing import Scene, ScriptedEngine, scripted_router


def test_a_journal_is_read_again_and_a_torn_line_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "journal.jsonl"
    Journal(file).add([("a", ["math", 0.25]), ("b", ["law", 1.0])])
    with file.open("a") as stream:
        stream.write('["c", ["ma')  # killed here
    journal = Journal(file)
    assert journal["a"] == ["math", 0.25]
    assert "c" not in journal
    journal.add([("d", ["math", 0.5])])
    again = Journal(file)
    assert again["d"] == ["math", 0.5]
    assert again["b"] == ["law", 1.0]


def test_a_journal_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    journal = Journal(tmp_path / "file" / "journal.jsonl")
    with pytest.raises(TrainingError, match="could not be written"):
        journal.add([("a", 1)])


def test_figures_of_another_run_and_half_written_ones_are_not_found(tmp_path: Path) -> None:
    Kept(tmp_path, "router", "run a").keep("routing", {"right": 1})
    assert Kept(tmp_path, "router", "run a").figures("routing") == {"right": 1}
    assert Kept(tmp_path, "router", "run b").figures("routing") is None
    (tmp_path / "kept" / "run a" / "paths.json").write_text('{"right"')
    assert Kept(tmp_path, "router", "run a").figures("paths") is None
    assert Kept(tmp_path, "router", "run a", fresh=True).figures("routing") is None


CASES = [Case(request="the secret integral", expert="math", source="exam")]


def evaluation(out: Path, **more: Any) -> tuple[Evaluation, list[Scene]]:
    router = scripted_router({"": "math"})
    given: dict[str, Any] = {"router": router, "cases": CASES, "learned": None, "unseen_paragraphs": [], "embed": None}
    given |= {"say": lambda _: None, "out": out}
    run = Evaluation(**(given | more))
    engine = run.router.engine
    assert isinstance(engine, ScriptedEngine)
    return run, engine.scenes


def test_what_is_measured_once_is_not_measured_again(tmp_path: Path) -> None:
    first, scenes = evaluation(tmp_path)
    found = first.run(["routing"])
    assert len(scenes) == 1
    second, scenes = evaluation(tmp_path)
    assert json.dumps(second.run(["routing"])) == json.dumps(found)
    assert second.run(["calibration"])["calibration"]["calibration_sources"]["exam"]["rows"] == 1
    assert scenes == []


def test_a_run_says_what_it_goes_on_from(tmp_path: Path) -> None:
    evaluation(tmp_path)[0].run(["routing"])
    said: list[str] = []
    evaluation(tmp_path, say=said.append)[0].run(["routing", "speed"])
    assert said[0].startswith("routing: measured 2")
    assert said[1] == "speed …"


@pytest.mark.parametrize(
    "change",
    [
        {"cases": [*CASES, Case(request="more", expert="law", source="exam")]},
        {"cases": [Case(request="the secret integral", expert="law", source="exam")]},
        {"limits": THOROUGH},
        {"max_error": 0.01},
        {"unseen_paragraphs": ["Lunch is at noon."]},
        {"fitted": {"the secret integral"}},
    ],
    ids=["more cases", "another label", "limits", "bound", "paragraphs", "what the temperature saw"],
)
def test_figures_are_measured_anew_where_anything_they_depend_on_changed(change: Any, tmp_path: Path) -> None:
    evaluation(tmp_path)[0].run(["routing"])
    said: list[str] = []
    evaluation(tmp_path, say=said.append, **change)[0].run(["routing"])
    assert said[0] == "routing …"


def test_another_router_finds_no_decision_of_this_one(tmp_path: Path) -> None:
    evaluation(tmp_path)[0].run(["routing"])
    other = scripted_router({"": "law"})
    other.temperature = 2.0
    run, scenes = evaluation(tmp_path, router=other)
    assert run.run(["routing"])["routing"]["contenders"]["octopus"]["sources"]["exam"]["accuracy"]["value"] == 0
    assert len(scenes) == 1


def test_no_request_is_written_down(tmp_path: Path) -> None:
    evaluation(tmp_path)[0].run(["routing", "paths", "robustness"])
    written = [file.read_text() for file in tmp_path.rglob("*") if file.is_file()]
    assert written
    assert not any("secret" in text for text in written)


def test_a_digest_tells_kinds_and_values_apart() -> None:
    assert digest("guess", "a") == digest("guess", "a")
    assert len({digest("guess", "a"), digest("walk", "a"), digest("guess", ["a"]), digest("guess", 1)}) == 4
