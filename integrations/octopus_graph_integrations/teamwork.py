"""The nodes of a team: one that hands over, and one for each agent. `supervisor` and `swarm` put them together."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, cast
from uuid import UUID, uuid4, uuid5

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.config import get_stream_writer
from langgraph.graph import END  # pyright: ignore[reportMissingTypeStubs]
from langgraph.pregel.remote import RemoteGraph  # pyright: ignore[reportMissingTypeStubs]
from langgraph.types import Command, Overwrite
from typing_extensions import TypedDict, get_type_hints

from octopus_graph.effects import Logic
from octopus_graph.errors import InputError
from octopus_graph.state import Decision, Hop, OctopusState
from octopus_graph.turns import mended, request_of
from octopus_graph_integrations.agents import Agent
from octopus_graph_integrations.handoffs import Desk, hop_of
from octopus_graph_integrations.transcript import OutputMode, addressed, handed_back, handed_over, said

__all__ = ["Closing", "TeamNodes", "TeamState", "input_of"]

Closing = Callable[[Sequence[AnyMessage], Sequence[Hop]], Logic[dict[str, Any]]]
"""Takes the messages and hops of a turn that ends; gives what is added to the state."""

ACTIVE = "active_agent"


class TeamState(OctopusState):
    """What a team's graph keeps."""

    plan: list[Decision]
    """The agents at work now, one decision each; empty between turns."""


OWN_KEYS = frozenset(get_type_hints(TeamState)) - {"messages"}


def input_of(schema: type[Any]) -> type[Any]:
    """Makes the schema of what the nodes read: the application's state and the team's own."""
    hints = {**get_type_hints(schema, include_extras=True), **get_type_hints(TeamState, include_extras=True)}
    if "messages" in get_type_hints(schema):
        hints["messages"] = get_type_hints(schema, include_extras=True)["messages"]
    make: Any = TypedDict  # its types come as a dictionary here, which type checkers do not follow
    return make("TeamInput", hints, total=False)


