"""What is kept out of training: how it is split, and what counts how much."""

from octopus_graph.testing import scripted_router
from octopus_graph.training.data import Question, Request
from octopus_graph.training.heldout import calibrate, hop_outcomes, temperature_half
from octopus_graph.training.mixture import Rows

ROWS = Rows(
    [Request(id=f"r{index}", request=f"request {index}", expert="math") for index in range(200)],
    [],
    [Question(question=f"question {index}", expert="math") for index in range(60)],
)


def test_one_half_fits_the_temperature() -> None:
    router = scripted_router({"": "math"})
    assert calibrate(router, ROWS) is not None
    seen = [scene.request for scene in router.engine.scenes]  # type: ignore[attr-defined]
    texts = [row.request for row in ROWS.requests] + [row.question for row in ROWS.questions]
    assert sorted(seen) == sorted(text for text in texts if temperature_half(text))


def test_the_other_half_says_what_confidence_is_worth() -> None:
    router = scripted_router({"": "math"})
    outcomes = hop_outcomes(router, ROWS)
    seen = [scene.request for scene in router.engine.scenes]  # type: ignore[attr-defined]
    assert len(outcomes) == len(seen)
    assert all(right and 0.98 < sure <= 0.99 for sure, right in outcomes)  # cut, never rounded up
    assert not any(temperature_half(text) for text in seen)
