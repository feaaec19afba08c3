"""What clients ask first: whether the server is there, and what it can do."""

from importlib.metadata import version
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

from octopus_graph_server.langgraph_api.bodies import router
from octopus_graph_server.langgraph_api.described import answered
from octopus_graph_server.langgraph_api.shapes import Json
from octopus_graph_server.problems import NotBuiltError

__all__ = ["crons", "routes"]

SPOKEN = "0.16.0"  # the version of LangGraph's API that these endpoints follow; Studio wants 0.4.35 or later


class Up(TypedDict):
    """The server is there."""

    ok: Annotated[Literal[True], Field(description="Always true")]


class Info(TypedDict):
    """What the server is."""

    version: Annotated[str, Field(description="The version of LangGraph's API it follows")]
    langgraph_py_version: Annotated[str, Field(description="The version of langgraph it runs on")]
    server: Annotated[dict[str, str], Field(description="Its own name and version")]
    flags: Annotated[dict[str, bool], Field(description="What it has: assistants, no crons, no LangSmith")]
    host: Annotated[dict[str, str], Field(description="Who hosts it")]


def routes() -> APIRouter:
    """Makes the endpoints."""
    api = router("Health")

    @api.get("/ok", summary="Say that the server is there", responses=answered(Up, "It is there"))
    async def ok() -> Response:  # pyright: ignore[reportUnusedFunction]
        return Json({"ok": True})

    @api.get("/info", summary="Say what the server can do", responses=answered(Info, "What it is and has"))
    async def info() -> Response:  # pyright: ignore[reportUnusedFunction]
        return Json(
            {
                "version": SPOKEN,
                "langgraph_py_version": version("langgraph"),
                "server": {"name": "octopus-graph", "version": version("octopus-graph")},
                "flags": {"assistants": True, "crons": False, "langsmith": False},
                "host": {"kind": "self-hosted"},
            }
        )

    return api


def crons() -> APIRouter:
    """Makes the endpoints of crons, which are not built and say so."""
    api = router("Runs")
    absent: dict[str, Any] = {"status_code": 501, "response_class": Response}  # or the document would promise a 200

    @api.post("/runs/crons", summary="Have a run made again and again: not built", **absent)
    @api.api_route("/runs/crons/{rest:path}", methods=["GET", "POST", "PATCH", "DELETE"], include_in_schema=False)
    async def no_crons() -> Response:  # pyright: ignore[reportUnusedFunction]
        raise NotBuiltError("This server has no crons: let the system's own scheduler call POST /runs.")

    @api.post("/threads/{thread_id}/runs/crons", summary="The same on a thread: not built", **absent)
    async def no_crons_on(thread_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        raise NotBuiltError(f"This server has no crons: let a scheduler call POST /threads/{thread_id}/runs.")

    return api
