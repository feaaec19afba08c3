"""Why a run failed, in words for its client: what it is called, and one sentence without anything that was asked."""

from typing import Any

from langgraph.errors import (  # pyright: ignore[reportMissingTypeStubs]
    EmptyInputError,
    GraphRecursionError,
    InvalidUpdateError,
)

from octopus_graph.errors import OctopusError
from octopus_graph_server.problems import refusal_of

__all__ = ["STOPPED", "failure_of"]

STOPPED = {
    "error": "ServerStopped",
    "message": "The server stopped while this run went on: run the thread again with input null, and it goes on from"
    " its last checkpoint.",
}
_SAID: dict[type[BaseException], str] = {
    EmptyInputError: "There is nothing to run: give an input, or a command where the thread was interrupted.",
    GraphRecursionError: "The run took more steps than it may: raise recursion_limit, or ask for less.",
    InvalidUpdateError: "The graph cannot take this update: see its input schema, and name a node that may write it.",
}


def failure_of(error: BaseException) -> dict[str, Any]:
    """Puts an error into words."""
    for kind, sentence in _SAID.items():
        if isinstance(error, kind):
            return {"error": type(error).__name__, "message": sentence}
    name = type(error).__name__ if isinstance(error, OctopusError) else "InternalError"
    return {"error": name, "message": str(refusal_of(error))}
