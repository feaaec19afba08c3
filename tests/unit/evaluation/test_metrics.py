"""Figures: right on cases worked out by hand, and intervals that hold what they should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from octopus_graph.evaluation.metrics import Interval, auroc, rates, reliability, risk_coverage, share


def test_accuracy_and_macro_f1_by_hand() -> None:
    found = rates(["a", "a", "b", "b"], ["a", "b", "b", "b"], ["a", "b", "c"])
    assert found.accuracy.value == 0.75
    assert found.macro_f1.value == pytest.approx((2 / 3 + 4 / 5) / 2)  # c is in no truth
    assert found.confusion == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert found.accuracy.low < 0.75 < found.accuracy.high


def test_a_decision_for_nobody_is_wrong_and_no_column_of_its_own() -> None:
    found = rates(["a", "b"], ["a", ""], ["a", "b"])
    assert found.accuracy.value == 0.5
    assert found.macro_f1.value == 0.5
    assert found.confusion == [[1, 0], [0, 0]]


def test_an_interval_holds_the_true_share_about_19_times_in_20() -> None:
    draw = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        found = share((draw.random(400) < 0.8).tolist())
        held += found.low <= 0.8 <= found.high
    assert 180 <= held <= 199


def test_more_rows_make_a_narrower_interval() -> None:
    few, many = share([True, True, False] * 10), share([True, True, False] * 1000)
    assert many.high - many.low < (few.high - few.low) / 5


def test_auroc_is_one_where_strays_are_always_less_sure() -> None:
    assert auroc([0.9, 0.8], [0.7, 0.1]) == Interval(1.0, 1.0, 1.0)
    assert auroc([0.9, 0.1], [0.9, 0.1]).value == 0.5


_SURE = st.lists(st.sampled_from([0.1, 0.3, 0.5, 0.9]), min_size=1, max_size=30)


@given(_SURE, _SURE)
def test_auroc_is_what_scikit_learn_counts_and_lies_in_its_interval(fits: list[float], strays: list[float]) -> None:
    found = auroc(fits, strays)
    assert found.value == pytest.approx(roc_auc_score([1] * len(fits) + [0] * len(strays), [*fits, *strays]))
    assert 0 <= found.low <= found.high <= 1


def test_the_interval_of_auroc_is_as_wide_as_theory_says() -> None:
    """Hanley and McNeil 1982 for the sizes of the project's own sets: 1,000 that fit and 170 that do not."""
    draw = np.random.default_rng(5)
    found = auroc(draw.normal(1.8, 1, 1000).tolist(), draw.normal(0, 1, 170).tolist())
    area, fits, strays = found.value, 1000, 170
    first, second = area / (2 - area), 2 * area * area / (1 + area)
    spread = area * (1 - area) + (fits - 1) * (first - area * area) + (strays - 1) * (second - area * area)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * (spread / (fits * strays)) ** 0.5, rel=0.25)


def test_reliability_counts_every_row_once() -> None:
    bins = reliability([0.0, 0.05, 0.5, 0.5, 1.0], [False, False, True, False, True])
    assert sum(count for *_, count in bins) == 5
    assert (0.5, 0.5, 2) in bins


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9, 1.0]), st.booleans()), min_size=1, max_size=40))
def test_risk_coverage_ends_with_all_rows(rows: list[tuple[float, bool]]) -> None:
    points = risk_coverage([sure for sure, _ in rows], [right for _, right in rows])
    assert [coverage for _, coverage, _ in points] == sorted(coverage for _, coverage, _ in points)
    assert points[-1][1] == 1.0
    assert points[-1][2] == pytest.approx(sum(not right for _, right in rows) / len(rows))
