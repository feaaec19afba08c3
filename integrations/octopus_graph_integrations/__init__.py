"""octopus-graph for LangChain and LangGraph: drop-ins that put the router where a model decided before.

    ChatOctopus                 a chat model that hands each conversation to the expert that knows best
    OctopusMiddleware           chooses an agent's model, or the tools it sees, at each call of the model
    as_tool                     a compiled octopus graph as one tool
    create_octopus_supervisor   for langgraph-supervisor's create_supervisor
    create_octopus_swarm        for langgraph-swarm's create_swarm

The package imports the core, `octopus_graph`, and never the server.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from octopus_graph_integrations.agent_tool import as_tool
    from octopus_graph_integrations.chat_model import ChatOctopus
    from octopus_graph_integrations.middleware import OctopusMiddleware
    from octopus_graph_integrations.supervisor import create_octopus_supervisor
    from octopus_graph_integrations.swarm import OctopusSwarmState, create_octopus_swarm

__all__ = [
    "ChatOctopus",
    "OctopusMiddleware",
    "OctopusSwarmState",
    "as_tool",
    "create_octopus_supervisor",
    "create_octopus_swarm",
]

_HOMES = {
    "agent_tool": ("as_tool",),
    "chat_model": ("ChatOctopus",),
    "middleware": ("OctopusMiddleware",),
    "supervisor": ("create_octopus_supervisor",),
    "swarm": ("OctopusSwarmState", "create_octopus_swarm"),
}


def __getattr__(name: str) -> Any:
    """Imports a name when it is first asked for: whoever wants a middleware does not wait for the rest."""
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"octopus_graph_integrations.{home}"), name)
            return value
    raise AttributeError(f"module 'octopus_graph_integrations' has no attribute {name!r}")
