import json
from pathlib import Path
from typing import Any

import pytest

from octopus_graph.evaluation.cases import fresh_paragraphs
from octopus_graph.training import check as checking
from octopus_graph.training.data import OWN_DATA, held_out, own_paragraphs


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.jsonl"
    made = [
        {"id": "a", "request": "Integral of x?", "expert": "math", "style": "terse"},
        {"id": "b", "request": "May my landlord keep the deposit?", "expert": "law", "rewrite": "May a landlord …?"},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in made))
    return file


def test_stats_counts_experts_and_styles(octopus: Any, rows: Path) -> None:
    counts = json.loads(octopus("data", "stats", rows, "--json").stdout)
    assert counts == {
        "rows": 2,
        "experts": {"law": 1, "math": 1},
        "styles": {"-": 1, "terse": 1},
        "rewritten": 1,
        "paths": {},
        "none": 0,
    }
    assert octopus("data", "stats", rows).stdout.startswith("2 requests, 1 with a rewrite\nexperts: law 1, math 1\n")


def test_check_ends_with_1_on_overlap_and_says_where(octopus: Any, rows: Path, tmp_path: Path) -> None:
    evaluation = tmp_path / "e.jsonl"
    evaluation.write_text('{"question": "integral of x?"}\n')
    result = octopus("data", "check", rows, "--against", evaluation)
    assert result.exit_code == 1
    assert "overlap with evaluation sets: 1\n  a  integral of x?\n" in result.stdout
    found = json.loads(octopus("data", "check", rows, "--against", evaluation, "--json").stdout)
    assert found["overlap"] == [["a", "integral of x?"]]
    assert found["clean"] is False


def test_the_projects_requests_are_checked_against_every_set_of_its_own(
    octopus: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shared" / "data"
    folder.mkdir(parents=True)
    asked = [f"Is {number} a prime?" for number in range(60)]
    rows = [{"question": text, "expert": "math", "subject": "numbers"} for text in asked]
    (folder / "mmlu_dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    seen: dict[str, list[str]] = {}

    def checked(rows: list[Any], evaluation: list[str]) -> Any:
        seen.update(rows=[row.request for row in rows], evaluation=evaluation)
        return checking.Findings(len(rows), [], [], [], {}, {})

    monkeypatch.setattr(checking, "check", checked)
    assert octopus("data", "check").exit_code == 0
    texts = set(seen["evaluation"])
    for name in ("validation/words", "test/words", "test/facts", "test/pasted", "test/none", "test/paths"):
        assert texts >= set(checking.evaluation_texts(OWN_DATA / f"{name}.jsonl")), name
    assert texts >= set(fresh_paragraphs())
    assert set(own_paragraphs()) <= set(seen["rows"])  # they must not stand in a test either
    # Of a benchmark only what training holds out is a test.
    assert {text for text in asked if text in texts} == {text for text in asked if held_out(text)} != set()


def test_somebody_elses_rows_are_checked_against_what_they_name(octopus: Any, rows: Path, tmp_path: Path) -> None:
    held = next(text for text in (f"Integral of x^{n}?" for n in range(99)) if held_out(text))
    (tmp_path / "mmlu_dev.jsonl").write_text(json.dumps({"question": held, "expert": "math"}) + "\n")
    rows.write_text(rows.read_text() + json.dumps({"id": "c", "request": held, "expert": "math"}) + "\n")
    assert octopus("data", "check", rows).exit_code == 0
    result = octopus("data", "check", rows, "--data", tmp_path)
    assert result.exit_code == 1
    assert "overlap with evaluation sets: 1\n  c  " in result.stdout


def test_a_malformed_file_is_one_clear_line(octopus: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{\n")
    result = octopus("data", "check", broken)
    assert result.exit_code != 0
    assert "broken.jsonl, line 1" in result.stderr


def test_a_request_of_a_thread_that_went_astray_is_added(octopus: Any, store: Any, tmp_path: Path) -> None:
    octopus("ask", "--thread", "t", "--dry-run", "May my landlord do this? See the contract")
    file = tmp_path / "my.jsonl"
    asked = ("data", "add", "--from-thread", "t", "--expert", "politics", "--to", file)
    assert "-> politics: row 1 of" in octopus(*asked).stdout
    assert json.loads(file.read_text())["expert"] == "politics"
    again = octopus(*asked)
    assert again.exit_code == 1
    assert "is this request already, for politics" in again.stderr
    assert octopus("data", "add", "--from-thread", "t", "--expert", "poetry", "--to", file).exit_code == 2
    assert octopus("data", "add", "--from-thread", "nobody", "--expert", "law", "--to", file).exit_code != 0
    assert len(file.read_text().splitlines()) == 1
