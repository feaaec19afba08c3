"""One line for each request, and the last stop of every error. No line holds what was asked or answered.

{"event": "request", "method", "route", "status", "ms", "request_id", "run_id", "expert", …}
"""

import asyncio
import logging
import re
import sys
import time
import traceback
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from octopus_graph_server import problems
from octopus_graph_server.metrics import Metrics

__all__ = ["RequestLog", "Trace", "configure", "log", "note", "trace"]

GONE = 499
"""What nginx calls a client that left before it was answered."""
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(slots=True)
class Trace:
    """What is known of the request that is being answered; endpoints add to it with `note`."""

    request_id: str
    run_id: str | None = None
    expert: str | None = None
    error: str | None = None


_LOG = structlog.get_logger("octopus_graph_server")  # a proxy: it reads the configuration when it is first used
_trace: ContextVar[Trace | None] = ContextVar("octopus_trace", default=None)


def trace() -> Trace:
    """Returns the trace of the request that is being answered; an empty one outside of requests."""
    return _trace.get() or Trace("")


def note(*, run_id: str | None = None, expert: str | None = None, error: str | None = None) -> None:
    """Adds to the log line of the request that is being answered."""
    known = trace()
    known.run_id = run_id or known.run_id
    known.expert = expert or known.expert
    known.error = error or known.error


def log() -> Any:
    """Returns the server's logger."""
    return _LOG


def configure() -> None:
    """Has log lines written as JSON to stderr; called by `octopus-graph serve`, never by an import or an app."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("iso"),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )


class RequestLog:
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Wraps an app."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request and writes its line, whatever comes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        known = Trace(given if _ID.fullmatch(given) else str(uuid4()))
        token = _trace.set(known)
        started = time.perf_counter()
        status = 0

        async def tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = known.request_id
            await send(message)

        try:
            await self._app(scope, receive, tagged)
        except asyncio.CancelledError:  # the server ends, and this request took too long
            known.error = "cancelled"
            if not status:
                error = problems.UnavailableError(
                    "This server is shutting down: ask again.", headers={"retry-after": "1"}
                )
                await problems.answer(error, scope["path"], known.request_id)(scope, receive, tagged)
            raise
        except Exception as error:  # noqa: BLE001 - the last stop
            known.error = _where(error)
            if not status:
                await problems.answer(error, scope["path"], known.request_id)(scope, receive, tagged)
        finally:
            _trace.reset(token)
            seconds = time.perf_counter() - started
            route = _route(scope)
            _write(scope["method"], route, known, status or GONE, seconds)
            self._metrics.count(scope["method"], route, status or GONE, seconds, known.expert)


def _route(scope: Scope) -> str:
    """Returns the template of the route: a path may hold anything."""
    return getattr(scope.get("route"), "path", None) or "-"


def _write(method: str, route: str, known: Trace, status: int, seconds: float) -> None:
    line = {
        "method": method,
        "route": route,
        "status": status,
        "ms": round(seconds * 1e3, 2),
        "request_id": known.request_id,
        "run_id": known.run_id,
        "expert": known.expert,
        "error": known.error,
    }
    log().info("request", **{key: value for key, value in line.items() if value is not None})


def _where(error: BaseException) -> str:
    """Names an error by type and place. Its text is left out: it may quote what was asked."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
