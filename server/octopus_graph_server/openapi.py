"""The OpenAPI document: what FastAPI finds out, and what holds for every endpoint, said here once.

Keys, tags and error bodies are the same everywhere, because the layers before the endpoints make them.
"""

import json
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from octopus_graph_server.guard import OPEN_PATHS
from octopus_graph_server.langgraph_api.described import REF, stream_schemas
from octopus_graph_server.openai_api.answers import EVENTS, HEADERS, answer_schemas
from octopus_graph_server.problems import OPENAI, RefusedError, body
from octopus_graph_server.words import BODIES, ENDPOINTS, FIELDS

__all__ = ["document"]

ERRORS = {
    400: "The request cannot be read",
    401: "The API key is missing or wrong",
    403: "The page or host name the request comes by may not ask",
    404: "What is asked for is not there",
    409: "What is asked for does not go with what is there",
    413: "The body or its text is too long",
    422: "The request can be read, but makes no sense",
    429: "As many runs go on as the server allows; `Retry-After` says when to try again",
    500: "Something went wrong in the server; its log names the request's id",
    501: "LangGraph's API has this and this server has not",
    502: "The experts asked did not answer",
    503: "The server is starting or stopping, or its store does not answer",
    504: "The request took longer than it may",
}
_BY_STATUS = {kind.status: kind for kind in (RefusedError, *RefusedError.__subclasses__())}
ALWAYS = (400, 403, 422, 500, 503, 504)
WITH_BODY = (413, 429, 502)
TAGS = {
    "Health": "For probes and Prometheus.",
    "Decisions": "Which expert a request is for, without asking one.",
    "OpenAI": "The OpenAI API: any OpenAI client works.",
    "Assistants": "LangGraph API: the graph under settings of its own, its shape and its schemas.",
    "Threads": "LangGraph API: conversations that are kept.",
    "Runs": "LangGraph API: the graph asked, on a thread or without one.",
    "Store": "LangGraph API: what is remembered across threads.",
    "A2A": "Agent2Agent: the agent's card and its messages.",
}

_PROBLEM = {
    "title": "Problem",
    "type": "object",
    "description": "An error (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "Always about:blank: `code` names the kind"},
        "title": {"type": "string", "description": "The kind, for people"},
        "status": {"type": "integer", "description": "The HTTP status"},
        "detail": {"type": "string", "description": "One sentence that says what to do"},
        "code": {"type": "string", "description": "The kind, for programs"},
        "request_id": {
            "type": ["string", "null"],
            "description": "What the server's log knows the request by; also in x-request-id",
        },
    },
}
_OPENAI_ERROR = {
    "title": "OpenAIError",
    "type": "object",
    "description": "An error in OpenAI's shape.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "description": "The error",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string", "description": "One sentence that says what to do"},
                "type": {"type": "string", "description": "The kind, as OpenAI names it"},
                "param": {"type": ["string", "null"], "description": "The field that is wrong"},
                "code": {"type": ["string", "null"], "description": "The kind, more exactly"},
            },
        }
    },
}


def _header(said: str) -> dict[str, Any]:
    return {"description": said, "schema": {"type": "string"}}


_REQUEST_ID = _header("What the server's log knows the request by") | {"required": True}


def document(app: FastAPI) -> dict[str, Any]:
    """Makes the document once.

    Args:
        app: With all its endpoints.
    """
    if app.openapi_schema:
        return app.openapi_schema
    found = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    parts = found.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    openai, parts_of_openai = answer_schemas(REF)
    schemas |= stream_schemas() | parts_of_openai | {"Problem": _PROBLEM, "OpenAIError": _OPENAI_ERROR}
    parts["responses"] = {f"{_name(path)}{status}": _error(path, status) for path in ("/", OPENAI) for status in ERRORS}
    parts["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key of this server"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same, in another place"},
    }
    found["security"] = [{"bearer": []}, {"apiKey": []}, {}]  # {}: on loopback there may be no key
    # What the LangGraph API answers was written down while it did: tests/integration/server/recording.py
    answers = json.loads((files("octopus_graph_server") / "answers.json").read_text(encoding="utf-8"))
    used: set[str] = set()
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            used.update(operation.get("tags", ()))
            _complete(path, operation)
            name = f"{method.upper()} {path}"
            if name in openai:
                answer = operation["responses"]["200"]
                answer["content"]["application/json"]["schema"] = openai[name]
                if name in EVENTS:
                    shown = answer["content"]["text/event-stream"]["example"]
                    answer["content"]["text/event-stream"] = {"itemSchema": EVENTS[name], "example": shown}
                    answer["headers"] |= HEADERS
            _explain(name, operation, answers)
    for schema in schemas.values():
        for name, field in schema.get("properties", {}).items():
            if name in FIELDS and "$ref" not in field:
                field.setdefault("description", FIELDS[name])
    found["tags"] = [{"name": name, "description": text} for name, text in TAGS.items() if name in used]
    app.openapi_schema = found
    return found


def _complete(path: str, operation: dict[str, Any]) -> None:
    """Adds the errors an endpoint may answer with and does not name itself."""
    statuses = {*ALWAYS}
    if "requestBody" in operation:
        statuses.update(WITH_BODY)
    if path.startswith(("/assistants", "/threads", "/runs")):
        statuses.add(409)
    if "{" in path or "parameters" in operation or "requestBody" in operation:
        statuses.add(404)
    if path in OPEN_PATHS:
        operation["security"] = []
    else:
        statuses.add(401)
    responses = operation["responses"]
    responses.pop("422", None)  # FastAPI's own shape, which is not sent
    if "501" in responses:
        responses.pop("501")
        statuses.add(501)
    for response in responses.values():
        if response["description"] == "Successful Response":  # FastAPI's own words, where an endpoint has none
            response["description"] = "Done"
        response["headers"] = response.get("headers", {}) | {"x-request-id": _REQUEST_ID}
    for status in sorted(statuses):
        responses.setdefault(str(status), {"$ref": f"#/components/responses/{_name(path)}{status}"})
    operation["responses"] = dict(sorted(responses.items()))


def _explain(name: str, operation: dict[str, Any], answers: dict[str, Any]) -> None:
    """Adds what an endpoint and its parameters mean, where they do not say it themselves."""
    if name in ENDPOINTS:
        operation.setdefault("description", ENDPOINTS[name])
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in FIELDS:
            parameter.setdefault("description", FIELDS[parameter["name"]])
    for content in operation.get("requestBody", {}).get("content", {}).values():
        if name in BODIES:
            content.setdefault("example", BODIES[name])
    if shown := answers.get(name):
        response = operation["responses"][shown["status"]]
        if shown["body"] != "":
            response["content"][shown["type"]]["example"] = shown["body"]


def _error(path: str, status: int) -> dict[str, Any]:
    said = ERRORS[status]
    headers = {"x-request-id": _REQUEST_ID}
    if status in (429, 503):
        headers["retry-after"] = _header("Seconds to wait")
    example = body(_BY_STATUS[status](f"{said}."), path, "0f8f1f0e-5f0c-4c5e-9d0e-1f6f6b1d2c3a")
    media_type = "application/json" if path.startswith(OPENAI) else "application/problem+json"
    schema = {"$ref": f"#/components/schemas/{_name(path)}"}
    return {"description": said, "headers": headers, "content": {media_type: {"schema": schema, "example": example}}}


def _name(path: str) -> str:
    """Names the shape of a path's errors."""
    return "OpenAIError" if path.startswith(OPENAI) else "Problem"
