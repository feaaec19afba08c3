"""`octopus-graph evaluate`: figures for people and for programs, and clear words about what cannot be read."""

import json
from pathlib import Path
from typing import Any

import pytest

from octopus_graph.router import OctopusRouter


@pytest.fixture(autouse=True)
def scripted(router: OctopusRouter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OctopusRouter, "from_pretrained", lambda model=None: router)


def test_a_file_of_cases_is_measured_and_reported(octopus: Any, tmp_path: Path) -> None:
    cases = tmp_path / "exam.jsonl"
    rows = [{"request": "the derivative?", "expert": "math"}, {"request": "a contract?", "expert": "math"}]
    cases.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = octopus("evaluate", "routing", cases, "--no-baselines", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "octopus, exam: 50.0% of 2\n" in result.stdout
    assert (tmp_path / "out" / "evaluation.html").read_text().count("<svg") == 3
    found = json.loads(
        octopus("evaluate", "routing", cases, "--no-baselines", "--json", "--out", tmp_path / "out").stdout
    )
    assert found["routing"]["contenders"]["octopus"]["sources"]["exam"]["rows"] == 2


def test_an_unknown_expert_is_named_with_its_line(octopus: Any, tmp_path: Path) -> None:
    cases = tmp_path / "exam.jsonl"
    cases.write_text('{"request": "soup?", "expert": "cooking"}\n')
    result = octopus("evaluate", "routing", cases, "--no-baselines", "--out", tmp_path / "out")
    assert result.exit_code != 0
    assert "exam.jsonl, line 1: unknown expert 'cooking'" in result.output
    assert not (tmp_path / "out").exists()
