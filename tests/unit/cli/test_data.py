import json
from pathlib import Path
from typing import Any

import pytest


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


def test_a_malformed_file_is_one_clear_line(octopus: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{\n")
    result = octopus("data", "check", broken)
    assert result.exit_code != 0
    assert "broken.jsonl, line 1" in result.stderr
