"""What is kept out of training: how it is split, and what counts how much."""

from dataclasses import replace

import pytest

from octopus_graph.testing import scripted_router
from octopus_graph.training.data import Multipart, PathHop, Question, Request
from octopus_graph.training.heldout import (
    FEWEST,
    calibrate_lexicon,
    hop_outcomes,
    measure_routes,
    scored_rows,
    temperature_half,
)
from octopus_graph.training.lexicon import learn_lexicon
from octopus_graph.training.mixture import Rows

ROWS = Rows(
    [Request(id=f"r{index}", request=f"request {index}", expert="math") for index in range(200)],
    [],
    [Question(question=f"question {index}", expert="math") for index in range(60)],
)
TAUGHT = Rows(  # that what ROWS ask is law, and not math
    [row.model_copy(update={"expert": "law"}) for row in ROWS.requests]
    + [Request(id=f"t{index}", request=f"triangle {index}", expert="math") for index in range(20)],
    [],
    [],
)


def test_each_row_is_scored_once_and_by_its_kind() -> None:
    router = scripted_router({"": "math"})
    scored = scored_rows(router, ROWS)
    seen = [scene.request for scene in router.engine.scenes]  # type: ignore[attr-defined]
    texts = [row.question for row in ROWS.questions] + [row.request for row in ROWS.requests]
    assert seen == texts == [row.text for row in scored]
    assert {row.kind for row in scored} == {"mmlu", "own_requests"}
    assert scored_rows(router, Rows([], [], [])) == []


def test_the_first_hop_of_several_is_a_kind_of_its_own() -> None:
    hops = (PathHop(expert="math", query="a", answer="b"), PathHop(expert="law", query="c", answer="d"))
    scored = scored_rows(scripted_router({"": "math"}), Rows([], [Multipart(id="p", request="a, c", hops=hops)], []))
    assert [(row.kind, row.expert) for row in scored] == [("first_hops", "math")]


def test_one_half_fits_temperature_and_lexicon() -> None:
    router = scripted_router({"": "math"})
    scored = scored_rows(router, ROWS)
    lexicon = learn_lexicon(TAUGHT, router.experts, seed=1)
    # A half that is wrong makes it doubt; what the other half says makes no difference.
    doubting = [replace(row, expert="law") if temperature_half(row.text) else row for row in scored]
    unaffected = [row if temperature_half(row.text) else replace(row, expert="law") for row in scored]
    fitted, doubted = calibrate_lexicon(router, scored, lexicon), calibrate_lexicon(router, doubting, lexicon)
    assert fitted
    assert doubted
    assert fitted[0] < doubted[0]
    again = calibrate_lexicon(router, unaffected, lexicon)
    assert again
    assert again[0] == fitted[0]
    assert again[1].trust == fitted[1].trust
    assert calibrate_lexicon(router, scored[: FEWEST - 1], lexicon) is None


def test_words_have_a_say_in_figures_as_in_decisions() -> None:
    router = scripted_router({"": "math"})
    router.lexicon = replace(learn_lexicon(TAUGHT, router.experts, seed=1), trust=(9.0, 0.0))
    scored = scored_rows(router, ROWS)
    assert measure_routes(router, scored)["own_requests"].accuracy == 0
    assert not any(right for _, right in hop_outcomes(router, scored))


def test_the_other_half_says_what_confidence_is_worth() -> None:
    router = scripted_router({"": "math"})
    scored = scored_rows(router, ROWS)
    outcomes = hop_outcomes(router, scored)
    assert len(outcomes) == sum(not temperature_half(row.text) for row in scored)
    assert all(right and 0.98 < sure <= 0.99 for sure, right in outcomes)  # cut, never rounded up


def test_figures_are_told_by_kind_and_of_the_half_no_temperature_saw() -> None:
    router = scripted_router({"": "math"})
    figures = measure_routes(router, scored_rows(router, ROWS))
    assert {name: score.rows for name, score in figures.items()} == {
        "mmlu": 60,
        "mmlu_calibration_half_unseen": sum(not temperature_half(row.question) for row in ROWS.questions),
        "own_requests": 200,
        "own_requests_calibration_half_unseen": sum(not temperature_half(row.request) for row in ROWS.requests),
    }
    assert figures["mmlu"].accuracy == 1
    assert figures["mmlu"].calibration_error == pytest.approx(0.01)
