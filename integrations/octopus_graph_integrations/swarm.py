"""create_octopus_swarm: langgraph-swarm's create_swarm with a router in the place of the agents' handoff tools."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AnyMessage
from langgraph.graph import StateGraph  # pyright: ignore[reportMissingTypeStubs]
from langgraph.pregel.protocol import PregelProtocol  # pyright: ignore[reportMissingTypeStubs]
from typing_extensions import get_type_hints

from octopus_graph.effects import Logic
from octopus_graph.errors import ConfigurationError, UnknownExpertError
from octopus_graph.router import OctopusRouter
from octopus_graph.state import Hop, OctopusContext
from octopus_graph_integrations.agents import Experts, team_of
from octopus_graph_integrations.handoffs import Desk
from octopus_graph_integrations.supervisor import assembled, checked
from octopus_graph_integrations.teamwork import ACTIVE, TeamNodes, TeamState

__all__ = ["OctopusSwarmState", "create_octopus_swarm"]

ROUTER = "router"  # the node that hands over
STAYS = OctopusContext(min_confidence=0.5)  # the user changes agents only where the router is sure rather than not


class OctopusSwarmState(TeamState):
    """What a swarm keeps."""

    active_agent: str | None
    """The agent that has the user; the next turn begins with it."""


def create_octopus_swarm(
    agents: Sequence[PregelProtocol[Any]],
    *,
    default_active_agent: str,
    router: OctopusRouter,
    experts: Experts | None = None,
    defaults: OctopusContext | None = None,
    state_schema: type[Any] | None = None,
    context_schema: type[Any] | None = None,
) -> StateGraph[Any, Any, Any, Any]:
    """Joins agents that share a conversation: one of them has the user until the router is sure of another.

    The signature is that of langgraph-swarm's `create_swarm`, with `router=` added; the agents need no handoff tools,
    and may not have any.

    Args:
        agents: Compiled graphs with names, as of langchain's `create_agent`.
        default_active_agent: The agent that has the user first.
        router: Decides who is handed over to.
        experts: The router's expert or experts each agent stands for, as in `create_octopus_supervisor`.
        defaults: What a run's context is where the caller does not set it. Below its `min_confidence`, 0.5 by default,
            the active agent keeps the user.
        state_schema: The state, with `messages` and `active_agent`.
        context_schema: The context; `OctopusContext` by default.

    Returns:
        A builder: call `compile(name=…)`, with a checkpointer, so that the active agent is remembered.

    Raises:
        ConfigurationError: If an agent or the state cannot be used.
        UnknownExpertError: If an agent stands for no expert of the router, or the first agent is none of them.
    """
    team = team_of(agents, experts, router.experts, (ROUTER,))
    if default_active_agent not in team:
        raise UnknownExpertError(default_active_agent, list(team), where="default_active_agent")
    schema = state_schema or OctopusSwarmState
    if ACTIVE not in get_type_hints(schema):
        raise ConfigurationError(f"The state {schema.__name__} has no {ACTIVE}: add `{ACTIVE}: str | None`.")
    nodes = TeamNodes(
        desk=Desk(team, router, None, checked(defaults or STAYS, router)),
        name=ROUTER,
        output_mode="full_history",
        handoff_messages=True,
        back_messages=False,
        prefix=None,
        closing=_nothing_more,
        keys=frozenset(get_type_hints(schema)) - frozenset(get_type_hints(TeamState)) - {ACTIVE},
        sticky=True,
        default_active=default_active_agent,
    )
    return assembled(nodes, schema, context_schema)


def _nothing_more(messages: Sequence[AnyMessage], hops: Sequence[Hop]) -> Logic[dict[str, Any]]:
    """Adds nothing: the agents have spoken to the user themselves."""
    del messages, hops
    yield from ()  # nothing to wait for
    return {}
