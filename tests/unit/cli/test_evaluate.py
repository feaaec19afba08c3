"""`octopus-graph evaluate`: figures for people and for programs, and clear words about what cannot be read."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from octopus_graph.engines import embedding
from octopus_graph.errors import TrainingError
from octopus_graph.router import OctopusRouter
from octopus_graph.testing import scripted_router
from octopus_graph.training import commands
from octopus_graph.weights import minilm


@pytest.fixture(autouse=True)
def scripted(router: OctopusRouter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OCTOPUS_CACHE", str(tmp_path / "cache"))  # embeddings of the double are not MiniLM's
    monkeypatch.setattr(OctopusRouter, "from_pretrained", lambda model=None: router)


def test_a_file_of_cases_is_measured_and_reported(octopus: Any, tmp_path: Path) -> None:
    cases = tmp_path / "exam.jsonl"
    rows = [{"request": "the derivative?", "expert": "math"}, {"request": "a contract?", "expert": "math"}]
    cases.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = octopus("evaluate", "routing", cases, "--no-baselines", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "Routing: share right\nsource  rows  octopus" in result.stdout
    assert "exam    2     50.0% (" in result.stdout
    assert (tmp_path / "out" / "evaluation.html").read_text().count("<svg") == 3
    found = json.loads(
        octopus("evaluate", "routing", cases, "--no-baselines", "--json", "--out", tmp_path / "out").stdout
    )
    assert found["routing"]["contenders"]["octopus"]["sources"]["exam"]["rows"] == 2


def test_every_task_prints_its_table(octopus: Any, tmp_path: Path) -> None:
    file = tmp_path / "exam.jsonl"
    rows = [
        {"request": "the derivative?", "expert": "math"},
        {"request": "both", "hops": [{"expert": "math", "query": "?"}]},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = octopus("evaluate", "all", file, "--no-baselines", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    for title in ("Routing", "Paths", "Rewrite", "Calibration", "Robustness", "Answers", "Speed"):
        assert f"\n{title}" in f"\n{result.stdout}"


def test_what_was_measured_is_there_the_next_time_and_fresh_measures_it_again(
    octopus: Any, router: OctopusRouter, tmp_path: Path
) -> None:
    file = tmp_path / "exam.jsonl"
    file.write_text('{"request": "the derivative?", "expert": "math"}\n')
    command = ("evaluate", "routing", file, "--no-baselines", "--out", tmp_path / "out")
    scenes: list[Any] = router.engine.scenes  # pyright: ignore[reportAttributeAccessIssue]  # the double's
    first = octopus(*command)
    asked = len(scenes)
    again = octopus(*command)
    assert len(scenes) == asked
    assert again.stdout == first.stdout
    assert "routing: measured" in again.stderr
    assert octopus(*command, "--fresh").exit_code == 0
    assert len(scenes) == 2 * asked


@pytest.mark.parametrize("bound", ["0", "1", "-0.1"])
def test_a_bound_that_is_no_share_is_refused(octopus: Any, bound: str) -> None:
    assert octopus("evaluate", "calibration", "--max-error", bound).exit_code == 2


def test_a_folder_without_mmlu_is_refused(octopus: Any, tmp_path: Path) -> None:
    result = octopus("evaluate", "routing", "--data", tmp_path)
    assert result.exit_code == 2
    assert "holds no mmlu_dev.jsonl" in result.stderr


class TestARouterOfOtherExperts:
    """Its baselines learn its own rows, or there are none."""

    @pytest.fixture(autouse=True)
    def shop(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.chdir(tmp_path)  # where no semantic-router is
        router = scripted_router({"parcel": "shipping", "": "refunds"}, experts=("shipping", "refunds"))
        monkeypatch.setattr(OctopusRouter, "from_pretrained", lambda model=None: router)
        monkeypatch.setattr(minilm, "prepare", Path)
        monkeypatch.setattr(embedding, "Encoder", lambda folder: _lengths)
        monkeypatch.setattr(commands, "rows_of", lambda data: pytest.fail("the project's rows were read"))

    @pytest.fixture
    def rows(self, tmp_path: Path) -> Path:
        file = tmp_path / "mine.jsonl"
        made = [{"request": f"parcel {place} is late", "expert": "shipping"} for place in range(40)]
        made += [{"request": f"money back for order {place}", "expert": "refunds"} for place in range(40)]
        file.write_text("".join(json.dumps(row) + "\n" for row in made))
        return file

    def test_without_examples_there_are_no_baselines(self, octopus: Any, rows: Path, tmp_path: Path) -> None:
        result = octopus("evaluate", "routing", rows, "--out", tmp_path / "out")
        assert result.exit_code == 0, result.output
        assert "No baselines" in result.stderr
        assert "svm" not in result.stdout

    def test_with_examples_baselines_learn_them(self, octopus: Any, rows: Path, tmp_path: Path) -> None:
        command = ("evaluate", "routing", "--examples", rows, "--out", tmp_path / "out")
        found = json.loads(octopus(*command, "--json").stdout)["routing"]["contenders"]
        assert set(found) >= {"octopus", "svm", "minilm"}
        assert found["svm"]["sources"]["own"]["rows"] > 0  # those that training held out

    def test_without_cases_or_examples_it_says_what_is_missing(self, octopus: Any) -> None:
        result = octopus("evaluate", "routing", "--no-baselines")
        assert result.exit_code == 2
        assert "--examples" in result.stderr


def test_by_default_mmlu_is_the_folder_that_training_reads(
    octopus: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shared" / "data"
    folder.mkdir(parents=True)
    (folder / "mmlu_dev.jsonl").write_text("")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    read: list[Path | None] = []

    def rows_of(data: Path | None) -> Any:
        read.append(data)
        raise TrainingError("enough")

    monkeypatch.setattr(commands, "rows_of", rows_of)
    octopus("evaluate", "routing")
    assert read == [Path("../shared/data")]


def _lengths(texts: Sequence[str]) -> Any:
    return np.asarray([[1.0, len(text)] for text in texts])


def test_an_unknown_expert_is_named_with_its_line(octopus: Any, tmp_path: Path) -> None:
    cases = tmp_path / "exam.jsonl"
    cases.write_text('{"request": "soup?", "expert": "cooking"}\n')
    result = octopus("evaluate", "routing", cases, "--no-baselines", "--out", tmp_path / "out")
    assert result.exit_code != 0
    assert "exam.jsonl, line 1: unknown expert 'cooking'" in result.output
    assert not (tmp_path / "out").exists()
