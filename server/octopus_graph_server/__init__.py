"""octopus-graph over HTTP: one server that the clients people already have can speak to.

    logs       the outermost layer: request id, one log line and the metrics of each request, the last stop of errors
    guard      who may ask, and how much: keys, hosts, body, depth, time, runs
    problems   errors as clients read them
    app        create_app: puts the layers around the endpoints
    service    what all endpoints share: graph, router, experts, saver, settings
    running     from messages to an answer, once for every API: the graph walks, or one expert holds the conversation
    health, decide, openai_api, langgraph_api, mcp, a2a        the endpoints

The package imports the core, `octopus_graph`, and never the integrations.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from octopus_graph_server.app import create_app
    from octopus_graph_server.settings import ServerSettings

__all__ = ["ServerSettings", "create_app"]

_HOMES = {"ServerSettings": "settings", "create_app": "app"}


def __getattr__(name: str) -> Any:
    """Imports a name when it is first asked for, for the extra `server` may be missing.

    Raises:
        MissingExtraError: If it is.
    """
    if name not in _HOMES:
        raise AttributeError(f"module 'octopus_graph_server' has no attribute {name!r}")
    try:
        module = import_module(f"octopus_graph_server.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0].startswith("octopus_graph"):
            raise
        from octopus_graph.errors import MissingExtraError

        raise MissingExtraError("server", "The HTTP server") from error
    value = globals()[name] = getattr(module, name)
    return value
