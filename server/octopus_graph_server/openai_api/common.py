"""What all OpenAI endpoints share: errors in OpenAI's shape, the decision in headers, server-sent events."""

import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any

import anyio
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sse_starlette import EventSourceResponse
from starlette.responses import Response

from octopus_graph_server import logs, problems
from octopus_graph_server.problems import BadRequestError, NotFoundError
from octopus_graph_server.running import Decided, Ended
from octopus_graph_server.service import Service

__all__ = [
    "DECISION_HEADERS",
    "OpenAIRoute",
    "decision_headers",
    "error_of",
    "expert_named",
    "frame",
    "streamed",
    "summary",
]

DECISION_HEADERS = tuple(f"x-octopus-{name}" for name in ("run-id", "expert", "confidence", "path", "cache"))
"""Which a page in a browser may read too."""
PING = 15
"""Seconds of silence after which proxies are told that the answer still comes."""


class OpenAIRoute(APIRoute):
    """A route whose validation errors have OpenAI's status."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wraps the handler."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestValidationError as error:
                invalid = problems.refusal_of(error)
                raise BadRequestError(str(invalid), param=invalid.param) from None

        return handle


def expert_named(service: Service, model: str) -> str | None:
    """Returns the expert a model's name stands for; `None` for the graph.

    Raises:
        NotFoundError: If it is neither.
    """
    if model == service.settings.name:
        return None
    if model not in service.experts:
        error = NotFoundError(
            f"The model {model[:64]!r} does not exist: this server has {service.settings.name!r}, which routes, and its"
            " experts by name; GET /v1/models lists them.",
            param="model",
        )
        error.code = "model_not_found"  # pyright: ignore[reportAttributeAccessIssue] - what OpenAI calls it
        raise error
    return model


def decision_headers(run_id: str, decided: Decided, ended: Ended | None = None) -> dict[str, str]:
    """Writes into headers who answers and what came from the cache; of a stream the decision alone is known."""
    headers = {"x-octopus-run-id": run_id}
    path = ended.path if ended else [decided.expert] if decided.expert else []
    if decided.expert:
        headers["x-octopus-expert"] = decided.expert
    if decided.confidence is not None:
        headers["x-octopus-confidence"] = f"{decided.confidence:.4f}"
    if path:
        headers["x-octopus-path"] = ",".join(path)
    found = ["decision"] if decided.cached else []
    found += [f"answer-{kind}" for hop in (ended.hops if ended else ()) if (kind := hop.get("cached"))]
    headers["x-octopus-cache"] = ",".join(dict.fromkeys(found)) or "none"
    return headers


_TOLD = ("expert", "token", "query", "rewritten", "confidence", "served_by", "cached")


def summary(run_id: str, ended: Ended) -> dict[str, Any]:
    """Returns how an answer came about, for a field that OpenAI's clients pass over."""
    hops = [{name: hop[name] for name in _TOLD if name in hop} for hop in ended.hops]
    return {"run_id": run_id, "path": ended.path, "hops": hops}


def error_of(error: BaseException) -> dict[str, Any]:
    """Returns the body of an error, and notes it in the log line."""
    logs.note(error=type(error).__name__)
    response = problems.answer(error, "/v1/")
    return json.loads(bytes(response.body))


def streamed(service: Service, frames: AsyncIterator[bytes], headers: Mapping[str, str]) -> Response:
    """Sends frames as they come, with a sign of life where they are slow, and lets them end before the server does."""
    return EventSourceResponse(
        frames, headers=headers, ping=PING, shutdown_event=anyio.Event(), shutdown_grace_period=service.settings.grace
    )


def frame(data: Mapping[str, Any] | str, event: str | None = None) -> bytes:
    """Writes one server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    opening = f"event: {event}\n" if event else ""
    return f"{opening}data: {text}\n\n".encode()
