"""Temperature and calibration error on logits whose truth is known."""

import math
import random

import pytest

from octopus_graph.errors import TrainingError
from octopus_graph.training.calibration import expected_calibration_error, fit_temperature


def softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(value) for value in row)
    return [math.exp(value) / total for value in row]


@pytest.mark.parametrize("truth", [0.5, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found(truth: float) -> None:
    draw = random.Random(1)
    logits = [[draw.gauss(0, 3) for _ in range(5)] for _ in range(4000)]
    labels = [draw.choices(range(5), softmax([value / truth for value in row]))[0] for row in logits]
    assert fit_temperature(logits, labels) == pytest.approx(truth, rel=0.1)


def test_nothing_to_fit_on_is_an_error() -> None:
    with pytest.raises(TrainingError, match="kept out of training"):
        fit_temperature([], [])


def test_the_error_is_the_gap_between_confidence_and_accuracy() -> None:
    assert expected_calibration_error([0.75] * 4, [True, True, True, False]) == pytest.approx(0.0)
    assert expected_calibration_error([0.9] * 2, [False, False]) == pytest.approx(0.9)
    assert expected_calibration_error([], []) == 0.0
