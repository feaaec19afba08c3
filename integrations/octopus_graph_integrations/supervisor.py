"""create_octopus_supervisor: langgraph-supervisor's create_supervisor, with a router in the supervisor LLM's place."""

from collections.abc import Sequence
from typing import Any, Literal, NotRequired, cast, get_args
from uuid import uuid4

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, SystemMessage
from langgraph.graph import START, StateGraph  # pyright: ignore[reportMissingTypeStubs]
from langgraph.pregel.protocol import PregelProtocol  # pyright: ignore[reportMissingTypeStubs]
from typing_extensions import TypedDict, Unpack, get_type_hints

from octopus_graph.effects import Invoke, Logic, LogicRunnable
from octopus_graph.errors import ConfigurationError, UnknownExpertError
from octopus_graph.router import OctopusRouter
from octopus_graph.state import Hop, OctopusContext
from octopus_graph_integrations.agents import Experts, team_of
from octopus_graph_integrations.handoffs import Desk
from octopus_graph_integrations.teamwork import Closing, TeamNodes, TeamState, input_of
from octopus_graph_integrations.transcript import OutputMode

__all__ = ["create_octopus_supervisor"]


class _ForALanguageModel(TypedDict, total=False):
    """Parameters of create_supervisor that a router has no use for."""

    tools: Any
    pre_model_hook: Any
    post_model_hook: Any


_ADVICE = {
    "tools": "a router calls no tools, give them to an agent",
    "pre_model_hook": "no model is called before a handoff, so leave it out",
    "post_model_hook": "no model is called before a handoff, so leave it out",
}


class _StructuredState(TeamState):
    structured_response: NotRequired[Any]


def create_octopus_supervisor(  # noqa: PLR0913 - the parameters are create_supervisor's
    agents: Sequence[PregelProtocol[Any]],
    *,
    router: OctopusRouter,
    experts: Experts | None = None,
    fallback: str | None = None,
    defaults: OctopusContext | None = None,
    model: BaseChatModel | None = None,
    prompt: str | SystemMessage | None = None,
    response_format: Any = None,
    parallel_tool_calls: bool = False,
    state_schema: type[Any] | None = None,
    context_schema: type[Any] | None = None,
    output_mode: OutputMode = "last_message",
    add_handoff_messages: bool = True,
    handoff_tool_prefix: str | None = None,
    add_handoff_back_messages: bool | None = None,
    supervisor_name: str = "supervisor",
    include_agent_name: Literal["inline"] | None = None,
    **for_a_model: Unpack[_ForALanguageModel],
) -> StateGraph[Any, Any, Any, Any]:
    """Joins agents under a router that hands over to them.

    The signature is that of langgraph-supervisor's `create_supervisor`: replace `model=` by `router=` and say which of
    the router's experts each agent stands for. A request costs no call of a language model beyond those of the agents;
    what one agent answered is the answer, what several answered is joined.

    Example:
        >>> from octopus_graph.testing import EchoExpert, scripted_router
        >>> from octopus_graph import create_octopus_graph
        >>> router = scripted_router({"derivative": "math"})
        >>> sums = create_octopus_graph([EchoExpert("math")], router).compile(name="sums")
        >>> facts = create_octopus_graph([EchoExpert("history")], router).compile(name="facts")
        >>> graph = create_octopus_supervisor([sums, facts], router=router, experts={"sums": "math", "facts": "*"})
        >>> graph.compile().invoke({"messages": [("user", "the derivative of x^3?")]})["messages"][-1].text
        '[math] the derivative of x^3?'

    Args:
        agents: Compiled graphs with names, as of langchain's `create_agent`.
        router: Decides who is handed over to.
        experts: The router's expert or experts each agent stands for, by agent; `"*"` is every expert nobody else
            stands for. An agent that is left out must bear an expert's name.
        fallback: The agent that takes requests the router is not sure of. Without one they are declined.
        defaults: What a run's context is where the caller does not set it: hops, thresholds, `when_unsure`.
        model: Writes the closing answer where several agents answered, and the structured response. Nothing else.
        prompt: Tells that model how. It decides nothing: what agents are good for is what their experts are.
        response_format: A schema the model puts the answer into, as `structured_response` of the state; or (prompt,
            schema).
        parallel_tool_calls: Whether parts of a request that do not depend on each other go to their agents at the same
            time. (Requests the router is not sure of do so with `when_unsure="fan_out"` in the context.)
        state_schema: The state, with `messages`.
        context_schema: The context; `OctopusContext` by default, so that callers may set it run by run.
        output_mode: Whether an agent's last message is kept, or all of them.
        add_handoff_messages: Whether handoffs are written into the messages.
        handoff_tool_prefix: What the names of their tool calls begin with; `transfer_to_` by default.
        add_handoff_back_messages: Whether handoffs back are written too; by default as `add_handoff_messages`.
        supervisor_name: The name of the node that hands over.
        include_agent_name: `inline` puts agents' names into what the model reads.
        for_a_model: `tools`, `pre_model_hook` and `post_model_hook` of create_supervisor: refused with advice.

    Returns:
        A builder: call `compile(name=…)`, with a checkpointer if threads are to be remembered.

    Raises:
        ConfigurationError: If an agent cannot be used, or a parameter means nothing without a model.
        UnknownExpertError: If an agent stands for no expert of the router, or the fallback is no agent.
    """
    for name, value in for_a_model.items():
        if value:
            raise ConfigurationError(f"create_octopus_supervisor takes no {name}: {_ADVICE.get(name, 'leave it out')}.")
    if model is None and (prompt is not None or response_format is not None or include_agent_name):
        raise ConfigurationError(
            "prompt, response_format and include_agent_name are for the model that writes the closing answer: give a"
            " model too, or leave them out."
        )
    if output_mode not in get_args(OutputMode):
        raise ConfigurationError(
            f"There is no output_mode {output_mode!r}; there are {', '.join(get_args(OutputMode))}."
        )
    team = team_of(agents, experts, router.experts, (supervisor_name,))
    if fallback is not None and fallback not in team:
        raise UnknownExpertError(fallback, list(team), where="the supervisor's fallback")
    schema = state_schema or (TeamState if response_format is None else _StructuredState)
    back = add_handoff_messages if add_handoff_back_messages is None else add_handoff_back_messages
    nodes = TeamNodes(
        desk=Desk(team, router, fallback, checked(defaults, router), together=parallel_tool_calls),
        name=supervisor_name,
        output_mode=output_mode,
        handoff_messages=add_handoff_messages,
        back_messages=back,
        prefix=handoff_tool_prefix,
        closing=_closing(
            supervisor_name, model, prompt, response_format, inline=include_agent_name is not None, back=back
        ),
        keys=frozenset(get_type_hints(schema)) - frozenset(get_type_hints(TeamState)),
    )
    return assembled(nodes, schema, context_schema)


