"""Each value of a good request replaced by each of many bad ones: whatever comes is answered, and never with a 5xx."""

import copy
import json
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.integration

BAD: list[Any] = [
    None,
    True,
    -1,
    10**40,
    1.5,
    "",
    " ",
    "\u0000",
    "<nexa_8>",
    "nobody",
    [],
    [[]],
    [None],
    {},
    {"a": [1]},
    [[["x"]]],
]
CHAT: dict[str, Any] = {
    "model": "law",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "hello"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "done"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "tool_choice": "auto",
    "stop": ["x"],
    "response_format": {"type": "text"},
    "stream_options": {"include_usage": True},
    "octopus": {"max_hops": 1, "experts": ["law"]},
}
RESPONSE: dict[str, Any] = {
    "model": "law",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "hello"}]},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "done"},
    ],
    "instructions": "Be brief.",
    "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
    "tool_choice": {"type": "function", "name": "f"},
    "text": {"format": {"type": "text"}},
    "reasoning": {"effort": "low"},
    "store": False,
}
ROUTE: dict[str, Any] = {
    "request": "hello",
    "experts": ["law", "math"],
    "top_k": 2,
    "rewrite": "auto",
    "previous": {"request": "hi", "expert": "law"},
}
RPC: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "SendMessage",
    "params": {
        "message": {"messageId": "1", "role": "ROLE_USER", "parts": [{"text": "hello"}], "metadata": {"skill": "law"}}
    },
}
MCP: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "law", "arguments": {"query": "hello"}},
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the way to every value within a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield (*path, key)
        yield from places(part, (*path, key))


def spoiled(good: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in places(good):
        for bad in BAD:
            body = copy.deepcopy(good)
            spot: Any = body
            for key in path[:-1]:
                spot = spot[key]
            spot[path[-1]] = bad
            yield body


@pytest.mark.parametrize(
    ("path", "good", "step"),
    [
        ("/v1/chat/completions", CHAT, 3),
        ("/v1/responses", RESPONSE, 2),
        ("/route", ROUTE, 1),
        ("/a2a", RPC, 1),
        ("/a2a/v1/message:send", RPC["params"], 1),
        ("/mcp", MCP, 1),
    ],
)
def test_whatever_is_sent_is_answered(url: str, path: str, good: dict[str, Any], step: int) -> None:
    headers = {"accept": "application/json, text/event-stream", "a2a-version": "1.0"}
    sent = refused = 0
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        assert client.post(path, json=good).status_code == 200
        for body in list(spoiled(good))[::step]:
            answer = client.post(path, json=body)
            sent += 1
            assert answer.status_code < 500, (json.dumps(body)[:600], answer.text[:600])
            if answer.status_code >= 400 and path != "/mcp":
                refused += 1
                said = answer.json()
                assert said.get("error") or said.get("detail"), answer.text
            assert "Traceback" not in answer.text
    assert sent >= 100
    sys.stdout.write(f"{path}: {sent} sent, {refused} refused with 4xx\n")
