"""The OpenAPI document is true: answers of a running server fit it, and the recorded examples look like them still."""

import json
import re
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

sys.path.insert(0, str(Path(__file__).parent))

from recording import record, session

pytestmark = pytest.mark.integration
OPEN = {
    "additional_kwargs",
    "config",
    "context",
    "data",
    "kwargs",
    "metadata",
    "properties",
    "response_metadata",
    "$defs",
}


@pytest.fixture(scope="module")
def url(start: Callable[..., Any]) -> str:
    return start("--redis", "embedded").url


def test_every_answer_fits_the_document(url: str) -> None:
    document = httpx.get(f"{url}/openapi.json").json()
    wrong: list[str] = []
    asked: set[str] = set()

    def check(name: str, schema: dict[str, Any], value: Any) -> None:
        for problem in Draft202012Validator({**document, **schema}).iter_errors(value):
            wrong.append(f"{name} {'.'.join(map(str, problem.absolute_path))}: {problem.message[:300]}")

    with httpx.Client(base_url=url, timeout=60) as client:
        for name, response in session(client):
            asked.add(name)
            method, path = name.split()
            said = document["paths"][path][method.lower()]["responses"][str(response.status_code)]
            missing = {header for header, one in said["headers"].items() if one.get("required")} - {*response.headers}
            wrong += [f"{name} has no header {header}" for header in missing]
            media_type = response.headers.get("content-type", "").partition(";")[0]
            if response.content:
                content = said["content"][media_type]
                if media_type == "application/json":
                    check(name, content["schema"], response.json())
                else:
                    for event in events_of(response.text):
                        check(name, content["itemSchema"], event)
                        data = shape_of_data(document, content["itemSchema"], event)
                        check(f"{name} {event['event']}", data, json.loads(event["data"]))
            else:
                assert "content" not in said, name
    assert not wrong, "\n".join(wrong)
    langgraph = {"Assistants", "Threads", "Runs", "Store"}
    offered = {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if langgraph.intersection(operation["tags"]) and not path.endswith("/crons")
    }
    assert offered <= asked


def test_the_recorded_examples_are_what_the_server_answers_now(url: str) -> None:
    recorded = json.loads((files("octopus_graph_server") / "answers.json").read_text(encoding="utf-8"))
    now = record(url)
    assert recorded.keys() == now.keys()
    changed = [
        f"{name}: recorded {shape_of(one)}\n{' ' * len(name)}  answered {shape_of(now[name])}"
        for name, one in recorded.items()
        if shape_of(one) != shape_of(now[name])
    ]
    assert not changed, "record them anew (tests/integration/server/recording.py says how):\n" + "\n".join(changed)


def test_a_change_of_shape_is_seen() -> None:
    said = {"status": "200", "type": "application/json", "body": [{"a": 1, "metadata": {"x": 1}}]}
    for body, same in (
        ([{"a": 2, "metadata": {}}], True),
        ([{"a": 2.5, "metadata": {"y": 1}}, {"a": 1, "metadata": {}}], True),
        ([{"a": "2", "metadata": {}}], False),
        ([{"a": None, "metadata": {}}], False),
        ([{"b": 1, "metadata": {}}], False),
        ([{"a": 1}], False),
        ({"a": 1, "metadata": {}}, False),
    ):
        assert (shape_of(said | {"body": body}) == shape_of(said)) is same, body
    assert shape_of(said | {"status": "202"}) != shape_of(said)


def events_of(text: str) -> list[dict[str, str]]:
    """Reads server-sent events, comments left out."""
    blocks = [block.split("\n") for block in text.strip().split("\n\n")]
    found = [dict(line.split(": ", 1) for line in lines if not line.startswith(":")) for lines in blocks]
    return [event for event in found if event]


def shape_of_data(document: dict[str, Any], schema: dict[str, Any], event: dict[str, str]) -> dict[str, Any]:
    """Finds the schema of an event's data."""
    cases = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["oneOf"]
    (found,) = (one for one in cases if re.search(one["properties"]["event"]["pattern"], event["event"]))
    return found["properties"]["data"]["contentSchema"]


def shape_of(answer: dict[str, Any]) -> Any:
    """Says what an answer looks like: names and kinds of fields, whatever they hold; of streams, the events' names."""
    if answer["type"] == "text/event-stream":
        lines = [line.partition(": ")[2] for line in answer["body"].split("\n") if line.startswith("event: ")]
        return (answer["status"], answer["type"], lines)
    return (answer["status"], answer["type"], _shape(answer["body"]))


def _shape(value: Any) -> Any:
    match value:
        case dict():
            fields: dict[str, Any] = value
            return {name: "object" if name in OPEN else _shape(one) for name, one in sorted(fields.items())}
        case list():
            parts: list[Any] = value
            return sorted({json.dumps(_shape(part)) for part in parts})
        case bool() | str() | None:
            return type(value).__name__
        case _:
            return "number"
