"""One line for each request, and the last stop of every error."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse
from structlog.testing import capture_logs

from octopus_graph_server import logs

SECRET = "the prompt"


@pytest.fixture
def app(make_app: Callable[..., FastAPI]) -> FastAPI:
    app = make_app()

    async def fine(place: str) -> None:
        logs.note(run_id="run-1")
        logs.note(expert="math")

    async def broken() -> None:
        raise RuntimeError(SECRET)

    async def torn() -> StreamingResponse:
        async def stream() -> Any:
            yield b"begun"
            raise RuntimeError(SECRET)

        pieces: Any = stream()
        return StreamingResponse(pieces)

    app.add_api_route("/fine/{place}", fine)
    app.add_api_route("/broken", broken)
    app.add_api_route("/torn", torn)
    return app


async def test_a_request_is_one_line_without_what_was_asked(app: FastAPI, opened: Any) -> None:
    async with opened(app) as client:
        with capture_logs() as lines:
            response = await client.get(f"/fine/{SECRET}?q={SECRET}", headers={"x-request-id": "mine-1"})
    (line,) = lines
    assert line.pop("ms") > 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "route": "/fine/{place}",
        "status": 200,
        "request_id": "mine-1",
        "run_id": "run-1",
        "expert": "math",
    }
    assert response.headers["x-request-id"] == "mine-1"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "é"])
async def test_an_id_that_could_confuse_a_log_is_replaced(app: FastAPI, opened: Any, given: str) -> None:
    async with opened(app) as client:
        response = await client.get("/health/live", headers={"x-request-id": given.encode()})
    assert len(response.headers["x-request-id"]) == 36


async def test_an_error_nobody_foresaw_is_named_by_type_and_place(app: FastAPI, opened: Any) -> None:
    async with opened(app) as client:
        with capture_logs() as lines:
            response = await client.get("/broken")
    assert response.status_code == 500
    assert response.json()["request_id"] == lines[0]["request_id"]
    assert lines[0]["error"].startswith("RuntimeError at test_logs.py:")
    assert SECRET not in response.text + str(lines)
    assert "Traceback" not in response.text


async def test_a_stream_that_breaks_is_logged_too(app: FastAPI, opened: Any) -> None:
    async with opened(app) as client:
        with capture_logs() as lines, pytest.raises(AssertionError):  # the client's: the answer never ends
            await client.get("/torn")
    assert lines[0]["error"].startswith("RuntimeError at test_logs.py:")
    assert SECRET not in str(lines)


async def test_requests_are_counted_by_route(app: FastAPI, opened: Any) -> None:
    async with opened(app) as client:
        await client.get("/fine/1")
        await client.get("/fine/2")
        await client.request("MADE-UP", "/nowhere/at/all")
        text = (await client.get("/metrics")).text
    assert 'octopus_requests_total{method="GET",route="/fine/{place}",status="200"} 2.0' in text
    assert 'octopus_requests_total{method="other",route="-",status="404"} 1.0' in text
    assert 'octopus_request_seconds_count{route="/fine/{place}"} 2.0' in text
    assert 'octopus_decisions_total{expert="math"} 2.0' in text
    assert "nowhere" not in text
