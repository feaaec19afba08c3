"""Calibration error on rows whose truth is known."""

import pytest

from octopus_graph.training.calibration import expected_calibration_error


def test_the_error_is_the_gap_between_confidence_and_accuracy() -> None:
    assert expected_calibration_error([0.75] * 4, [True, True, True, False]) == pytest.approx(0.0)
    assert expected_calibration_error([0.9] * 2, [False, False]) == pytest.approx(0.9)
    assert expected_calibration_error([], []) == 0.0
