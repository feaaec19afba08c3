"""Recorded answers: who would have been asked, and were they right?"""

import json
from pathlib import Path

import pytest

from octopus_graph.errors import TrainingError
from octopus_graph.evaluation.answers import OUTCOMES, Outcome, measure_answers, read_outcomes, small

MODELS = ("counts-7b", "reads-8b", "huge-70b")


def outcome(expert: str, *right: str) -> Outcome:
    return Outcome(question=f"{expert}?", expert=expert, correct={name: name in right for name in MODELS})


LEARNED = [outcome("math", "counts-7b")] * 3 + [outcome("law", "reads-8b")] * 2


def test_a_router_does_better_than_any_one_model_and_no_better_than_the_oracle() -> None:
    unseen = [outcome("math", "counts-7b"), outcome("law", "reads-8b"), outcome("law", "huge-70b"), outcome("law")]
    figures = measure_answers(
        lambda questions: ["math", "law", None, "math"][: len(questions)], LEARNED, unseen, MODELS
    )
    assert figures.seats == {"math": "counts-7b", "law": "reads-8b"}
    assert figures.best_single_model == "counts-7b"
    shares = [figures.single.value, figures.router.value, figures.labels.value, figures.oracle.value]
    assert shares == [0.25, 0.5, 0.5, 0.75]


def test_a_field_nobody_has_seen_goes_to_the_best_single_model() -> None:
    unseen = [outcome("history", "counts-7b")]
    assert measure_answers(lambda _: ["history"], LEARNED, unseen, MODELS).router.value == 1


def test_small_models_are_told_by_their_names() -> None:
    assert small([*MODELS, "phi-3-mini-4k-instruct", "llama-2-13b"]) == [
        "counts-7b",
        "reads-8b",
        "phi-3-mini-4k-instruct",
    ]


def test_a_malformed_outcome_is_named_by_line(tmp_path: Path) -> None:
    assert read_outcomes(tmp_path) == []
    good = LEARNED[0].model_dump_json()
    (tmp_path / OUTCOMES).write_text(f"{good}\n" + json.dumps({"question": "a", "expert": "math"}) + "\n")
    with pytest.raises(TrainingError, match="line 2: correct: Field required"):
        read_outcomes(tmp_path)
