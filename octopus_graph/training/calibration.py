"""Calibration: how far confidence is from what comes true (Guo et al. 2017, arXiv 1706.04599)."""

from collections.abc import Sequence

__all__ = ["expected_calibration_error"]


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
