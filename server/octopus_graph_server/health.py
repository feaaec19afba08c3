"""Whether the server lives, whether it should be sent requests, and its figures."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from octopus_graph_server.metrics import Metrics
from octopus_graph_server.service import Service

__all__ = ["routes"]

PATIENCE = 2.0
"""Seconds the store has to answer."""

_FIGURES = {"schema": {"type": "string"}, "example": 'octopus_decisions_total{expert="math"} 4.0\n'}


class Alive(BaseModel):
    """The process answers."""

    status: Annotated[str, Field(description="Always alive", examples=["alive"])] = "alive"


class Readiness(BaseModel):
    """Whether requests should be sent here, and what speaks against it."""

    ready: Annotated[bool, Field(description="Whether all checks passed", examples=[True])]
    checks: Annotated[
        dict[str, str],
        Field(
            description="ok, or what is wrong: the router, the store of threads, and whether the server is stopping",
            examples=[{"router": "ok", "store": "ok", "stopping": "ok"}],
        ),
    ]


def routes(service: Service, metrics: Metrics) -> APIRouter:
    """Makes the endpoints that probes and Prometheus ask."""
    router = APIRouter(tags=["Health"])

    @router.get("/health/live", summary="Is the process alive?")
    async def live() -> Alive:  # pyright: ignore[reportUnusedFunction]
        """Answers as long as the process can answer at all. Needs no key."""
        return Alive()

    unready: dict[int | str, dict[str, Any]] = {
        503: {"model": Readiness, "description": "Requests should be sent elsewhere; `checks` says why"}
    }

    @router.get("/health/ready", summary="Should requests be sent here?", responses=unready)
    async def ready(response: Response) -> Readiness:  # pyright: ignore[reportUnusedFunction]
        """Answers 200 when the router is loaded, the store answers and the server is not stopping. Needs no key."""
        checks = {
            "router": "ok" if service.opened else "not loaded yet",
            "store": await _store(service),
            "stopping": "stopping" if service.runs.stopping else "ok",
        }
        passed = all(said == "ok" for said in checks.values())
        response.status_code = 200 if passed else 503
        return Readiness(ready=passed, checks=checks)

    @router.get(
        "/metrics",
        summary="Figures for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": _FIGURES}, "description": "Prometheus' text format"}},
    )
    async def figures() -> Response:  # pyright: ignore[reportUnusedFunction]
        """Requests by route and status, their durations, and how often each expert was chosen."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router


async def _store(service: Service) -> str:
    """Reads a checkpoint that is not there: every saver can, and it takes one round trip."""
    if service.opened is None:
        return "not open yet"
    if service.opened.saver is None:
        return "ok"
    try:
        async with asyncio.timeout(PATIENCE):
            await service.opened.saver.aget_tuple({"configurable": {"thread_id": "health", "checkpoint_ns": ""}})
    except Exception as error:  # noqa: BLE001 - whatever it is, it is no store to send requests to
        return f"does not answer ({type(error).__name__})"
    return "ok"
