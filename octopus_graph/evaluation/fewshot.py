"""Multiple choice through the graph's experts, a few solved questions of the same subject in front (MMLU, 5-shot).

The router reads the question and its choices alone; the expert it names gets the solved ones too (Hendrycks et al.
2020, arXiv 2009.03300, section 4).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from octopus_graph.errors import ExpertError
from octopus_graph.evaluation.cases import Case
from octopus_graph.evaluation.metrics import Interval, share

__all__ = ["Ask", "FewShotFigures", "chosen_letter", "measure_few_shot", "prompt_of"]

SHOTS = 5
Ask = Callable[[str, str], str]
"""An expert's name and a prompt in, its words out."""

_ALONE = re.compile(r"\W*([A-J])(?:\W*$|[).:,*\]\n])")
_SAID = re.compile(r"(?:answer|option|choice)(?:\s+is)?\s*:?\s*\W?([A-J])\b", re.IGNORECASE)


@dataclass(frozen=True)
class FewShotFigures:
    """What the experts answered.

    Attributes:
        questions: How many there were.
        right: The share answered right.
        experts: The share of each expert that was asked, and how many it was asked.
        unread: The share of answers that name no choice; they count as wrong.
        failed: The share of questions whose expert could not be asked; they count as wrong.
    """

    questions: int
    right: Interval
    experts: dict[str, tuple[float, int]]
    unread: float
    failed: float


def measure_few_shot(
    decide: Callable[[Sequence[str]], Sequence[str | None]], ask: Ask, cases: Sequence[Case], shots: int = SHOTS
) -> FewShotFigures:
    """Routes every question, asks the expert, and reads the letter it names.

    Args:
        decide: Names the expert of each question.
        ask: Asks an expert.
        cases: Questions with their choices and the letter that is right. Those of a subject are the solved examples of
            each other; a question is never its own.
        shots: How many solved questions stand in front.
    """
    subjects: dict[str, list[Case]] = {}
    for case in cases:
        subjects.setdefault(case.subject, []).append(case)
    outcomes: dict[str, list[bool]] = {}
    unread = failed = 0
    for case, expert in zip(cases, decide([case.request for case in cases]), strict=True):
        solved = [other for other in subjects[case.subject] if other is not case][:shots]
        name = expert or ""
        try:
            letter = chosen_letter(ask(name, prompt_of(case, solved)))
        except ExpertError:
            failed += 1
            letter = None
        else:
            unread += letter is None
        outcomes.setdefault(name, []).append(letter == case.answer)
    return FewShotFigures(
        questions=len(cases),
        right=share([right for values in outcomes.values() for right in values]),
        experts={name: (sum(values) / len(values), len(values)) for name, values in sorted(outcomes.items())},
        unread=unread / len(cases),
        failed=failed / len(cases),
    )


def prompt_of(case: Case, solved: Sequence[Case]) -> str:
    """Writes a question after some solved ones."""
    about = f" about {case.subject.replace('_', ' ')}" if case.subject else ""
    parts = [f"The following are multiple choice questions{about}. Answer with the letter of the right choice alone."]
    parts += [f"{other.request}\nAnswer: {other.answer}" for other in solved]
    return "\n\n".join([*parts, f"{case.request}\nAnswer:"])


def chosen_letter(text: str) -> str | None:
    """Reads the choice an answer names: a letter it begins with, or "the answer is …"."""
    found = _SAID.search(text) or _ALONE.match(text)
    return found[1].upper() if found else None
