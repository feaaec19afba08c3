"""Cases are read from any of the documented shapes, and a malformed line is named."""

import json
from pathlib import Path

import pytest

from octopus_graph.errors import TrainingError
from octopus_graph.evaluation.cases import by_source, read_cases

EXPERTS = ("math", "law")


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_requests_questions_paths_and_strays_are_cases(tmp_path: Path) -> None:
    file = write(
        tmp_path / "mixed.jsonl",
        {"request": "2 + 2?", "expert": "math", "style": "terse"},
        {"question": "What is a tort?", "choices": "A. x\nB. y", "expert": "law", "source": "exam"},
        {"request": "2 + 2, and a tort?", "hops": [{"expert": "math", "query": "a"}, {"expert": "law", "query": "b"}]},
        {"request": "lol ok"},
    )
    cases = read_cases(file, EXPERTS)
    assert [case.path for case in cases] == [("math",), ("law",), ("math", "law"), ()]
    assert {source: len(part) for source, part in by_source(cases).items()} == {"mixed": 3, "exam": 1}
    assert cases[1].request == "What is a tort?"
    assert read_cases(file, EXPERTS, choices=True)[1].request == "What is a tort?\nA. x\nB. y"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "line 2: this is no JSON object"),
        ("[1]", "line 2: the line: "),
        ({"expert": "math"}, "line 2: request: Field required"),
        ({"request": "", "expert": "math"}, "line 2: request: "),
        ({"request": "x", "expert": "cooking"}, "line 2: unknown expert 'cooking'"),
        ({"request": "x", "exprt": "math"}, "line 2: the line: .*'exprt'"),
        ({"request": "x", "answer": "A"}, "line 2: the line: .*no expert fits.*'answer'"),
        ({"request": "x", "targets": {"math": "much"}}, "line 2: the line: .*'targets'"),
        (
            {"request": "x", "expert": "math", "previous": [{"request": "y", "expert": "cooking"}]},
            "line 2: unknown expert 'cooking'",
        ),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: object, complaint: str) -> None:
    file = write(tmp_path / "rows.jsonl", {"request": "2 + 2?", "expert": "math"}, line)
    with pytest.raises(TrainingError, match=rf"rows\.jsonl, {complaint}"):
        read_cases(file, EXPERTS)


def test_targets_alone_name_the_expert_with_the_largest_share(tmp_path: Path) -> None:
    [case] = read_cases(write(tmp_path / "r.jsonl", {"request": "x", "targets": {"math": 1, "law": 2.5}}), EXPERTS)
    assert case.expert == "law"


def test_a_row_that_no_expert_fits_may_say_where_it_comes_from(tmp_path: Path) -> None:
    row = {"id": "1", "question": "lol", "expert": None, "style": "smalltalk", "source": "chat"}
    [case] = read_cases(write(tmp_path / "r.jsonl", row), EXPERTS)
    assert (case.request, case.path, case.source) == ("lol", (), "chat")


def test_a_file_without_rows_or_no_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="has no rows"):
        read_cases(write(tmp_path / "empty.jsonl", ""), EXPERTS)
    with pytest.raises(TrainingError, match="cannot be read"):
        read_cases(tmp_path / "none.jsonl", EXPERTS)
