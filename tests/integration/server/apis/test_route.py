"""POST /route: decisions, and what their calibration promises."""

from collections.abc import Generator
from typing import Any

import httpx
import pytest
from loopback import serving
from talking import Talking

from octopus_graph.risk import Calibration
from octopus_graph.testing import Pick
from octopus_graph_server import create_app

pytestmark = pytest.mark.integration


@pytest.fixture
def client(url: str) -> Generator[httpx.Client]:
    with httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture(scope="module")
def calibrated() -> Generator[httpx.Client]:
    """A server whose router was right whenever it was surer than 0.5."""
    talking = Talking()
    rows = [(0.9, True)] * 80 + [(0.4, False)] * 20
    talking.router.calibration = Calibration(
        hop=tuple(rows), truth=tuple(sure if right else 0.02 for sure, right in rows)
    )
    app = create_app(talking.graph, router=talking.router, experts=talking.experts)
    with serving(app) as url, httpx.Client(base_url=url) as client:
        yield client


def decisions(client: httpx.Client, **body: Any) -> list[dict[str, Any]]:
    answer = client.post("/route", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["decisions"]


def test_a_request_is_decided_and_nobody_is_asked(client: httpx.Client, talking: Talking) -> None:
    asked = len(talking.models["math"].heard)
    (one,) = decisions(client, request="the derivative of x")
    assert (one["expert"], one["token"], one["confidence"]) == ("math", "<nexa_4>", pytest.approx(0.99))
    assert {likely["expert"] for likely in one["probabilities"]} == {expert.name for expert in talking.experts}
    assert sum(likely["probability"] for likely in one["probabilities"]) == pytest.approx(1)
    assert (one["bound"], one["set"], one["rewrite"]) == (None, None, None)
    assert len(talking.models["math"].heard) == asked


def test_many_are_decided_in_their_order(client: httpx.Client) -> None:
    made = decisions(client, requests=["a contract", "the derivative", "a contract"], top_k=2)
    assert [one["expert"] for one in made] == ["law", "math", "law"]
    assert [len(one["probabilities"]) for one in made] == [2, 2, 2]


def test_only_experts_that_are_allowed_count(client: httpx.Client) -> None:
    (one,) = decisions(client, request="a contract", experts=["history", "health"])
    assert {likely["expert"] for likely in one["probabilities"]} == {"history", "health"}


def test_a_rewrite_is_made_when_it_is_wanted() -> None:
    talking = Talking(script={"x": Pick("math", rewrite="Find the derivative of x")})
    app = create_app(talking.graph, router=talking.router, experts=talking.experts)
    with serving(app) as url, httpx.Client(base_url=url) as client:
        (plain,) = decisions(client, request="the derivative of x pls")
        (rewritten,) = decisions(client, request="the derivative of x pls", rewrite="auto")
    assert plain["rewrite"] is None
    assert rewritten["rewrite"] == "Find the derivative of x"


def test_the_turn_before_is_read(client: httpx.Client, talking: Talking) -> None:
    engine: Any = talking.router.engine
    decisions(client, request="and a contract?", previous={"request": "the derivative", "expert": "math"})
    assert engine.scenes[-1].previous == "the derivative"


def test_a_decision_is_accepted_at_a_stated_error(calibrated: httpx.Client) -> None:
    (sure,) = decisions(calibrated, request="the derivative", max_error=0.05)
    (unsure,) = decisions(calibrated, request="a whisper", max_error=0.05)
    assert sure["bound"]["accepted"] is True
    assert 0.4 < sure["bound"]["min_confidence"] <= 0.9
    assert unsure["bound"]["accepted"] is False
    assert sure["set"]["experts"] == ["math"]
    assert unsure["set"]["experts"][0] == "law"
    assert unsure["set"]["probability"] >= 0.95
    assert len(unsure["set"]["experts"]) > 1


def test_where_no_confidence_is_enough_nothing_is_accepted(calibrated: httpx.Client) -> None:
    (one,) = decisions(calibrated, request="the derivative", max_error=0.001)
    assert one["bound"] == {"max_error": 0.001, "min_confidence": None, "accepted": False, "fallback": None}


def test_without_a_calibration_an_error_cannot_be_stated(client: httpx.Client) -> None:
    answer = client.post("/route", json={"request": "the derivative", "max_error": 0.05})
    assert answer.status_code == 422
    assert "calibration" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"request": "x", "requests": ["x"]}, 400),
        ({"request": "  "}, 400),
        ({"requests": []}, 422),
        ({"requests": ["x"] * 65}, 422),
        ({"request": "x", "experts": ["nobody"]}, 422),
        ({"request": "x", "experts": []}, 422),
        ({"request": "x", "max_error": 2}, 422),
        ({"request": "x", "top_k": 0}, 422),
        ({"request": "x", "more": 1}, 422),
        ({"request": "x" * 200_001}, 413),
        ({"requests": ["x"], "previous": {"request": "y", "expert": "math"}}, 400),
        ({"request": "x", "previous": {"request": "y", "expert": "nobody"}}, 422),
    ],
)
def test_what_makes_no_sense_is_said(client: httpx.Client, body: dict[str, Any], status: int) -> None:
    answer = client.post("/route", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]
