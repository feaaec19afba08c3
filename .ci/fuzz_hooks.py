"""Lets schemathesis get past 404: in every second request, ids that nothing bears are replaced by ids of what is there.

Each such request is given a thread, a run or an item of its own, so that those that delete have something to delete.
"""

import itertools
import json
import urllib.request

import schemathesis

RUN = {"assistant_id": "octopus", "input": {"messages": [{"role": "user", "content": "The derivative of x^3?"}]}}
MEANT = ("checkpoint", "checkpoint_id", "command", "config", "context", "interrupt_before", "interrupt_after", "webhook")
MEANT += ("background", "conversation", "previous_response_id", "tools", "tool_choice", "text")
"""Fields whose values a schema cannot tell right from wrong."""
turns = itertools.count()


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Replaces ids in the path, the query and the body."""
    if isinstance(case.body, dict) and isinstance(case.body.get("after_seconds"), int | float):
        case.body["after_seconds"] = 0  # or a request that waits for the run's end lasts as long: up to a day
    if case.meta is not None and case.meta.phase.name.value == "stateful":  # there ids come from earlier answers
        return
    if next(turns) % 2:
        return
    path, ask = case.operation.path, Server(case.operation.base_url)
    known = {"assistant_id": lambda: "octopus", "model": lambda: "octopus", "thread_id": ask.thread}
    if "{response_id}" in path:
        case.path_parameters["response_id"] = ask("POST", "/v1/responses", {"model": "octopus", "input": "x^3?"})["id"]
    if "{assistant_id}" in path and case.method == "DELETE":
        known["assistant_id"] = lambda: ask("POST", "/assistants", {"graph_id": "octopus"})["assistant_id"]
    for name in {"assistant_id", "model", "thread_id"} & {*(case.path_parameters or ())}:
        case.path_parameters[name] = known[name]()
    thread = (case.path_parameters or {}).get("thread_id")
    if "run_id" in (case.path_parameters or ()):
        run = ask("POST", f"/threads/{thread}/runs" if thread else "/runs", RUN)
        case.path_parameters["run_id"] = run["run_id"]
    if "checkpoint_id" in (case.path_parameters or ()):
        ask("POST", f"/threads/{thread}/runs/wait", RUN)
        case.path_parameters["checkpoint_id"] = ask("GET", f"/threads/{thread}/state")["checkpoint_id"]
    if path == "/store/items" and case.method == "GET":
        ask("PUT", path, {"namespace": ["users"], "key": "likes", "value": {"subject": "math"}})
        case.query = {**(case.query or {}), "namespace": ["users"], "key": "likes"}
    if isinstance(case.body, dict):
        for name, value in (("assistant_id", "octopus"), ("graph_id", "octopus"), ("model", "octopus")):
            if name in case.body and path != "/assistants":
                case.body[name] = value
        if path.endswith(("/runs", "/wait", "/stream", "/responses")):
            for name in MEANT:
                case.body.pop(name, None)
            case.body["input"] = "x^3?" if path.startswith("/v1/") else RUN["input"]


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

    def thread(self):
        """Makes a thread."""
        return self("POST", "/threads", {})["thread_id"]
