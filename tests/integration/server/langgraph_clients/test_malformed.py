"""What is not as it should be: every endpoint answers with a 4xx that says why, whatever it is sent."""

import json
import random
from typing import Any
from uuid import uuid4

import httpx
import pytest

pytestmark = pytest.mark.integration

SEED = 20261125
TRIES = 12  # for each of the endpoints below, of which there are more than thirty
VALUES: list[Any] = [
    None, 0, -1, 10**30, 1e308, "", "x" * 3000, "\ud800", "\x00", [], {}, [[]], {"a": None}, True, "2147483648",
    {"\x00": "\x00"}, {"role": "user"}, [{"role": "user", "content": "hi"}], {"configurable": {"__pregel_send": 1}},
    "../..", "nobody", ["values"], ["a", 1], {"messages": "hi"}, {"messages": [{"role": "nobody", "content": 5}]},
]  # fmt: skip
PLACES = ["x", "%00", "%F0%9F%90%99", "..%2f", "octopus", "-1", "%ff", "a" * 300, str(uuid4())]
QUERIES = ["-1", "x", "1", "true", "", "9" * 30, '["values"', "\x00"]

Endpoint = tuple[str, str, tuple[str, ...], tuple[str, ...]]
ENDPOINTS: list[Endpoint] = [
    ("POST", "/assistants", ("graph_id", "assistant_id", "config", "context", "metadata", "if_exists"), ()),
    ("POST", "/assistants/search", ("metadata", "graph_id", "limit", "offset", "sort_by", "select"), ()),
    ("POST", "/assistants/count", ("metadata", "name"), ()),
    ("GET", "/assistants/{id}", (), ()),
    ("PATCH", "/assistants/{id}", ("graph_id", "config", "metadata"), ()),
    ("DELETE", "/assistants/{id}", (), ("delete_threads",)),
    ("GET", "/assistants/{id}/graph", (), ("xray",)),
    ("GET", "/assistants/{id}/subgraphs/{id}", (), ("recurse",)),
    ("POST", "/assistants/{id}/versions", ("metadata", "limit"), ()),
    ("POST", "/assistants/{id}/latest", ("version",), ()),
    ("POST", "/threads", ("thread_id", "metadata", "if_exists", "ttl", "supersteps"), ()),
    ("POST", "/threads/search", ("metadata", "values", "ids", "status", "limit", "sort_by", "select", "extract"), ()),
    ("POST", "/threads/count", ("metadata", "values", "status"), ()),
    ("POST", "/threads/prune", ("thread_ids", "strategy"), ()),
    ("GET", "/threads/{id}", (), ("include",)),
    ("PATCH", "/threads/{thread}", ("metadata", "ttl"), ()),
    ("POST", "/threads/{id}/copy", (), ()),
    ("GET", "/threads/{thread}/state", (), ("subgraphs", "select")),
    ("POST", "/threads/{thread}/state", ("values", "as_node", "checkpoint", "checkpoint_id"), ()),
    ("PATCH", "/threads/{thread}/state", ("metadata",), ()),
    ("GET", "/threads/{thread}/state/{id}", (), ("subgraphs",)),
    ("POST", "/threads/{thread}/state/checkpoint", ("checkpoint", "subgraphs", "select"), ()),
    ("GET", "/threads/{thread}/history", (), ("limit", "before")),
    ("POST", "/threads/{thread}/history", ("limit", "before", "metadata", "checkpoint"), ()),
    ("POST", "/threads/{thread}/runs", ("assistant_id", "input", "command", "config", "context", "stream_mode"), ()),
    ("POST", "/threads/{thread}/runs/wait", ("assistant_id", "command", "checkpoint", "interrupt_before"), ()),
    ("POST", "/runs/stream", ("assistant_id", "input", "config", "webhook", "after_seconds", "durability"), ()),
    ("POST", "/runs/batch", ("assistant_id",), ()),
    ("POST", "/runs/cancel", ("status", "thread_id", "run_ids"), ("action",)),
    ("GET", "/threads/{thread}/runs", (), ("limit", "offset", "status", "select")),
    ("GET", "/threads/{thread}/runs/{id}", (), ()),
    ("GET", "/threads/{thread}/runs/{id}/join", (), ("cancel_on_disconnect",)),
    ("GET", "/threads/{thread}/runs/{id}/stream", (), ("stream_mode", "cancel_on_disconnect")),
    ("POST", "/threads/{thread}/runs/{id}/cancel", (), ("wait", "action")),
    ("DELETE", "/threads/{thread}/runs/{id}", (), ()),
    ("PUT", "/store/items", ("namespace", "key", "value", "ttl"), ()),
    ("GET", "/store/items", (), ("namespace", "key")),
    ("DELETE", "/store/items", ("namespace", "key"), ()),
    ("POST", "/store/items/search", ("namespace_prefix", "filter", "limit"), ()),
    ("POST", "/store/namespaces", ("prefix", "suffix", "max_depth"), ()),
    ("POST", "/threads/{thread}/commands", ("id", "method", "params"), ()),
]


async def test_malformed_requests_are_refused_with_a_sentence(probe: Any, thread: str) -> None:
    chance = random.Random(SEED)
    wrong: list[str] = []
    statuses: dict[int, int] = {}
    async with httpx.AsyncClient(base_url=probe.url, timeout=30) as client:
        for method, template, fields, queries in ENDPOINTS:
            for number in range(TRIES):
                place = template.replace("{thread}", thread if number % 2 else chance.choice(PLACES))
                while "{id}" in place:
                    place = place.replace("{id}", chance.choice(PLACES), 1)
                body: Any = {name: chance.choice(VALUES) for name in fields if chance.random() < 0.7}
                if "assistant_id" in fields and number % 3:
                    body["assistant_id"] = "octopus"
                raw = json.dumps([body] if template.endswith("batch") else body)
                if number == 0:
                    raw = chance.choice(["{", "[]", "null", '"x"', '{"a":}', "\udcff"])
                answer = await client.request(
                    method,
                    place,
                    content=raw.encode("utf-8", "surrogatepass") if fields else None,
                    params={name: chance.choice(QUERIES) for name in queries if chance.random() < 0.7},
                    headers={"content-type": "application/json"},
                )
                statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
                refused = 400 <= answer.status_code < 500
                if not refused and answer.status_code not in (200, 202, 204, 307):
                    wrong.append(f"{answer.status_code} {method} {place} {raw[:200]} {answer.text[:200]}")
                elif refused and (not isinstance(answer.json()["detail"], str) or not answer.json()["detail"]):
                    wrong.append(f"no sentence: {method} {place} {answer.text[:200]}")
    assert not wrong, "\n".join(wrong)
    assert sum(count for status, count in statuses.items() if 400 <= status < 500) > 300, statuses
