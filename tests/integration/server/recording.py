"""Asks each endpoint of the LangGraph API once and writes down what it answers: the examples of the OpenAPI document.

python tests/integration/server/recording.py URL > server/octopus_graph_server/answers.json
"""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import httpx

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(\+00:00|Z)")
ASKED = {"messages": [{"role": "user", "content": "The derivative of x^3?"}]}
RUN = {"assistant_id": "octopus", "input": ASKED}


def session(client: httpx.Client) -> Iterator[tuple[str, httpx.Response]]:
    """Yields endpoints and their answers."""

    def ask(template: str, body: Any = None, **values: Any) -> httpx.Response:
        method, path = template.split()
        query = values.pop("query", None)
        response = client.request(method, path.format(**values), json=body, params=query)
        response.raise_for_status()
        return response

    def glance(template: str, body: Any = None, **values: Any) -> httpx.Response:
        """Reads the first three events of a stream that goes on."""
        method, path = template.split()
        with client.stream(method, path.format(**values), json=body) as response:
            text = ""
            for part in response.iter_text():
                text += part
                if text.count("\n\n") >= 3:
                    break
            head = "\n\n".join(text.split("\n\n")[:3])
        kept = {name: one for name, one in response.headers.items() if name != "transfer-encoding"}
        return httpx.Response(200, text=head, headers=kept)

    def thread_of_its_own() -> str:
        return ask("POST /threads", {}).json()["thread_id"]

    for path in ("GET /ok", "GET /info"):
        yield path, ask(path)
    made = ask("POST /assistants", {"graph_id": "octopus", "name": "One hop", "context": {"max_hops": 1}})
    yield "POST /assistants", made
    it: dict[str, Any] = {"assistant_id": made.json()["assistant_id"]}
    one = "/assistants/{assistant_id}"
    yield "POST /assistants/search", ask("POST /assistants/search", {"limit": 1})
    yield "POST /assistants/count", ask("POST /assistants/count", {})
    yield f"GET {one}", ask(f"GET {one}", **it)
    yield f"PATCH {one}", ask(f"PATCH {one}", {"context": {"max_hops": 2}}, **it)
    yield f"POST {one}/versions", ask(f"POST {one}/versions", {"limit": 1}, **it)
    yield f"POST {one}/latest", ask(f"POST {one}/latest", {"version": 1}, **it)
    for part in ("graph", "schemas", "subgraphs"):
        yield f"GET {one}/{part}", ask(f"GET {one}/{part}", **it)
    yield f"GET {one}/subgraphs/{{namespace}}", ask(f"GET {one}/subgraphs/math", **it)
    yield f"DELETE {one}", ask(f"DELETE {one}", **it)

    made = ask("POST /threads", {"metadata": {"user": "ada"}})
    yield "POST /threads", made
    it = {"thread_id": made.json()["thread_id"]}
    one = "/threads/{thread_id}"
    yield f"POST {one}/runs/wait", ask(f"POST {one}/runs/wait", RUN, **it)
    yield f"POST {one}/runs/stream", ask(f"POST {one}/runs/stream", RUN, **it)
    begun = ask(f"POST {one}/runs", RUN, **it)
    yield f"POST {one}/runs", begun
    it["run_id"] = begun.json()["run_id"]
    yield f"GET {one}/runs/{{run_id}}/join", ask(f"GET {one}/runs/{{run_id}}/join", **it)
    yield f"GET {one}/runs/{{run_id}}/stream", ask(f"GET {one}/runs/{{run_id}}/stream", **it)
    yield f"GET {one}/runs/{{run_id}}", ask(f"GET {one}/runs/{{run_id}}", **it)
    yield f"GET {one}/runs", ask(f"GET {one}/runs", query={"limit": 1}, **it)
    for path, body in {"search": {"metadata": {"user": "ada"}, "limit": 1}, "count": {}}.items():
        yield f"POST /threads/{path}", ask(f"POST /threads/{path}", body)
    yield f"GET {one}", ask(f"GET {one}", **it)
    yield f"PATCH {one}", ask(f"PATCH {one}", {"metadata": {"topic": "calculus"}}, **it)
    state = ask(f"GET {one}/state", **it)
    yield f"GET {one}/state", state
    it["checkpoint_id"] = state.json()["checkpoint"]["checkpoint_id"]
    yield f"GET {one}/state/{{checkpoint_id}}", ask(f"GET {one}/state/{{checkpoint_id}}", **it)
    at = {"checkpoint": {"checkpoint_id": it["checkpoint_id"]}}
    yield f"POST {one}/state/checkpoint", ask(f"POST {one}/state/checkpoint", at, **it)
    yield f"GET {one}/history", ask(f"GET {one}/history", query={"limit": 1}, **it)
    yield f"POST {one}/history", ask(f"POST {one}/history", {"limit": 1}, **it)
    yield f"POST {one}/state", ask(f"POST {one}/state", {"values": ASKED}, **it)
    yield f"PATCH {one}/state", ask(f"PATCH {one}/state", {"metadata": {"seen": True}}, **it)
    yield f"POST {one}/copy", ask(f"POST {one}/copy", **it)
    yield f"DELETE {one}/runs/{{run_id}}", ask(f"DELETE {one}/runs/{{run_id}}", **it)
    slow = {"assistant_id": "octopus", "input": {"messages": [{"role": "user", "content": "slow"}]}}
    it["run_id"] = ask(f"POST {one}/runs", slow, **it).json()["run_id"]
    yield f"GET {one}/stream", glance(f"GET {one}/stream", **it)
    stopped = ask(f"POST {one}/runs/{{run_id}}/cancel", query={"wait": 1}, **it)
    yield f"POST {one}/runs/{{run_id}}/cancel", stopped
    yield f"DELETE {one}", ask(f"DELETE {one}", **it)

    it = {"thread_id": thread_of_its_own()}
    start = {"id": 1, "method": "run.start", "params": RUN}
    yield f"POST {one}/commands", ask(f"POST {one}/commands", start, **it)
    heard = {"channels": ["messages", "lifecycle"]}
    yield f"POST {one}/stream/events", glance(f"POST {one}/stream/events", heard, **it)
    pruned = {"thread_ids": [thread_of_its_own()], "strategy": "delete"}
    yield "POST /threads/prune", ask("POST /threads/prune", pruned)

    for path in ("wait", "stream"):
        yield f"POST /runs/{path}", ask(f"POST /runs/{path}", RUN)
    begun = ask("POST /runs", RUN)
    yield "POST /runs", begun
    yield "GET /runs/{run_id}/stream", ask("GET /runs/{run_id}/stream", run_id=begun.json()["run_id"])
    yield "POST /runs/batch", ask("POST /runs/batch", [RUN])
    yield "POST /runs/cancel", ask("POST /runs/cancel", {"status": "pending"})

    item: dict[str, Any] = {"namespace": ["users", "ada"], "key": "likes", "value": {"subject": "math"}}
    yield "PUT /store/items", ask("PUT /store/items", item)
    query = {"namespace": "users.ada", "key": "likes"}
    yield "GET /store/items", ask("GET /store/items", query=query)
    yield "POST /store/items/search", ask("POST /store/items/search", {"namespace_prefix": ["users"]})
    yield "POST /store/namespaces", ask("POST /store/namespaces", {"prefix": ["users"]})
    yield "DELETE /store/items", ask("DELETE /store/items", {"namespace": ["users", "ada"], "key": "likes"})


