"""The task `routing`: one request, one expert, for every source and every contender."""

from collections.abc import Sequence
from dataclasses import dataclass

from octopus_graph.evaluation.cases import Case, by_source
from octopus_graph.evaluation.contenders import Contender, Guess, Router
from octopus_graph.evaluation.metrics import Interval, Rates, Slice, auroc, part, rates, reliability, risk_coverage
from octopus_graph.training.calibration import expected_calibration_error

__all__ = ["Standing", "measure_routing"]

# Domains whose borders are drawn differently by everyone who labels: a problem of one is at home in the other too.
_NEARBY = (
    {"economics", "business"},
    {"biology", "health"},
    {"culture", "psychology", "geography"},
    {"politics", "history", "law"},
    {"physics", "electrical_engineering"},
    {"math", "computer_science"},
)


@dataclass(frozen=True)
class Standing:
    """What one contender scores.

    Attributes:
        sources: The figures of each source. Requests that need the turn before are one of their own, and the router's
            alone: nothing else reads that turn.
        nearby: Of each source the share that is right, or goes to a domain that borders on the right one.
        styles: The accuracy of each style that rows name.
        calibration_error: Of all rows that stand alone.
        reliability: Mean confidence, accuracy and count of each bin.
        risk_coverage: Threshold, coverage and share wrong among the covered.
        stray_auroc: How well confidence tells requests that an expert fits from those that none does; `None` without
            such rows.
        stray_sources: The same for each source of such rows.
    """

    sources: dict[str, Rates]
    nearby: dict[str, Slice]
    styles: dict[str, Slice]
    calibration_error: float
    reliability: list[tuple[float, float, int]]
    risk_coverage: list[tuple[float, float, float]]
    stray_auroc: Interval | None
    stray_sources: dict[str, Interval]


def measure_routing(contender: Contender, cases: Sequence[Case], experts: Sequence[str]) -> Standing:
    """Scores a contender on cases of one expert, and on those of none where there are any.

    Args:
        contender: Who decides.
        cases: Rows with an expert, at least one of which stands alone, and rows without one: those that no expert fits.
        experts: Every expert.
    """
    single = [case for case in cases if case.expert and not case.hops and not case.previous]
    strays = [case for case in cases if not case.path]
    asked = [*single, *strays]
    guesses = dict(zip(map(id, asked), contender.guess([case.request for case in asked]), strict=True))
    groups = by_source(single)
    if isinstance(contender, Router):
        later = [case for case in cases if case.expert and not case.hops and case.previous]
        guesses |= {id(case): contender.guess_after(case) for case in later}
        named = {source: f"{source}, follow-ups" if source in groups else source for source in by_source(later)}
        groups |= {named[source]: group for source, group in by_source(later).items()}

    def figures(group: Sequence[Case]) -> Rates:
        return rates([case.expert or "" for case in group], [guesses[id(case)].expert for case in group], experts)

    def sure(group: Sequence[Case]) -> list[float]:
        return [guesses[id(case)].confidence for case in group]

    styles: dict[str, list[bool]] = {}
    for case in single:
        if case.style:
            styles.setdefault(case.style, []).append(_right(case, guesses[id(case)]))
    hits = [_right(case, guesses[id(case)]) for case in single]
    return Standing(
        sources={source: figures(group) for source, group in groups.items()},
        nearby={
            source: part([_nearby(case, guesses[id(case)]) for case in group])
            for source, group in groups.items()
            if any(case.expert in domains for case in group for domains in _NEARBY)
        },
        styles={style: part(values) for style, values in sorted(styles.items())},
        calibration_error=expected_calibration_error(sure(single), hits),
        reliability=reliability(sure(single), hits),
        risk_coverage=risk_coverage(sure(single), hits),
        stray_auroc=auroc(sure(single), sure(strays)) if strays else None,
        stray_sources={source: auroc(sure(single), sure(group)) for source, group in by_source(strays).items()},
    )


def _right(case: Case, guess: Guess) -> bool:
    return guess.expert == case.expert


def _nearby(case: Case, guess: Guess) -> bool:
    return _right(case, guess) or any({case.expert, guess.expert} <= domains for domains in _NEARBY)
