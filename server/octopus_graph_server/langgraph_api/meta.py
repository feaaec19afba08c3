"""What clients ask first: whether the server is there, and what it can do."""

from importlib.metadata import version

from fastapi import APIRouter
from starlette.responses import Response

from octopus_graph_server.langgraph_api.bodies import router
from octopus_graph_server.langgraph_api.shapes import Json
from octopus_graph_server.problems import RefusedError

__all__ = ["routes"]

SPOKEN = "0.16.0"  # the version of LangGraph's API that these endpoints follow; Studio wants 0.4.35 or later


class NotBuiltError(RefusedError):
    """What the API has and this server has not."""

    status = 501
    code = "not_implemented"


def routes() -> APIRouter:
    """Makes the endpoints."""
    api = router("Health")

    @api.get("/ok", summary="Say that the server is there")
    async def ok() -> Response:  # pyright: ignore[reportUnusedFunction]
        return Json({"ok": True})

    @api.get("/info", summary="Say what the server can do")
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

    @api.api_route("/runs/crons", methods=["POST"], include_in_schema=False)
    @api.api_route("/runs/crons/{rest:path}", methods=["GET", "POST", "PATCH", "DELETE"], include_in_schema=False)
    @api.api_route("/threads/{thread_id}/runs/crons", methods=["POST"], include_in_schema=False)
    async def crons(thread_id: str = "", rest: str = "") -> Response:  # pyright: ignore[reportUnusedFunction]
        del thread_id, rest
        raise NotBuiltError("This server has no crons: let the system's own scheduler call POST /runs.")

    return api