def record(url: str) -> dict[str, Any]:
    """Returns what is answered, by endpoint: status, media type, body."""
    found: dict[str, Any] = {}
    with httpx.Client(base_url=url, timeout=60) as client:
        for name, response in session(client):
            media_type = response.headers.get("content-type", "").partition(";")[0]
            body: Any = response.text
            if media_type == "application/json":
                body = _short(response.json(), 2 if name.endswith("/schemas") else 5)
            elif media_type == "text/event-stream":
                events = body.strip().split("\n\n")
                kept = events if len(events) <= 3 else [*events[:2], events[-1]]
                body = "".join("\n".join(_clipped(line) for line in event.split("\n")) + "\n\n" for event in kept)
            found[name] = {"status": str(response.status_code), "type": media_type, "body": body}
    return json.loads(_steady(json.dumps(found)))


def _short(value: Any, depth: int) -> Any:
    """Keeps two of each list, and what does not lie too deep."""
    if isinstance(value, list):
        return [_short(one, depth - 1) for one in value[:2]] if depth else []  # type: ignore[misc]
    if isinstance(value, dict):
        return {name: _short(one, depth - 1) for name, one in value.items()} if depth else {}  # type: ignore[misc]
    return value


def _clipped(line: str) -> str:
    return line if len(line) <= 240 else f"{line[:240]}…"


def _steady(text: str) -> str:
    """Puts the same in the place of what differs from one recording to the next."""
    known: dict[str, str] = {}

    def name(found: re.Match[str]) -> str:
        return known.setdefault(found[0], f"01900000-0000-7000-8000-{len(known):012x}")

    text = UUID.sub(name, text)
    text = re.sub(r'(\\?"\w+_ms\\?": ?)[\d.]+', r"\g<1>1.5", text)
    text = re.sub(r"(run--|call_)[0-9a-f]{8,}", r"\g<1>0f3a", text)
    return TIME.sub("2026-11-25T12:00:00.000000+00:00", text)


if __name__ == "__main__":
    print(json.dumps(record(sys.argv[1]), indent=1, ensure_ascii=False))  # noqa: T201
