"""The task `calibration`: does confidence mean what it says, and what does a bound on wrong answers cost?

The bound is conformal risk control (Angelopoulos et al. 2022, arXiv 2208.02814): on rows no training saw, the smallest
threshold is taken whose share of rows that are both accepted and wrong, corrected for the sample's size, stays below
the bound. It then holds on average for requests of the same kind, not for each kind by itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Bound", "bound_risk"]


@dataclass(frozen=True)
class Bound:
    """A threshold and what it buys.

    Attributes:
        risk: The most requests, as a share of all, that may go wrong.
        min_confidence: The threshold: requests below it are not answered; 1.0 or above where nothing may be.
        coverage: The share of the rows that are answered.
        wrong: The share of all rows that are answered and wrong.
    """

    risk: float
    min_confidence: float
    coverage: float
    wrong: float


def bound_risk(confidence: Sequence[float], right: Sequence[bool], risk: float) -> Bound:
    """Finds the smallest threshold that keeps the risk.

    Args:
        confidence: Of each row: of one hop, or the smallest on a whole path.
        right: Whether it was right: the hop, or the whole path.
        risk: The share of all requests that may be answered wrong, between 0 and 1.

    Example:
        >>> bound_risk([0.9, 0.8, 0.4, 0.3] * 50, [True, True, True, False] * 50, 0.05).min_confidence
        0.4
    """
    total = len(confidence)
    # Thresholds from the strictest down: the first that breaks the bound ends the search, as risk only grows.
    rows = sorted(zip(confidence, right, strict=True), key=lambda row: -row[0])
    best, covered, best_wrong, wrong, place = math.inf, 0, 0, 0, 0
    while place < total:
        value = rows[place][0]
        while place < total and rows[place][0] == value:
            wrong += not rows[place][1]
            place += 1
        if (wrong + 1) / (total + 1) > risk:
            break
        best, covered, best_wrong = value, place, wrong
    return Bound(risk, best, covered / total if total else 0.0, best_wrong / total if total else 0.0)
