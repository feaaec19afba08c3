"""Agents a router can hand over to: compiled graphs with names, each standing for some of the router's experts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.runnables import Runnable
from langgraph.pregel.protocol import PregelProtocol  # pyright: ignore[reportMissingTypeStubs]

from octopus_graph.errors import ConfigurationError, UnknownExpertError

__all__ = ["REST", "Agent", "Experts", "team_of"]

REST = "*"
"""Stands for every expert of the router that no other agent stands for."""

Experts = Mapping[str, str | Sequence[str]]
"""Agent by agent, the expert or experts of the router that it stands for."""

NAMELESS = (None, "", "LangGraph")  # the last is what LangGraph calls a graph that was given no name
RESERVED = ("end",)  # what a decision calls the end
_HANDOFF = "__handoff_destination"  # where langgraph-supervisor and langgraph-swarm keep it in a tool's metadata


@dataclass(frozen=True)
class Agent:
    """An agent, and what the router knows it by.

    Attributes:
        name: Of the agent and of its node.
        graph: What answers.
        experts: The router's experts it stands for, its main one first.
    """

    name: str
    graph: Runnable[Any, Any]
    experts: tuple[str, ...]

    @property
    def routes(self) -> bool:
        """Says whether it is a graph of ours, which takes a request from the user and nobody else."""
        return {"hops", "decision"} <= set(getattr(self.graph, "channels", ()))


def team_of(
    agents: Sequence[PregelProtocol[Any]], experts: Experts | None, known: Sequence[str], reserved: Iterable[str] = ()
) -> dict[str, Agent]:
    """Checks agents and finds the experts they stand for.

    Args:
        agents: Compiled graphs with names.
        experts: Who stands for which expert; an agent that is not in it must bear an expert's name.
        known: The router's experts.
        reserved: Names of further nodes.

    Returns:
        The agents by name, in their order.

    Raises:
        ConfigurationError: If an agent has no name, keeps no messages or hands over by itself, if two share a name or
            an expert, or if there is none.
        UnknownExpertError: If an agent stands for no expert of the router, or `experts` names an agent not given.
    """
    if not agents:
        raise ConfigurationError("There is no agent: give at least one compiled graph.")
    names: list[str] = []
    for agent in agents:
        name = _checked(agent)
        if name in names:
            raise ConfigurationError(f"Two agents are named {name!r}: rename one of them.")
        if name in (*RESERVED, *reserved):
            raise ConfigurationError(f"The graph itself has a {name!r}: give that agent another name.")
        names.append(name)
    for agent in agents:
        _check_handoffs(agent, names)
    for name in experts or ():
        if name not in names:
            raise ConfigurationError(
                f"experts names an agent {name!r} that is not given; given are {', '.join(names)}."
            )
    shares = _shares(names, experts or {}, known)
    by_name = zip(names, agents, strict=True)
    return {name: Agent(name, cast("Runnable[Any, Any]", graph), shares[name]) for name, graph in by_name}


def _checked(agent: Any) -> str:
    """Returns the name of what can be an agent."""
    name: str | None = getattr(agent, "name", None)
    if hasattr(agent, "compile") and not isinstance(agent, Runnable):
        raise ConfigurationError("An agent's graph is not compiled: call its compile(name='…') first.")
    if not isinstance(agent, PregelProtocol):
        kind = type(cast("object", agent)).__name__
        raise ConfigurationError(f"A {kind} is no agent: give compiled graphs, as langchain's create_agent makes them.")
    if name in NAMELESS:
        raise ConfigurationError(
            "An agent has no name, so nobody can hand over to it: create_agent(…, name='…') or compile(name='…')."
        )
    channels: dict[str, Any] = getattr(cast("Any", agent), "channels", {})
    # A workflow of LangGraph's functional interface does not say what it takes.
    if channels and "messages" not in channels and "__end__" not in channels:
        raise ConfigurationError(
            f"The state of agent {name!r} has no messages, and it is by messages that agents talk."
        )
    return str(name)


def _check_handoffs(agent: PregelProtocol[Any], names: Sequence[str]) -> None:
    """Refuses an agent whose own model can hand over: a handoff beside another tool call would lose its result."""
    nodes: Any = getattr(agent, "nodes", None) or {}
    for node in nodes.values():
        tools: dict[str, Any] = getattr(getattr(node, "bound", None), "tools_by_name", None) or {}
        for tool in tools.values():
            metadata: dict[str, Any] = getattr(tool, "metadata", None) or {}
            if metadata.get(_HANDOFF) in names:
                raise ConfigurationError(
                    f"Agent {agent.name!r} has the handoff tool {tool.name!r}: take it away, the router hands over."
                )


def _shares(names: Sequence[str], experts: Experts, known: Sequence[str]) -> dict[str, tuple[str, ...]]:
    shares: dict[str, tuple[str, ...]] = {}
    for name in names:
        wanted = experts.get(name, name)
        shares[name] = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        for expert in shares[name]:
            if expert != REST and expert not in known:
                advice = "" if name in experts else f" (say which one it stands for: experts={{{name!r}: …}})"
                raise UnknownExpertError(expert, list(known), where=f"agent {name}{advice}")
        if not shares[name]:
            raise ConfigurationError(f"Agent {name!r} stands for no expert: name one, or take the agent away.")
    named = [expert for share in shares.values() for expert in share]
    twice = sorted({expert for expert in named if named.count(expert) > 1})
    if twice:
        raise ConfigurationError(f"Two agents stand for {', '.join(map(repr, twice))}: give it to one of them.")
    rest = tuple(expert for expert in known if expert not in named)
    return {
        name: tuple(one for expert in share for one in (rest if expert == REST else (expert,)))
        for name, share in shares.items()
    }
