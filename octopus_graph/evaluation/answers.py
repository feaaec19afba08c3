"""The task `answers`: is the right model asked? Scored on recorded outcomes, so no expert has to run.

On questions that training draws from, each expert's seat is given to the model that answered most of its questions
right. On those kept out the router names the expert, and the question counts as answered if that model was right.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field

from octopus_graph.evaluation.metrics import Interval, share
from octopus_graph.training.data import read_json_lines

__all__ = ["OUTCOMES", "AnswerFigures", "Outcome", "measure_answers", "read_outcomes", "small"]

OUTCOMES = "mmlu_pro_outcomes_dev.jsonl"
_BILLIONS = re.compile(r"(\d+)b\b")
SMALL = 9


class Outcome(BaseModel):
    """A question, its field, and which models answered it right."""

    question: str = Field(min_length=1)
    expert: str
    correct: dict[str, bool] = Field(min_length=1)


@dataclass(frozen=True)
class AnswerFigures:
    """Shares of questions answered right.

    Attributes:
        questions: How many were kept out.
        best_single_model: The model that was best on the others.
        single: It alone.
        router: The model in the seat of the expert the router names.
        labels: The model in the seat of the expert the row names: a router without a fault.
        oracle: Any model at all.
        seats: The model of each expert.
    """

    questions: int
    best_single_model: str
    single: Interval
    router: Interval
    labels: Interval
    oracle: Interval
    seats: dict[str, str]


def read_outcomes(folder: Path) -> list[Outcome]:
    """Reads the recorded outcomes of a data folder; none where it has no such file.

    Raises:
        TrainingError: If a line is malformed; the message names it.
    """
    path = folder / OUTCOMES
    return list(read_json_lines(path, Outcome)) if path.exists() else []


def small(models: Iterable[str]) -> list[str]:
    """Returns the models of at most nine billion parameters, by their names; among equals a router has more to win."""
    return [name for name in models if "mini" in name or any(int(size) <= SMALL for size in _BILLIONS.findall(name))]


def measure_answers(
    decide: Callable[[Sequence[str]], Sequence[str | None]],
    learned: Sequence[Outcome],
    unseen: Sequence[Outcome],
    models: Sequence[str],
) -> AnswerFigures:
    """Seats models, routes, and counts.

    Args:
        decide: Names the expert of each question.
        learned: Outcomes that seat the models.
        unseen: Outcomes that are counted.
        models: Those that may be seated.
    """
    total: Counter[str] = Counter(dict.fromkeys(models, 0))
    fields: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in learned:
        right = [name for name in models if row.correct.get(name)]
        total.update(right)
        fields[row.expert].update(right)
    best = total.most_common(1)[0][0]
    seats = {expert: count.most_common(1)[0][0] for expert, count in sorted(fields.items()) if count}

    def answered(experts: Sequence[str | None]) -> Interval:
        asked = [seats.get(expert or "", best) for expert in experts]
        return share([row.correct.get(name, False) for row, name in zip(unseen, asked, strict=True)])

    return AnswerFigures(
        questions=len(unseen),
        best_single_model=best,
        single=share([row.correct.get(best, False) for row in unseen]),
        router=answered(decide([row.question for row in unseen])),
        labels=answered([row.expert for row in unseen]),
        oracle=share([any(row.correct.get(name) for name in models) for row in unseen]),
        seats=seats,
    )
