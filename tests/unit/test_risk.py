"""A bound on wrong answers is kept, on the rows it was found on and on new ones of the same kind."""

import math
import random

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from octopus_graph.errors import ConfigurationError
from octopus_graph.risk import Calibration, bound_risk, least_share


@example([(0.0, index >= 13) for index in range(23)], 0.75)  # 13/23*23 is not 13 in floating point
@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60),
    st.floats(0.001, 0.9),
)
def test_the_rows_themselves_keep_the_bound(rows: list[tuple[float, bool]], risk: float) -> None:
    bound = bound_risk([sure for sure, _ in rows], [right for _, right in rows], risk)
    wrong = sum(sure >= bound.min_confidence and not right for sure, right in rows)
    assert wrong <= risk * len(rows)
    assert bound.wrong * len(rows) == pytest.approx(wrong)
    assert bound.coverage * len(rows) == pytest.approx(sum(sure >= bound.min_confidence for sure, _ in rows))


def test_new_rows_of_the_same_kind_keep_it_on_average() -> None:
    draw = np.random.default_rng(3)

    def rows(count: int) -> tuple[list[float], list[bool]]:
        sure = draw.random(count)
        return sure.tolist(), (draw.random(count) < sure).tolist()

    shares: list[float] = []
    for _ in range(100):
        bound = bound_risk(*rows(300), 0.05)
        sure, right = rows(2000)
        shares.append(sum(s >= bound.min_confidence and not r for s, r in zip(sure, right, strict=True)) / len(sure))
    assert 0.03 < np.mean(shares) <= 0.05


def test_too_few_rows_for_the_bound_answer_nothing() -> None:
    bound = bound_risk([0.9] * 5, [True] * 5, 0.05)
    assert math.isinf(bound.min_confidence)
    assert bound.coverage == 0


def test_a_calibration_bounds_a_hop_and_a_whole_path() -> None:
    sure = [index / 1000 for index in range(1, 1001)]
    # Of first hops the least sure tenth is wrong, of whole paths the least sure fifth.
    hops, paths = ([(value, value > wrong) for value in sure] for wrong in (0.1, 0.2))
    calibration = Calibration(hop=tuple(hops), path=tuple(paths))
    assert calibration.bound(0.05).min_confidence == 0.052
    assert calibration.bound(0.05, whole_path=True).min_confidence == 0.152
    assert Calibration.model_validate_json(calibration.model_dump_json()) == calibration


def test_a_calibration_without_whole_paths_promises_nothing_of_them() -> None:
    with pytest.raises(ConfigurationError, match="no whole paths"):
        Calibration(hop=((0.9, True),)).bound(0.05, whole_path=True)


def test_a_bound_no_threshold_can_keep_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    few = Calibration(hop=((0.9, True),) * 9)
    for _ in range(2):
        assert math.isinf(few.bound(0.0123).min_confidence)
    (said,) = [record.message for record in caplog.records]
    assert said.startswith("No confidence keeps wrong answers under 1.23% by the 9 requests")
    assert "which could show 10.00% at best" in said


def test_a_set_misses_the_right_expert_no_more_often_than_was_stated() -> None:
    draw = random.Random(3)
    missed = 0
    for _ in range(400):
        rows = [draw.betavariate(2, 1) for _ in range(100)]
        missed += rows[-1] < least_share(rows[:-1], 0.1)
    assert 0.05 < missed / 400 < 0.13  # 0.1 of requests to come, on average over calibrations


@given(st.lists(st.floats(0, 1), max_size=60), st.floats(0.01, 0.99))
def test_of_the_rows_themselves_at_most_that_share_is_below(truth: list[float], error: float) -> None:
    least = least_share(truth, error)
    assert sum(share < least for share in truth) <= error * (len(truth) + 1)


def test_too_few_rows_leave_every_expert_in_the_set() -> None:
    assert least_share([0.9] * 9, 0.05) == 0


def test_a_calibration_of_before_there_were_sets_says_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="train calibration"):
        Calibration(hop=((0.9, True),)).least_share(0.05)
