"""The task `calibration`: what confidence means here, and what the thresholds that the router carries are worth here.

A threshold is read from the router's own `calibration.json`, as a graph reads it, and never fitted on the cases: what
it was bought for (`max_error`) is then compared with what it brings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from octopus_graph.evaluation.metrics import Interval, share
from octopus_graph.risk import Calibration
from octopus_graph.training.calibration import expected_calibration_error

__all__ = ["Outcomes", "Realised", "measure_calibration", "realised"]

Outcomes = Sequence[tuple[float, bool]]
"""Confidence of the first decision of each row, and whether the row was right: that hop, or its whole path."""


@dataclass(frozen=True)
class Realised:
    """What a threshold brings.

    Attributes:
        rows: How many rows it stands before.
        min_confidence: The threshold; `None` where the router's calibration says that nothing may be answered.
        coverage: The share of rows that are answered.
        wrong: The share of all rows that are answered and wrong; it should not be above `max_error`.
    """

    rows: int
    min_confidence: float | None
    coverage: float
    wrong: Interval


def realised(outcomes: Outcomes, threshold: float) -> Realised:
    """Counts what a threshold lets through."""
    answered = [right for sure, right in outcomes if sure >= threshold]
    missed = len(outcomes) - len(answered)
    return Realised(
        rows=len(outcomes),
        min_confidence=threshold if isfinite(threshold) else None,
        coverage=len(answered) / len(outcomes),
        wrong=share([*(not right for right in answered), *[False] * missed]),
    )


def measure_calibration(
    calibration: Calibration | None,
    hops: Mapping[str, Outcomes],
    paths: Mapping[str, Outcomes],
    halves: Mapping[str, Outcomes],
    *,
    max_error: float,
    bounds: Sequence[float] = (),
) -> dict[str, Any]:
    """Compares confidence with what came true.

    Args:
        calibration: The router's own.
        hops: Single requests by source.
        paths: Requests of several parts by source; wrong is what has any hop wrong.
        halves: All single requests in other parts: those that the router's temperature was fitted on, and those not.
        max_error: The bound that is broken down by source.
        bounds: Further bounds.
    """
    every = [row for rows in hops.values() for row in rows]
    figures: dict[str, Any] = {
        "calibration_error": _error(every),
        "calibration_sources": {source: _stated(rows) for source, rows in hops.items()},
    }
    if all(halves.values()):
        figures["halves"] = {name: _stated(rows) for name, rows in halves.items()}
    if calibration is None:
        figures["no_calibration"] = "this router carries no calibration.json, so no bound can be read from it"
        return figures
    figures["max_error"] = max_error
    for kind, groups, known in (("one_hop", hops, True), ("whole_path", paths, bool(calibration.path))):
        if not any(groups.values()):
            continue
        if not known:
            figures[f"{kind}_unknown"] = "the router's calibration.json holds no whole paths: train its edges"
            continue

        def worth(rows: Outcomes, risk: float, whole: bool = kind == "whole_path") -> dict[str, Any]:
            return asdict(realised(rows, calibration.bound(risk, whole_path=whole).min_confidence))

        pooled = [row for rows in groups.values() for row in rows]
        figures[kind] = {f"{risk:.1%}": worth(pooled, risk) for risk in sorted({*bounds, max_error})}
        figures[f"{kind}_sources"] = {source: worth(rows, max_error) for source, rows in groups.items()}
    return figures


def _stated(rows: Outcomes) -> dict[str, Any]:
    return {
        "rows": len(rows),
        "mean_confidence": sum(sure for sure, _ in rows) / len(rows),
        "right": sum(right for _, right in rows) / len(rows),
        "calibration_error": _error(rows),
    }


def _error(rows: Outcomes) -> float:
    return expected_calibration_error([sure for sure, _ in rows], [right for _, right in rows])
