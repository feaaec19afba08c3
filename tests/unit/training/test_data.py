"""Rows: read with their line numbers, split by their text alone."""

import json
from pathlib import Path

import pytest

from octopus_graph.errors import TrainingError
from octopus_graph.tokens import PAPER_EXPERTS
from octopus_graph.training.data import (
    Multipart,
    Question,
    Request,
    Unroutable,
    examples,
    held_out,
    own_paragraphs,
    own_paths,
    own_requests,
    own_unroutable,
    questions,
    read_rows,
)


def write(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


def test_rows_are_read_and_blank_lines_passed_over(tmp_path: Path) -> None:
    good = {"id": "a", "request": "2 + 2?", "expert": "math"}
    file = write(tmp_path / "rows.jsonl", good, "", {**good, "id": "b", "request": "a\u2028b"})
    assert [row.id for row in read_rows(file, Request)] == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", r"line 2: the line: Invalid JSON"),
        ({"id": "b", "request": "x"}, r"line 2: expert: Field required"),
        ({"id": "b", "request": "", "expert": "math"}, r"line 2: request: String should have at least 1 character"),
        ({"id": "b", "request": "x", "expert": "maths"}, r"line 2: unknown expert 'maths'"),
        (
            {"id": "b", "request": "x", "expert": "math", "previous": [{"request": "y", "expert": "art"}]},
            r"line 2: unknown expert 'art'",
        ),
    ],
)
def test_a_malformed_row_is_named_by_file_and_line(tmp_path: Path, line: object, complaint: str) -> None:
    file = write(tmp_path / "rows.jsonl", {"id": "a", "request": "2 + 2?", "expert": "math"}, line)
    with pytest.raises(TrainingError, match=rf"rows\.jsonl, {complaint}") as caught:
        list(read_rows(file, Request))
    assert "\n" not in str(caught.value)


def test_a_path_needs_a_hop(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", {"id": "a", "request": "x", "hops": []})
    with pytest.raises(TrainingError, match=r"line 1: hops"):
        list(read_rows(file, Multipart))


@pytest.mark.parametrize("targets", [{"math": 0}, {"math": -1}, {"cooking": 1}, {"math": float("inf")}])
def test_targets_are_shares_of_known_experts(tmp_path: Path, targets: dict[str, float]) -> None:
    file = write(tmp_path / "rows.jsonl", {"id": "a", "request": "2 + 2?", "expert": "math", "targets": targets})
    with pytest.raises(TrainingError, match=r"rows\.jsonl, line 1: (targets|unknown expert 'cooking')"):
        list(read_rows(file, Request))


def test_a_row_for_no_expert_has_nothing_more_and_a_slip_in_a_key_is_named(tmp_path: Path) -> None:
    fine = {"id": "a", "request": "lol ok", "style": "smalltalk", "source": "me"}
    assert isinstance(examples([write(tmp_path / "fine.jsonl", fine)])[0], Unroutable)
    file = write(tmp_path / "mine.jsonl", {"request": "a", "expert": "b"}, {"request": "x", "exprt": "shipping"})
    with pytest.raises(TrainingError, match=r"mine\.jsonl, line 2: there is neither `expert` nor `hops`, but 'exprt'"):
        examples([file])


def test_targets_alone_name_the_expert_with_the_largest_share(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.jsonl", {"request": "a", "targets": {"one": 0.2, "two": 0.7}})
    (row,) = examples([file])
    assert isinstance(row, Request)
    assert row.expert == "two"
    for targets in ({}, {"one": "much"}, [1], {"one": 0}):
        bad = write(tmp_path / "bad.jsonl", {"request": "a", "targets": targets})
        with pytest.raises(TrainingError, match=r"bad\.jsonl, line 1"):
            examples([bad])


@pytest.mark.parametrize("bad", ["{", {"question": "What is a role?", "choices": ""}, {"source": 1}])
def test_a_malformed_outcome_is_named_by_file_and_line(tmp_path: Path, bad: object) -> None:
    write(tmp_path / "mmlu_dev.jsonl", {"subject": "s", "expert": "culture", "question": "Q?", "choices": ""})
    good = {"source": "ori_mmlu-s", "question": "What is a norm?", "choices": ""}
    write(tmp_path / "mmlu_pro_outcomes_dev.jsonl", good, bad)
    with pytest.raises(TrainingError, match=r"mmlu_pro_outcomes_dev\.jsonl, line 2: "):
        questions(tmp_path)


def test_what_no_expert_fits_and_what_is_pasted_comes_with_the_package() -> None:
    assert len({row.request for row in own_unroutable()}) >= 400
    assert len(set(own_paragraphs())) >= 150


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="cannot be read"):
        list(read_rows(tmp_path / "none.jsonl", Request))
    with pytest.raises(TrainingError, match=r"mmlu_dev\.jsonl"):
        questions(tmp_path)


def test_the_same_text_is_always_on_the_same_side() -> None:
    texts = [f"question {index}" for index in range(2000)]
    share = sum(map(held_out, texts)) / len(texts)
    assert 0.08 < share < 0.12
    assert all(held_out(text) == held_out(f"  {text.upper()} \n") for text in texts)


def test_a_question_in_both_files_counts_once_and_by_the_subject_table(tmp_path: Path) -> None:
    rows = [
        {"subject": "sociology", "expert": "culture", "question": "What is a norm?", "choices": "A. x"},
        {"subject": "sociology", "expert": "culture", "question": "what is  a NORM?", "choices": "A. x"},
    ]
    write(tmp_path / "mmlu_dev.jsonl", *rows)
    more = {"source": "ori_mmlu-sociology", "category": "other", "expert": "general", "choices": "A. x"}
    write(
        tmp_path / "mmlu_pro_outcomes_dev.jsonl",
        {**more, "question": "What is a norm?"},
        {**more, "question": "What is a role?"},
    )
    found = questions(tmp_path)
    assert [(row.question, row.expert) for row in found] == [
        ("What is a norm?", "culture"),
        ("What is a role?", "culture"),
    ]
    assert isinstance(found[0], Question)


def test_the_projects_own_rows_are_whole() -> None:
    requests, paths = own_requests(), own_paths()
    for expert in PAPER_EXPERTS:
        rows = [row for row in requests if row.expert == expert]
        assert len(rows) >= 40, expert
        assert sum(bool(row.rewrite) for row in rows) >= 20, expert
    assert len({row.id for row in requests}) == len(requests)
    assert len({row.request for row in requests}) == len(requests)
    assert len({row.id for row in paths}) == len(paths)
    assert all(a.expert != b.expert for row in paths for a, b in zip(row.hops, row.hops[1:], strict=False))
    assert not any("<nexa_" in row.request for row in [*requests, *paths])
