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


def test_questions_and_requests_count_alike_where_confidence_is_fitted() -> None:
    router = scripted_router({"": "math"})
    assert calibrate(router, ROWS) is not None
    seen = [scene.request for scene in router.engine.scenes]  # type: ignore[attr-defined]
    asked = [text for text in seen if text.startswith("question")]
    assert len(seen) == 2 * len(asked)
    assert all(temperature_half(text) for text in seen)
    assert len(set(seen)) == len(seen)


def test_the_other_half_says_what_confidence_is_worth() -> None:
    router = scripted_router({"": "math"})
    outcomes = hop_outcomes(router, ROWS)
    seen = [scene.request for scene in router.engine.scenes]  # type: ignore[attr-defined]
    assert len(outcomes) == len(seen)
    assert all(right and 0.98 < sure <= 0.99 for sure, right in outcomes)  # cut, never rounded up
    assert not any(temperature_half(text) for text in seen)


def test_where_there_are_no_questions_requests_stand_alone() -> None:
    router = scripted_router({"": "math"})
    calibrate(router, Rows(ROWS.requests, [], []))
    halves = [row for row in ROWS.requests if temperature_half(row.request)]
    assert len(router.engine.scenes) == len(halves)  # type: ignore[attr-defined]
