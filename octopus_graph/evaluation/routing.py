"""The task `routing`: one request, one expert, for every source and every contender."""

from collections.abc import Sequence
from dataclasses import dataclass

from octopus_graph.evaluation.cases import Case, by_source
from octopus_graph.evaluation.contenders import Contender, Guess
from octopus_graph.evaluation.metrics import Rates, auroc, rates, reliability, risk_coverage
from octopus_graph.training.calibration import expected_calibration_error

__all__ = ["Standing", "measure_routing"]


@dataclass(frozen=True)
class Standing:
    """What one contender scores.

    Attributes:
        sources: The figures of each source.
        styles: The accuracy of each style that rows name.
        calibration_error: Of all rows together.
        reliability: Mean confidence, accuracy and count of each bin.
        risk_coverage: Threshold, coverage and share wrong among the covered.
        stray_auroc: How well confidence tells requests that an expert fits from those that none does; `None` without
            such rows.
    """

    sources: dict[str, Rates]
    styles: dict[str, float]
    calibration_error: float
    reliability: list[tuple[float, float, int]]
    risk_coverage: list[tuple[float, float, float]]
    stray_auroc: float | None


def measure_routing(contender: Contender, cases: Sequence[Case], experts: Sequence[str]) -> Standing:
    """Scores a contender on cases of one expert, and on those of none where there are any.

    Args:
        contender: Who decides.
        cases: Rows with an expert, and rows without one: those that no expert fits.
        experts: Every expert.
    """
    single = [case for case in cases if case.expert and not case.hops and not case.previous]
    strays = [case for case in cases if not case.path]
    guesses = dict(zip(map(id, single), contender.guess([case.request for case in single]), strict=True))

    def right(case: Case) -> bool:
        return guesses[id(case)].expert == case.expert

    def figures(part: Sequence[Case]) -> Rates:
        return rates([case.expert or "" for case in part], [guesses[id(case)].expert for case in part], experts)

    styles: dict[str, list[bool]] = {}
    for case in single:
        if case.style:
            styles.setdefault(case.style, []).append(right(case))
    sure = [guesses[id(case)].confidence for case in single]
    hits = [right(case) for case in single]
    unsure: list[Guess] = contender.guess([case.request for case in strays]) if strays else []
    return Standing(
        sources={source: figures(part) for source, part in by_source(single).items()},
        styles={style: sum(values) / len(values) for style, values in sorted(styles.items())},
        calibration_error=expected_calibration_error(sure, hits),
        reliability=reliability(sure, hits),
        risk_coverage=risk_coverage(sure, hits),
        stray_auroc=auroc(sure, [guess.confidence for guess in unsure]) if unsure else None,
    )