def checked(defaults: OctopusContext | None, router: OctopusRouter) -> OctopusContext:
    """Returns the defaults; a bound that the router cannot keep is an error now, not at the first request."""
    defaults = defaults or OctopusContext()
    if defaults.max_error is not None:
        router.min_confidence(defaults.max_error, whole_path=defaults.max_hops > 1)
    return defaults


def assembled(nodes: TeamNodes, schema: type[Any], context_schema: type[Any] | None) -> StateGraph[Any, Any, Any, Any]:
    """Puts a team's nodes into a graph.

    Raises:
        ConfigurationError: If the state has no messages, or a context allows agents that are not there.
    """
    if "messages" not in get_type_hints(schema):
        raise ConfigurationError(f"The state {schema.__name__} has no messages: add them, with add_messages.")
    for name in nodes.desk.defaults.experts or ():
        if name not in nodes.desk.team:
            raise UnknownExpertError(name, list(nodes.desk.team), where="the agents allowed")
    reads = input_of(schema)
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(schema, context_schema or OctopusContext)
    builder.add_node(  # pyright: ignore[reportUnknownMemberType]
        nodes.name,
        LogicRunnable(nodes.name, nodes.hand_over),
        destinations=nodes.destinations,
        input_schema=reads,
        metadata={"octopus_node": "route"},
    )
    for agent in nodes.desk.team.values():
        builder.add_node(  # pyright: ignore[reportUnknownMemberType]
            agent.name, nodes.agent(agent), input_schema=reads, metadata={"octopus_node": "expert"}
        )
        builder.add_edge(agent.name, nodes.name)
    builder.add_edge(START, nodes.name)
    return builder


def _closing(
    name: str,
    model: BaseChatModel | None,
    prompt: str | SystemMessage | None,
    response_format: Any,
    *,
    inline: bool,
    back: bool,
) -> Closing:
    """Makes what ends a turn: one agent's words as they are, several agents' joined, by the model if there is one."""

    def close(messages: Sequence[AnyMessage], hops: Sequence[Hop]) -> Logic[dict[str, Any]]:
        shown: list[BaseMessage] = [_named(message) if inline else message for message in messages]
        update: dict[str, Any] = {"messages": []}
        if len(hops) == 1:
            if back:  # else the agent's own message is the last one already
                update["messages"] = [AIMessage(hops[0]["answer"], name=name, id=str(uuid4()))]
        elif model is not None:
            told = [SystemMessage(prompt)] if isinstance(prompt, str) else [prompt] if prompt else []
            written: AIMessage = yield Invoke(model, [*told, *_asked(shown)])
            update["messages"] = [written.model_copy(update={"name": name})]
        else:
            parts = (f"## {hop['expert'].replace('_', ' ').capitalize()}\n\n{hop['answer']}" for hop in hops)
            update["messages"] = [AIMessage("\n\n".join(parts), name=name, id=str(uuid4()))]
        if model is not None and response_format is not None:
            pair: tuple[str | None, Any] = (None, response_format)
            if isinstance(response_format, tuple):
                pair = cast("tuple[str, Any]", response_format)
            system = [SystemMessage(pair[0])] if pair[0] else []
            form: Any = cast("Any", model).with_structured_output(pair[1])
            update["structured_response"] = yield Invoke(form, [*system, *_asked([*shown, *update["messages"]])])
        return update

    return close


def _asked(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Ends what the model reads with a request: some providers refuse a conversation that ends with an AI's words."""
    return [*messages, HumanMessage("Write the answer to my request from what was found.")]


def _named(message: AnyMessage) -> AnyMessage:
    if not isinstance(message, AIMessage) or not message.name or message.tool_calls:
        return message
    return message.model_copy(update={"content": f"<name>{message.name}</name><content>{message.text}</content>"})
