"""Calibration: one temperature makes confidence mean what it says (Guo et al. 2017, arXiv 1706.04599)."""

import math
from collections.abc import Sequence

from octopus_graph.errors import TrainingError

__all__ = ["expected_calibration_error", "fit_temperature"]


def fit_temperature(logits: Sequence[Sequence[float]], labels: Sequence[int]) -> float:
    """Finds the temperature of least negative log-likelihood, by golden-section search on its logarithm.

    Args:
        logits: One row of candidate logits for each request.
        labels: The place of the right candidate in each row.

    Raises:
        TrainingError: If there are no rows.
    """
    if not logits:
        raise TrainingError("Calibration needs requests that were kept out of training: there are none.")
    low, high = math.log(0.2), math.log(5.0)
    ratio = (math.sqrt(5) - 1) / 2
    while high - low > 1e-3:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if _loss(logits, labels, math.exp(left)) < _loss(logits, labels, math.exp(right)):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def _loss(logits: Sequence[Sequence[float]], labels: Sequence[int], temperature: float) -> float:
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        highest = max(row)
        total += math.log(sum(math.exp((logit - highest) / temperature) for logit in row))
        total -= (row[label] - highest) / temperature
    return total


def expected_calibration_error(confidences: Sequence[float], right: Sequence[bool], bins: int = 15) -> float:
    """Returns the mean gap between confidence and accuracy over equal-width bins, weighted by their sizes."""
    gap = 0.0
    for index in range(bins):
        inside = [
            place for place, confidence in enumerate(confidences) if index / bins < confidence <= (index + 1) / bins
        ]
        if inside:
            accuracy = sum(right[place] for place in inside) / len(inside)
            gap += abs(accuracy - sum(confidences[place] for place in inside) / len(inside)) * len(inside)
    return gap / max(1, len(confidences))
