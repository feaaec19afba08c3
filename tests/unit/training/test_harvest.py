import json
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage

from octopus_graph.errors import InputError, TrainingError, UnknownExpertError
from octopus_graph.tokens import PAPER_EXPERTS
from octopus_graph.training.data import examples
from octopus_graph.training.harvest import append_row, row_from

THREAD: list[AnyMessage] = [
    HumanMessage("May he keep the deposit?"),
    AIMessage("", tool_calls=[{"name": "law", "args": {"query": "?"}, "id": "1"}]),
    ToolMessage("No.", tool_call_id="1"),
    AIMessage("No."),
    HumanMessage("  And how much   is 3% of it? "),
    AIMessage("I do not know."),
]


def test_the_last_request_becomes_a_row_that_training_reads(tmp_path: Path) -> None:
    file = tmp_path / "my.jsonl"
    row = row_from(THREAD, "math", PAPER_EXPERTS, rewrite="3% of a deposit?")
    assert append_row(row, file) == 1
    (read,) = examples([file])
    assert read == row
    assert json.loads(file.read_text()) == {
        "id": row.id,
        "request": "And how much   is 3% of it?",
        "expert": "math",
        "rewrite": "3% of a deposit?",
    }


def test_a_follow_up_keeps_the_turn_before_it_and_who_took_that() -> None:
    row = row_from(THREAD, "math", PAPER_EXPERTS, follow_up=True)
    assert [(turn.request, turn.expert) for turn in row.previous] == [("May he keep the deposit?", "law")]


def test_any_turn_can_be_taken_and_only_those_there_are() -> None:
    assert row_from(THREAD, "politics", PAPER_EXPERTS, turn=1).request == "May he keep the deposit?"
    with pytest.raises(InputError, match="has 2 requests and no 3th"):
        row_from(THREAD, "math", PAPER_EXPERTS, turn=3)
    with pytest.raises(InputError, match="holds no request"):
        row_from([AIMessage("hello")], "math", PAPER_EXPERTS)
    with pytest.raises(InputError, match="follows no other"):
        row_from(THREAD, "math", PAPER_EXPERTS, turn=1, follow_up=True)
    with pytest.raises(InputError, match="went to no expert"):
        row_from([THREAD[0], THREAD[3], THREAD[4]], "math", PAPER_EXPERTS, follow_up=True)
    with pytest.raises(UnknownExpertError, match="no expert 'maths'"):
        row_from(THREAD, "maths", PAPER_EXPERTS)


@pytest.mark.parametrize(
    ("held", "whose"),
    [
        ({"request": "and HOW much is 3% of it?", "expert": "law"}, "for law"),
        ({"request": "and how much is 3% of it?"}, "for nobody"),
        (
            {"request": "And how much is 3% of it?", "hops": [{"expert": "law", "query": "?"}]},
            "for law",
        ),
    ],
)
def test_a_request_that_is_there_already_is_refused(tmp_path: Path, held: dict[str, object], whose: str) -> None:
    file = tmp_path / "my.jsonl"
    file.write_text(json.dumps({"request": "hello there", "expert": "general"}) + "\n" + json.dumps(held))
    before = file.read_bytes()
    with pytest.raises(TrainingError, match=f"Row 2 of my.jsonl is this request already, {whose}"):
        append_row(row_from(THREAD, "math", PAPER_EXPERTS), file)
    assert file.read_bytes() == before


def test_a_file_without_a_line_feed_at_its_end_is_not_spoilt(tmp_path: Path) -> None:
    file = tmp_path / "my.jsonl"
    file.write_text(json.dumps({"request": "hello there", "expert": "general"}))
    assert append_row(row_from(THREAD, "math", PAPER_EXPERTS), file) == 2
    assert len(examples([file])) == 2


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"my.jsonl cannot be written"):
        append_row(row_from(THREAD, "math", PAPER_EXPERTS), tmp_path / "nowhere" / "my.jsonl")
