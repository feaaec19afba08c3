"""octopus-graph: a graph of language models that behaves like one model.

Example:
    >>> from octopus_graph import Expert, OctopusRouter, create_octopus_graph
    >>> router = OctopusRouter.from_pretrained()  # doctest: +SKIP
    >>> graph = create_octopus_graph([Expert("math", "Mathematics", chat_model)], router)  # doctest: +SKIP
    >>> graph.compile().invoke({"messages": [("user", "2 + 2?")]})  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from octopus_graph.errors import OctopusError
    from octopus_graph.experts import Expert
    from octopus_graph.graph import create_octopus_graph
    from octopus_graph.router import OctopusRouter, RouterDecision
    from octopus_graph.spec import build_graph, load_spec
    from octopus_graph.state import Hop, OctopusContext, OctopusState
    from octopus_graph.tokens import FunctionalTokens

__all__ = [
    "Expert",
    "FunctionalTokens",
    "Hop",
    "OctopusContext",
    "OctopusError",
    "OctopusRouter",
    "OctopusState",
    "RouterDecision",
    "build_graph",
    "create_octopus_graph",
    "load_spec",
]

_HOMES = {
    "errors": ("OctopusError",),
    "experts": ("Expert",),
    "graph": ("create_octopus_graph",),
    "router": ("OctopusRouter", "RouterDecision"),
    "spec": ("build_graph", "load_spec"),
    "state": ("Hop", "OctopusContext", "OctopusState"),
    "tokens": ("FunctionalTokens",),
}


def __getattr__(name: str) -> Any:
    """Imports a name when it is first asked for: LangGraph takes a second, and `octopus-graph --help` needs none."""
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"octopus_graph.{home}"), name)
            return value
    raise AttributeError(f"module 'octopus_graph' has no attribute {name!r}")
