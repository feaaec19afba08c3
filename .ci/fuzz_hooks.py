# ruff: noqa: INP001, S310
"""Lets schemathesis get past 404: in every second request, ids that nothing bears are replaced by ids of what is there.

Each such request is given a thread, a run or an item of its own, so that those that delete have something to delete.
"""

import itertools
import json
import urllib.request

import schemathesis

RUN = {"assistant_id": "octopus", "input": {"messages": [{"role": "user", "content": "The derivative of x^3?"}]}}
MEANT = ("checkpoint", "checkpoint_id", "command", "config", "context", "interrupt_before", "interrupt_after")
MEANT += ("webhook", "background", "conversation", "previous_response_id", "tools", "tool_choice", "text")
"""Fields whose values a schema cannot tell right from wrong."""
turns = itertools.count()


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Changes every second request."""
    del ctx, kwargs
    if isinstance(case.body, dict) and isinstance(case.body.get("after_seconds"), int | float):
        case.body["after_seconds"] = 0  # or a request that waits for the run's end lasts as long: up to a day
    if case.meta is not None and case.meta.phase.name.value == "stateful":  # there ids come from earlier answers
        return
    if next(turns) % 2:
        return
    replace_ids(case, Server(case.operation.base_url))
    if isinstance(case.body, dict):
        replace_fields(case.operation.path, case.body)


def replace_ids(case, ask):
    """Puts ids of what is there into the path and the query."""
    path, given = case.operation.path, case.path_parameters or {}
    if "model" in given:
        given["model"] = "octopus"
    if "response_id" in given:
        given["response_id"] = ask("POST", "/v1/responses", {"model": "octopus", "input": "x^3?"})["id"]
    if "assistant_id" in given:
        given["assistant_id"] = ask("POST", "/assistants", {"graph_id": "octopus"})["assistant_id"]
    if "thread_id" in given:
        given["thread_id"] = ask("POST", "/threads", {})["thread_id"]
    thread = f"/threads/{given['thread_id']}" if "thread_id" in given else ""
    if "run_id" in given:
        given["run_id"] = ask("POST", f"{thread}/runs", RUN)["run_id"]
    if "checkpoint_id" in given:
        ask("POST", f"{thread}/runs/wait", RUN)
        given["checkpoint_id"] = ask("GET", f"{thread}/state")["checkpoint_id"]
    if path == "/store/items" and case.method == "GET":
        ask("PUT", path, {"namespace": ["users"], "key": "likes", "value": {"subject": "math"}})
        case.query = {**(case.query or {}), "namespace": ["users"], "key": "likes"}


def replace_fields(path, body):
    """Names the graph, and asks something it can be asked."""
    for name in {"graph_id", "model"} & body.keys():
        body[name] = "octopus"
    if path.endswith(("/runs", "/wait", "/stream", "/responses")):
        for name in MEANT:
            body.pop(name, None)
        body |= {"model": "octopus", "input": "x^3?"} if path.startswith("/v1/") else RUN


class Server:
    """The server that is tried, asked in the plain way."""

    def __init__(self, url):
        """Takes its address."""
        self._url = url.rstrip("/")

    def __call__(self, method, path, body=None):
        """Asks, and returns the JSON of the answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self._url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read() or b"null")
