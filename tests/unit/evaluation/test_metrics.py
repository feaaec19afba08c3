"""Figures: right on cases worked out by hand, and intervals that hold what they should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octopus_graph.evaluation.metrics import auroc, rates, reliability, risk_coverage, share


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
    assert auroc([0.9, 0.8], [0.7, 0.1]) == 1.0
    assert auroc([0.9, 0.1], [0.9, 0.1]) == 0.5


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
