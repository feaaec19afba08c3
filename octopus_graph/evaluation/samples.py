"""Which cases are measured, and how many of them a task takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from octopus_graph.evaluation.cases import Case, by_source, evenly, own_sets, read_cases
from octopus_graph.training.heldout import temperature_half
from octopus_graph.training.mixture import Rows

__all__ = ["QUICK", "THOROUGH", "Limits", "files_cases", "fitted_on", "held_out_cases", "own_cases", "thinned"]


@dataclass(frozen=True)
class Limits:
    """How many cases a task takes at most, evenly.

    One AVX2 core at 2.5 GHz reads 260 tokens a second in batches and 180 one by one, and writes 15.

    Attributes:
        held_out: Of each source that training held out; `None` for all.
        walked: Paths of each source: 0.8 s each.
        rewrites: Of all sources together: 0.5 s each, and 1.3 s where something is rewritten.
        retyped: Of all sources together: each is decided five times more.
        outcomes: Questions with recorded outcomes: 65 tokens each.
        timed: Of all sources together.
    """

    held_out: int | None
    walked: int
    rewrites: int
    retyped: int
    outcomes: int | None
    timed: int


QUICK = Limits(held_out=250, walked=120, rewrites=150, retyped=120, outcomes=250, timed=50)
"""Keeps all tasks together within a quarter of an hour on two such cores."""
THOROUGH = Limits(held_out=None, walked=1000, rewrites=2000, retyped=1000, outcomes=None, timed=100)
"""Of one task by itself."""


def thinned(cases: Sequence[Case], most: int | None) -> tuple[list[Case], dict[str, tuple[int, int]]]:
    """Leaves at most so many cases of each source, evenly taken, and says where it left some out, and how many."""
    groups = {source: (group, evenly(group, most or len(group))) for source, group in by_source(cases).items()}
    return (
        [case for _, kept in groups.values() for case in kept],
        {source: (len(kept), len(group)) for source, (group, kept) in groups.items() if len(kept) < len(group)},
    )


def held_out_cases(unseen: Rows) -> list[Case]:
    """Returns as cases what training kept out of the rows it draws from."""
    cases = [
        Case(
            request=row.request,
            expert=row.expert,
            previous=row.previous,
            source="own follow-ups" if row.previous else "own",
            style=row.style,
            rewrite=row.rewrite or "",
            answer=row.answer,
        )
        for row in unseen.requests
    ]
    cases += [Case(request=row.question, expert=row.expert, source="mmlu") for row in unseen.questions]
    cases += [
        Case(request=f"{row.question}\n{row.choices}", expert=row.expert, source="mmlu with choices")
        for row in unseen.questions
        if row.choices
    ]
    cases += [Case(request=row.request, hops=row.hops, source="own paths", style=row.style) for row in unseen.paths]
    cases += [Case(request=row.request, source="unroutable", style=row.style) for row in unseen.unroutable]
    return cases


def fitted_on(unseen: Rows) -> frozenset[str]:
    """Returns the requests, kept out of training, on which the temperature of the project's router was fitted."""
    texts = {row.request for row in unseen.requests if temperature_half(row.request)}
    asked = [row for row in unseen.questions if temperature_half(row.question)]
    return frozenset(texts | {row.question for row in asked} | {f"{row.question}\n{row.choices}" for row in asked})


def own_cases(experts: Sequence[str]) -> list[Case]:
    """Returns the project's validation and test sets: written by other hands, and never trained on."""
    return [case for path in own_sets() for case in read_cases(path, experts)]


def files_cases(files: Sequence[Path], experts: Sequence[str], *, choices: bool) -> list[Case]:
    """Returns the cases of some files."""
    return [case for path in files for case in read_cases(path, experts, choices=choices)]
