"""What is found in rows before anything is trained on them."""

import json
from pathlib import Path

import pytest

from octopus_graph.errors import TrainingError
from octopus_graph.training.check import check, evaluation_texts
from octopus_graph.training.data import Multipart, Request, own_examples


def row(name: str, request: str, expert: str = "math", **more: object) -> Request:
    return Request.model_validate({"id": name, "request": request, "expert": expert, **more})


def test_nearly_the_same_text_is_a_duplicate_for_one_expert_and_a_conflict_for_two() -> None:
    findings = check(
        [
            row("a", "What is the derivative of the sine of x squared?"),
            row("b", "what is the derivative of the  sine of x squared"),
            row("c", "What is the derivative of the sine of x squared?", "physics"),
            row("d", "Who signed the treaty of Westphalia?", "history"),
        ]
    )
    assert findings.near_duplicates == [("a", "b")]
    assert findings.conflicts == [("a", "c"), ("b", "c")]
    assert not findings.clean


def test_texts_too_short_for_vectors_are_compared_too() -> None:
    assert check([row("a", "?"), row("b", "?", "law")]).conflicts == [("a", "b")]


def test_the_same_follow_up_to_different_turns_is_no_conflict() -> None:
    first = row("a", "And in France?", "law", previous=[{"request": "Is a handwritten will valid?", "expert": "law"}])
    second = row(
        "b", "And in France?", "geography", previous=[{"request": "Highest peak of Spain?", "expert": "geography"}]
    )
    assert check([first, second]).conflicts == []


def test_a_request_of_an_evaluation_set_is_found() -> None:
    findings = check(
        [row("a", "Find the slope of y = 3x + 2."), row("b", "Roots of unity?")], ["find the slope of y = 3x + 2"]
    )
    assert findings.overlap == [("a", "find the slope of y = 3x + 2")]
    assert not findings.clean


def test_one_opening_may_not_make_up_more_than_its_share() -> None:
    spun = [row(str(n), f"What is the {word}?") for n, word in enumerate(("norm", "trace", "kernel", "rank of unity"))]
    findings = check(spun)
    assert findings.templates == {"math": ("what is the", 1.0)}
    assert not findings.clean


def test_one_closing_may_not_make_up_more_than_its_share_either() -> None:
    ends = [row(str(n), f"{word} of it, my dear friend!?") for n, word in enumerate(("norm", "trace", "kernel"))]
    findings = check(ends)
    assert findings.closings == {"math": ("my dear friend", 1.0)}
    assert findings.templates == {}
    assert not findings.clean


def test_multi_part_requests_have_templates_too() -> None:
    hops = [{"expert": "math", "query": "a"}, {"expert": "law", "query": "b"}]
    paths = [
        Multipart.model_validate({"id": str(n), "request": f"{start} {word}?", "hops": hops})
        for start in ("first do the", "and now a", "please tell me of")
        for n, word in enumerate(("norm", "trace"))
    ]
    findings = check(paths)
    assert findings.templates == {"multi-part requests": ("first do the", 1 / 3)}
    assert not findings.clean


def test_no_rows_is_an_error() -> None:
    with pytest.raises(TrainingError, match="no rows"):
        check([])


@pytest.mark.parametrize("line", ["{", "[]", json.dumps({"text": "x"}), json.dumps({"question": " "})])
def test_a_line_that_is_no_evaluation_row_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "e.jsonl"
    file.write_text(json.dumps({"question": "Why?"}) + "\n\n" + line + "\n")
    with pytest.raises(TrainingError, match=r"e\.jsonl, line 3: no `question`"):
        evaluation_texts(file)


def test_a_missing_evaluation_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="cannot be read"):
        evaluation_texts(tmp_path / "none.jsonl")


@pytest.mark.slow  # half a minute for 25,000 rows
@pytest.mark.timeout(400)
def test_the_projects_own_requests_are_clean() -> None:
    findings = check(own_examples())
    assert findings.conflicts == []
    assert findings.clean