@dataclass(frozen=True)
class TeamNodes:
    """The logic of the nodes.

    Attributes:
        desk: Decides.
        name: Of the node that hands over.
        output_mode: What of an agent's messages is kept.
        handoff_messages: Whether handoffs are written into the messages.
        back_messages: Whether handoffs back are.
        prefix: Of the tool calls that hand over.
        closing: Makes the answer.
        keys: The state's keys that agents may change.
        sticky: Whether the agent that answered last keeps the user where the router is not sure.
        default_active: The agent that has the user first, where `sticky`.
    """

    desk: Desk
    name: str
    output_mode: OutputMode
    handoff_messages: bool
    back_messages: bool
    prefix: str | None
    closing: Closing
    keys: frozenset[str]
    sticky: bool = False
    default_active: str | None = None

    def hand_over(self, state: dict[str, Any]) -> Logic[Command[Any]]:
        """Begins a turn, or goes on with it once every agent at work has answered."""
        messages: list[AnyMessage] = state["messages"]
        plan: list[Decision] = state.get("plan") or []
        if messages and isinstance(messages[-1], HumanMessage):
            return (yield from self._begin(state, messages))
        if not plan:
            raise InputError("There is no request: the last message must be the user's.")
        hops = _in_order(state["hops"], plan)
        unsure = bool(state["decision"]["also"]) and not state["decision"]["rewritten"]
        steps = yield from self.desk.next(state["request"], messages, hops, joined=unsure)
        giver = hops[-1]["expert"] if self.sticky else self.name
        return (yield from self._onwards(steps, _Turn(giver, messages, hops)))

    def _begin(self, state: Mapping[str, Any], messages: Sequence[AnyMessage]) -> Logic[Command[Any]]:
        request = request_of(messages)
        active = self._active(state)
        steps, asked = yield from self.desk.first(request, messages, active or self.name, active)
        turn = _Turn(active or self.name, messages, [])
        # Overwrite: the channel adds up, and the hops of the turn before are not this one's.
        update: dict[str, Any] = {"request": request, "hops": Overwrite([]), "messages": [*mended(messages), *asked]}
        return (yield from self._onwards(steps, turn, update))

    def _onwards(
        self, steps: Sequence[Decision], turn: "_Turn", update: Mapping[str, Any] = MappingProxyType({})
    ) -> Logic[Command[Any]]:
        """Goes where the decisions say, or ends the turn."""
        agents = [str(step["expert"]) for step in steps if step["expert"] is not None]
        new: list[AnyMessage] = list(update.get("messages", ()))
        if steps:
            decision = Decision({**steps[0], "also": agents[1:]})
            get_stream_writer()({"event": "decision", **decision})
            update = {**update, "decision": decision}
        if not agents:
            end = self.closing(turn.messages, turn.hops) if turn.hops else _declined(self.name, steps[0])
            closing = yield from end
            messages = [*new, *closing.get("messages", [])]
            return Command(goto=END, update={**update, **closing, "messages": messages, "plan": []})
        if self.handoff_messages and agents != [turn.giver]:
            new += handed_over(turn.giver, steps, self.prefix)
        if self.sticky:
            update = {**update, ACTIVE: agents[-1]}
        return Command(goto=agents, update={**update, "plan": list(steps), "messages": new})

    def _active(self, state: Mapping[str, Any]) -> str | None:
        if not self.sticky:
            return None
        active = state.get(ACTIVE) or self.default_active
        if active not in self.desk.team:
            raise InputError(f"There is no agent {active!r} to be active; there are {', '.join(self.desk.team)}.")
        return str(active)

    def agent(self, agent: Agent) -> RunnableLambda[Any, Any]:
        """Makes the node of an agent."""
        graph: Runnable[Any, Any] = agent.graph  # in the closures below, where LangGraph looks for sub-graphs

        def call(state: dict[str, Any], config: RunnableConfig) -> dict[str, Any]:
            asked = self._asked(agent, state)
            return self._heard(state, asked, graph.invoke(asked.given, _own(graph, config)))

        async def acall(state: dict[str, Any], config: RunnableConfig) -> dict[str, Any]:
            asked = self._asked(agent, state)
            return self._heard(state, asked, await graph.ainvoke(asked.given, _own(graph, config)))

        return RunnableLambda(call, afunc=acall, name=agent.name)

    def _asked(self, agent: Agent, state: dict[str, Any]) -> "_Asked":
        step = next((step for step in state.get("plan") or () if step["expert"] == agent.name), None)
        if step is None:
            raise InputError(f"The plan of this run names no {agent.name!r}: leave it in place when you edit a run.")
        messages = addressed(state["messages"], step["query"], as_user=agent.routes)
        given = {key: value for key, value in state.items() if key not in OWN_KEYS}
        return _Asked(agent, step, {**given, "messages": messages}, time.perf_counter())

    def _heard(self, state: dict[str, Any], asked: "_Asked", output: object) -> dict[str, Any]:
        name, step = asked.agent.name, asked.step
        new, text = said(name, step["token"], asked.given["messages"], output, self.output_mode)
        if self.back_messages:
            new += handed_back(name, self.name)
        hop = hop_of(step, text, time.perf_counter() - asked.at)
        get_stream_writer()({"event": "hop", **hop})
        # Only what changed: agents that work at the same time would else all write every key, which LangGraph forbids.
        changed = {
            key: value
            for key, value in cast("dict[str, Any]", output).items()
            if key in self.keys and value is not state.get(key) and value != state.get(key)
        }
        return {**changed, "messages": new, "hops": [hop]}

    @cached_property
    def destinations(self) -> tuple[str, ...]:
        """Where the node that hands over may go."""
        return (*self.desk.team, END)


@dataclass(frozen=True)
class _Turn:
    giver: str
    """Who hands over: the node, or in a swarm the agent that has the user."""
    messages: Sequence[AnyMessage]
    hops: Sequence[Hop]


@dataclass(frozen=True)
class _Asked:
    agent: Agent
    step: Decision
    given: dict[str, Any]
    at: float


def _declined(name: str, decision: Decision) -> Logic[dict[str, Any]]:
    yield from ()  # nothing to wait for
    likeliest = ", ".join(f"{agent} ({share:.0%})" for agent, share in decision["top"])
    text = f"No agent is sure enough to be asked; the likeliest are {likeliest}: please say more about what you need."
    return {"messages": [AIMessage(text, name=name, id=str(uuid4()))]}


def _in_order(hops: Sequence[Hop], plan: Sequence[Decision]) -> list[Hop]:
    """Puts agents that worked at the same time, the last ones of the hops, in the order of the plan."""
    order = [step["expert"] for step in plan]
    settled, together = hops[: len(hops) - len(plan)], hops[len(hops) - len(plan) :]
    return [*settled, *sorted(together, key=lambda hop: order.index(hop["expert"]))]


def _own(graph: Runnable[Any, Any], config: RunnableConfig) -> RunnableConfig:
    """Gives a graph on another server a thread of its own, the same one in every turn."""
    thread = config.get("configurable", {}).get("thread_id")
    if not isinstance(graph, RemoteGraph) or not thread:
        return config
    own = str(uuid5(UUID(str(thread)), str(graph.name)))
    return {**config, "configurable": {**config.get("configurable", {}), "thread_id": own}}
