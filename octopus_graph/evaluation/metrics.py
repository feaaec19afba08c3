"""Figures of decisions: how many are right, how sure one may be of that, and whether confidence means what it says."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Interval", "Rates", "Slice", "auroc", "part", "rates", "reliability", "risk_coverage", "share"]

RESAMPLES = 1000
SEED = 17


@dataclass(frozen=True)
class Interval:
    """A figure and its 95% bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Writes it as per cent."""
        return f"{self.value:.1%} [{self.low:.1%}, {self.high:.1%}]"


@dataclass(frozen=True)
class Slice:
    """The share of some rows that is right, and how many they are."""

    rows: int
    share: Interval


@dataclass(frozen=True)
class Rates:
    """What decisions among classes are worth.

    Attributes:
        rows: How many there are.
        accuracy: The share that is right.
        macro_f1: The mean F1 of the classes that occur in the truth.
        confusion: `confusion[t][c]` counts truth `t` decided as `c`, in the order of the labels; what was decided as
            none of them is wrong and counted in no column.
    """

    rows: int
    accuracy: Interval
    macro_f1: Interval
    confusion: list[list[int]]


def rates(truth: Sequence[str], chosen: Sequence[str], labels: Sequence[str]) -> Rates:
    """Scores decisions.

    The bootstrap draws whole rows with replacement (Efron 1979); as accuracy and F1 depend on the confusion matrix
    alone, a draw of rows is one multinomial draw of its cells.

    Args:
        truth: The right labels.
        chosen: The decided ones, in the same order; any other text where none was decided on.
        labels: Every label.
    """
    place = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels) + 1), dtype=np.int64)  # the last column: none of them
    for right, given in zip(truth, chosen, strict=True):
        counts[place[right], place.get(given, len(labels))] += 1
    total = int(counts.sum())
    drawn = np.random.default_rng(SEED).multinomial(total, counts.ravel() / total, size=RESAMPLES)
    drawn = drawn.reshape(RESAMPLES, *counts.shape)
    return Rates(
        total,
        _interval(float(_accuracy(counts[None])[0]), _accuracy(drawn)),
        _interval(float(_macro_f1(counts[None])[0]), _macro_f1(drawn)),
        counts[:, :-1].tolist(),
    )


def share(right: Sequence[bool]) -> Interval:
    """Returns the share of true values with its interval."""
    total, hits = len(right), sum(right)
    drawn = np.random.default_rng(SEED).binomial(total, hits / total, size=RESAMPLES) / total
    return _interval(hits / total, drawn)


def part(right: Sequence[bool]) -> Slice:
    """Returns the share of true values with its interval, and how many values there are."""
    return Slice(len(right), share(right))


def auroc(fits: Sequence[float], strays: Sequence[float]) -> Interval:
    """Returns how likely a request that some expert fits gets a higher confidence than one that none does.

    The bootstrap draws rows of either kind with replacement; how often each confidence is drawn is all that counts.
    """
    values, places = np.unique(np.asarray([*fits, *strays]), return_inverse=True)
    counted = [np.bincount(part, minlength=len(values)) for part in np.split(places, [len(fits)])]
    random = np.random.default_rng(SEED)
    drawn = [random.multinomial(count.sum(), count / count.sum(), size=RESAMPLES) for count in counted]
    return _interval(float(_above(counted[0][None], counted[1][None])[0]), _above(drawn[0], drawn[1]))


def _above(fits: NDArray[np.int64], strays: NDArray[np.int64]) -> NDArray[np.float64]:
    """Counts pairs in which the fitting one is surer, ties by half; columns are confidences from the lowest up."""
    below = np.cumsum(strays, axis=1) - strays / 2
    return (fits * below).sum(axis=1) / (fits.sum(axis=1) * strays.sum(axis=1))


def reliability(confidence: Sequence[float], right: Sequence[bool], bins: int = 15) -> list[tuple[float, float, int]]:
    """Returns mean confidence, accuracy and count of each equal-width bin that has rows."""
    values, hits = np.asarray(confidence), np.asarray(right, dtype=float)
    which = np.clip(np.ceil(values * bins).astype(int) - 1, 0, bins - 1)
    return [
        (float(values[which == index].mean()), float(hits[which == index].mean()), int((which == index).sum()))
        for index in range(bins)
        if (which == index).any()
    ]


def risk_coverage(confidence: Sequence[float], right: Sequence[bool]) -> list[tuple[float, float, float]]:
    """Returns (threshold, coverage, share wrong among the covered), from the surest rows to all of them."""
    order = np.argsort(-np.asarray(confidence), kind="stable")
    values = np.asarray(confidence)[order]
    wrong = np.cumsum(~np.asarray(right, dtype=bool)[order])
    covered = np.arange(1, len(values) + 1)
    last = np.append(values[1:] != values[:-1], True)  # rows of one confidence are covered together
    return [
        (float(value), float(count / len(values)), float(bad / count))
        for value, count, bad in zip(values[last], covered[last], wrong[last], strict=True)
    ]


def _interval(value: float, drawn: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def _accuracy(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.trace(counts, axis1=1, axis2=2) / counts.sum(axis=(1, 2))


def _macro_f1(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    hits = np.diagonal(counts, axis1=1, axis2=2)
    truth, given = counts.sum(axis=2), counts.sum(axis=1)[:, :-1]
    f1 = np.where(truth > 0, 2 * hits / np.maximum(truth + given, 1), np.nan)
    return np.nanmean(f1, axis=1)
