"""as_tool: a compiled octopus graph as one LangChain tool.

LangChain's own `graph.as_tool()` shows the model the JSON schema of every kind of message as the tool's description and
arguments, and gives back the whole state. This one takes a query and gives back the answer.
"""

from collections.abc import Mapping
from typing import Any, cast

from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import StructuredTool
from pydantic import BaseModel, Field

from octopus_graph.errors import ConfigurationError

__all__ = ["as_tool"]


class _Arguments(BaseModel):
    query: str = Field(description="What to ask, in words that need no context")


def as_tool(graph: Runnable[Any, Any], *, name: str | None = None, description: str | None = None) -> StructuredTool:
    """Makes a tool of a compiled graph, for an agent or a tool-calling model.

    Example:
        >>> from octopus_graph import create_octopus_graph
        >>> from octopus_graph.testing import EchoExpert, scripted_router
        >>> router = scripted_router({"x^3": "math"})
        >>> graph = create_octopus_graph([EchoExpert("math", "Calculates")], router).compile(name="octopus")
        >>> as_tool(graph).invoke({"query": "derivative of x^3?"})
        '[math] derivative of x^3?'

    Args:
        graph: Compiled; its state holds `messages`. Each call of the tool is a conversation of its own.
        name: What the model calls the tool; the graph's name where it is left out.
        description: What the tool is good for; its experts' names where it is left out.

    Raises:
        ConfigurationError: If the graph is not compiled, or there is no name for the tool.
    """
    if not isinstance(cast(object, graph), Runnable):
        raise ConfigurationError("The graph is not compiled: call its compile(name=…) first.")
    name = name or getattr(graph, "name", None)
    if not name:
        raise ConfigurationError("The tool has no name: compile the graph with one, or pass name.")
    experts = _experts(graph)
    if description is None and not experts:
        raise ConfigurationError("There is nothing to describe the tool by: pass description.")

    def ask(query: str, config: RunnableConfig) -> str:
        return _answer(graph.invoke({"messages": [HumanMessage(query)]}, config))

    async def ask_async(query: str, config: RunnableConfig) -> str:
        return _answer(await graph.ainvoke({"messages": [HumanMessage(query)]}, config))

    return StructuredTool.from_function(
        func=ask,
        coroutine=ask_async,
        name=name,
        description=description or f"Asks the one of these experts that knows best: {', '.join(experts)}.",
        args_schema=_Arguments,
    )


def _experts(graph: Any) -> list[str]:
    """Returns the names of an octopus graph's experts, in the words of people."""
    nodes = cast(Mapping[str, Any], getattr(graph, "nodes", {}))
    noted: dict[str, dict[str, Any]] = {name: node.metadata or {} for name, node in nodes.items()}
    return [name.replace("_", " ") for name, known in noted.items() if known.get("octopus_node") == "expert"]


def _answer(state: Any) -> str:
    messages = cast(list[AnyMessage], state["messages"])
    return str(messages[-1].text)
