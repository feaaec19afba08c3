"""What a server process does when it is asked wrongly, broken into, broken, or told to end."""

import concurrent.futures
import contextlib
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from octopus_graph_server.keys import new_key

pytestmark = pytest.mark.integration

SECRET = "Zaphod Beeblebrox"
PATIENCE = 60.0


def chat(server: Any, text: str, **extra: Any) -> httpx.Response:
    body = {"model": "octopus", "messages": [{"role": "user", "content": text}]} | extra
    headers = {"x-api-key": getattr(server, "key", "none")}
    return httpx.post(f"{server.url}/v1/chat/completions", json=body, headers=headers, timeout=PATIENCE)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_a_request_leaves_one_line_without_what_was_said(server: Any) -> None:
    response = chat(server, f"the derivative of {SECRET}?")
    assert response.status_code == 200, response.text
    assert SECRET in response.text
    wanted = response.headers["x-request-id"]
    until(lambda: any(line["request_id"] == wanted for line in server.requests()))
    (line,) = [line for line in server.requests() if line["request_id"] == wanted]
    assert line["route"] == "/v1/chat/completions"
    assert line["status"] == 200
    assert line["expert"] == "math"
    assert line["run_id"] == response.headers["x-octopus-run-id"]
    assert SECRET not in server.raw


@pytest.mark.parametrize("stream", [False, True])
def test_an_expert_that_breaks_gives_away_nothing(server: Any, stream: bool) -> None:
    response = chat(server, f"broken {SECRET}", stream=stream)
    assert response.status_code == (200 if stream else 502)
    assert "chemistry" in response.text
    assert "a text that must not get out" not in response.text + server.raw
    assert "Traceback" not in response.text + server.raw
    assert SECRET not in server.raw


@pytest.fixture(scope="module")
def limited(start: Callable[..., Any]) -> Any:
    """A server with a key and tight limits."""
    key, hashed = new_key()
    limits = ("max_runs=2", "max_seconds=3", "max_prompt=100")
    server = start("--key-hash", hashed, *(part for limit in limits for part in ("--set", limit)))
    server.key, server.hashed = key, hashed
    return server


def test_a_server_with_keys_takes_the_right_one_in_either_header(limited: Any) -> None:
    models = f"{limited.url}/v1/models"
    assert httpx.get(models).status_code == 401
    assert httpx.get(models, headers={"x-api-key": limited.hashed}).json()["error"]["type"] == "authentication_error"
    assert httpx.get(models, headers={"authorization": f"Bearer {limited.key}"}).status_code == 200
    assert httpx.get(models, headers={"x-api-key": limited.key}).status_code == 200
    assert httpx.get(f"{limited.url}/health/ready").status_code == 200
    assert limited.key not in limited.raw
    assert limited.hashed not in limited.raw


def test_more_runs_than_allowed_are_told_to_come_back(limited: Any) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: chat(limited, f"slow {number}"), range(8)))
    counts = {status: sum(answer.status_code == status for answer in answers) for status in (200, 429)}
    assert counts[200] >= 2
    assert counts[429] >= 1
    assert counts[200] + counts[429] == 8
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert chat(limited, "the derivative").status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_run_that_takes_too_long_is_ended(limited: Any, stream: bool) -> None:
    response = chat(limited, "stuck", stream=stream)
    assert response.status_code == (200 if stream else 504)
    assert "3 s" in response.text


def test_prompts_have_a_length(limited: Any) -> None:
    assert chat(limited, "the derivative " + "x" * 100).status_code == 413


def test_a_server_told_to_end_finishes_what_runs(start: Callable[..., Any]) -> None:
    server = start()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        running = [pool.submit(chat, server, "slow and steady", stream=stream) for stream in (False, True)]
        until(lambda: "octopus_runs 2.0" in httpx.get(f"{server.url}/metrics").text)
        server.terminate()
        until(lambda: httpx.get(f"{server.url}/health/ready").status_code == 503)
        assert httpx.get(f"{server.url}/health/live").status_code == 200
        responses = [run.result(PATIENCE) for run in running]
    assert [response.status_code for response in responses] == [200, 200]
    assert responses[0].json()["choices"][0]["message"]["content"] == "[physics] slow and steady"
    assert responses[1].text.rstrip().endswith("data: [DONE]")
    assert server.ended() == 0


def test_a_run_that_outlasts_the_grace_period_does_not_keep_the_server(start: Callable[..., Any]) -> None:
    server = start("--set", "grace=0.1", "--set", "linger=0")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(chat, server, "stuck")
        until(lambda: "octopus_runs 1.0" in httpx.get(f"{server.url}/metrics").text)
        server.terminate()
        assert server.ended() == 0
        with contextlib.suppress(httpx.TransportError):  # the connection may be cut
            assert running.result(PATIENCE).status_code >= 500
    assert "Traceback" not in server.raw


def test_an_idle_server_on_the_embedded_store_ends_at_once(start: Callable[..., Any]) -> None:
    server = start("--redis", "embedded", "--set", "linger=0")
    ready = httpx.get(f"{server.url}/health/ready", timeout=PATIENCE)
    assert ready.json()["checks"]["store"] == "ok"
    server.terminate()
    assert server.ended() == 0
    assert [line["event"] for line in server.lines if line["event"] != "request"] == ["listening", "stopping"]
