"""A hundred malformed requests for each kind of endpoint: each is refused with a sentence, and the server goes on."""

import copy
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.integration

COUNT = 100
ASKED: list[Any] = [{"role": "user", "content": "The derivative of x^3?"}]
RUN: dict[str, Any] = {"assistant_id": "octopus", "input": {"messages": ASKED}}
CALL: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
# A body that is right, and the fields that may not be just anything.
KINDS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "/v1/chat/completions": ({"model": "octopus", "messages": ASKED}, ["model", "messages", "messages.0.role"]),
    "/v1/responses": ({"model": "octopus", "input": "x^3?"}, ["model", "input"]),
    "/route": ({"request": "x^3?", "top_k": 3}, ["request", "top_k"]),
    "/assistants": ({"graph_id": "octopus"}, ["graph_id"]),
    "/threads": ({"metadata": {}, "if_exists": "raise"}, ["metadata", "if_exists"]),
    "/runs/wait": (RUN, ["assistant_id"]),
    "/runs/stream": (RUN | {"stream_mode": ["values"]}, ["assistant_id", "stream_mode"]),
    "/store/items": ({"namespace": ["a"], "key": "k", "value": {}}, ["namespace", "key", "value"]),
    "/mcp": (CALL, []),
    "/a2a": (CALL | {"method": "message/send"}, []),
}
BROKEN = [
    b"",
    b"{",
    b"{}{}",
    b"nonsense",
    b"{'a': 1}",
    b'{"a": "\xe9"}',
    '{"a": 1}'.encode("utf-16"),
    b'{"a": "\\ud800"}',
    b'{"a": NaN}',
    b'{"a": 1e999}',
    b"[" + b"1" * 5000 + b"]",
    b"[1,]",
    b"[" * 100_000,
    b'{"a":' * 80 + b"1" + b"}" * 80,
    b"\x00",
]
NO_OBJECT: list[Any] = [1, "text", True, 1.5, [], [1], [[]]]
WRONG: list[Any] = [{"no": "thing"}, [[[]]], -1.5, {"": None}, [{"x": [1]}]]


def replaced(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(body)
    *way, last = path.split(".")
    place: Any = changed
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    place[last] = value
    return changed


def malformed(body: dict[str, Any], fields: list[str]) -> list[bytes]:
    """Returns a hundred bodies: no JSON, no object, wrong fields, and the right one cut off."""

    def wrong() -> Iterator[bytes]:
        yield from BROKEN
        yield from (json.dumps(value).encode() for value in NO_OBJECT)
        for path, value in itertools.product(fields, WRONG):
            if not (path in ("metadata", "value") and isinstance(value, dict)):  # which may hold any object
                yield json.dumps(replaced(body, path, value)).encode()
        whole = json.dumps(body).encode()
        for start, end in itertools.product(range(6), range(len(whole) - 1, 0, -1)):
            yield whole[start:end] if start < end else b"}"

    return list(itertools.islice(wrong(), COUNT))


@pytest.fixture(scope="module")
def durable(start: Callable[..., Any]) -> Any:
    return start("--redis", "embedded")


@pytest.mark.parametrize("path", KINDS)
def test_a_hundred_malformed_requests_are_refused_in_clear_words(durable: Any, path: str) -> None:
    bodies = malformed(*KINDS[path])
    assert len(bodies) == COUNT
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    method = "PUT" if path == "/store/items" else "POST"
    with httpx.Client(base_url=durable.url, headers=headers, timeout=60) as client:
        for body in bodies:
            response = client.request(method, path, content=body)
            about = (body[:200], response.status_code, response.text[:500])
            # JSON-RPC over HTTP answers 200 and says in the body what is wrong.
            refused = path == "/a2a" and "error" in response.json()
            assert refused or 400 <= response.status_code < 500, about
            assert len(sentence(response)) > 10, about
            assert "Traceback" not in response.text, about
        assert client.get("/health/ready").status_code == 200


def sentence(response: httpx.Response) -> str:
    said = response.json()
    return said["error"]["message"] if "error" in said else said["detail"]
