"""Who may ask, and how much."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st

from octopus_graph_server import guard
from octopus_graph_server.guard import check_json
from octopus_graph_server.keys import new_key
from octopus_graph_server.problems import BadRequestError

KEY, HASH = new_key()


@pytest.fixture
def echo(make_app: Callable[..., FastAPI]) -> Callable[..., FastAPI]:
    """Makes apps with an endpoint that says what reached it."""

    def make(**settings: Any) -> FastAPI:
        app = make_app(**settings)

        async def say(request: Request) -> dict[str, Any]:
            return {
                "type": request.headers.get("content-type"),
                "body": (await request.body()).decode("utf-8", "replace"),
            }

        async def wait() -> None:
            await asyncio.sleep(60)

        app.add_api_route("/say", say, methods=["GET", "POST"])
        app.add_api_route("/wait", wait)
        return app

    return make


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": f"Basic {KEY}"}, 401),
        ({"authorization": "Bearer"}, 401),
        ({"x-api-key": HASH}, 401),
        ({"authorization": f"Bearer {KEY}"}, 200),
        ({"authorization": f"bearer  {KEY}"}, 200),
        ({"x-api-key": KEY}, 200),
        ({"x-api-key": KEY, "host": "octopus.example", "origin": "https://elsewhere.example"}, 200),
    ],
)
async def test_a_server_with_keys_asks_for_one(
    echo: Callable[..., FastAPI], opened: Any, headers: dict[str, str], status: int
) -> None:
    async with opened(echo(key_hashes=(HASH,))) as client:
        response = await client.get("/say", headers=headers)
    assert response.status_code == status
    if status == 401:
        assert response.headers["www-authenticate"] == "Bearer"
        assert "x-api-key" in response.json()["detail"]


async def test_probes_need_no_key(echo: Callable[..., FastAPI], opened: Any) -> None:
    async with opened(echo(key_hashes=(HASH,))) as client:
        for path in ("/health/live", "/health/ready"):
            assert (await client.get(path)).status_code == 200
        for path in ("/metrics", "/openapi.json", "/docs", "/nowhere", "/health/live/"):
            assert (await client.get(path)).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "127.0.0.1:8000"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "LOCALHOST"}, 200),
        ({"host": "rebound.example"}, 403),
        ({"host": "localhost.rebound.example"}, 403),
        ({"origin": "http://localhost:3000"}, 200),
        ({"origin": "https://studio.example"}, 200),
        ({"origin": "https://elsewhere.example"}, 403),
        ({"origin": "http://localhost.elsewhere.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
async def test_pages_of_others_do_not_reach_a_server_without_a_key(
    echo: Callable[..., FastAPI], opened: Any, headers: dict[str, str], status: int
) -> None:
    async with opened(echo(origins=("https://studio.example",))) as client:
        response = await client.get("/say", headers=headers)
    assert response.status_code == status


async def test_a_page_that_may_ask_is_told_so(echo: Callable[..., FastAPI], opened: Any) -> None:
    async with opened(echo(origins=("https://studio.example",))) as client:
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}
        good = await client.options("/say", headers=asked | {"origin": "https://studio.example"})
        bad = await client.options("/say", headers=asked | {"origin": "https://elsewhere.example"})
    assert good.headers["access-control-allow-origin"] == "https://studio.example"
    assert "access-control-allow-origin" not in bad.headers


async def test_studio_sends_json_as_text(echo: Callable[..., FastAPI], opened: Any) -> None:
    async with opened(echo()) as client:
        response = await client.post("/say", content='{"a": 1}', headers={"content-type": "text/plain;charset=UTF-8"})
    assert response.json() == {"type": "application/json", "body": '{"a": 1}'}


async def test_a_body_may_be_as_large_as_the_limit_and_no_larger(echo: Callable[..., FastAPI], opened: Any) -> None:
    async def chunks(total: int) -> AsyncGenerator[bytes]:
        for _ in range(total):
            yield b"1"

    async with opened(echo(max_body=100)) as client:
        assert (await client.post("/say", content=b"1" * 100)).status_code == 200
        assert (await client.post("/say", content=b"1" * 101)).status_code == 413
        assert (await client.post("/say", content=chunks(100))).status_code == 200
        response = await client.post("/say", content=chunks(101))
    assert response.status_code == 413
    assert "100 bytes" in response.json()["detail"]


async def test_a_body_that_never_ends_is_given_up(
    echo: Callable[..., FastAPI], opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.05)

    async def slow() -> AsyncGenerator[bytes]:
        yield b"["
        await asyncio.sleep(60)

    async with opened(echo()) as client:
        assert (await client.post("/say", content=slow())).status_code == 504


async def test_an_answer_that_does_not_begin_is_given_up(
    echo: Callable[..., FastAPI], opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "AFTER_RUNS", 0.0)
    async with opened(echo(max_seconds=0.05)) as client:
        response = await client.get("/wait")
    assert response.status_code == 504
    assert response.json()["code"] == "timed_out"


BROKEN = {
    "half": b'{"messages": [',
    "two": b"{}{}",
    "single quotes": b"{'a': 1}",
    "latin-1": b'{"a": "\xe9"}',
    "utf-16": '{"a": 1}'.encode("utf-16"),
    "a lone surrogate": b'{"a": "\\ud800"}',
    "NaN": b'{"a": NaN}',
    "infinity": b'{"a": -Infinity}',
    "a number without end": b'{"a": 1e999}',
    "a small number without end": b"[-1.5E+1000]",
    "a number of 5000 digits": b"[" + b"1" * 5000 + b"]",
    "trailing comma": b"[1,]",
    "a deep list": b"[" * 65 + b"]" * 65,
    "a deep object": b'{"a":' * 65 + b"1" + b"}" * 65,
    "a list without a floor": b"[" * 100_000,
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
async def test_what_is_no_json_is_refused_before_it_is_read(
    echo: Callable[..., FastAPI], opened: Any, body: bytes
) -> None:
    async with opened(echo()) as client:
        response: httpx.Response = await client.post("/say", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.json()["code"] == "bad_request"


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 64 + b"]" * 64,
        b"[" + b"[]," * 1000 + b"[]]",
        json.dumps({"text": "[" * 1000 + '"\\' + "{" * 1000}).encode(),
        b'{"a": "\\ud83d\\ude00"}',
        b'{"a": 1e30, "b": "1e999"}',
    ],
)
def test_what_only_looks_deep_or_endless_is_taken(body: bytes) -> None:
    check_json(body, 64)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(JSON, st.booleans())
def test_depth_is_counted_as_a_parser_counts_it(value: Any, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    deep = depth(value)
    check_json(body, max(1, deep))
    if deep > 1:
        with pytest.raises(BadRequestError, match="deeper"):
            check_json(body, deep - 1)
