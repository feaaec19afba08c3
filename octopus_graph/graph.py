"""create_octopus_graph: experts and a router in, an uncompiled LangGraph builder out."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from langchain_core.runnables import Runnable, RunnableLambda
from langgraph.graph import END, START, StateGraph  # pyright: ignore[reportMissingTypeStubs]
from langgraph.pregel.protocol import PregelProtocol  # pyright: ignore[reportMissingTypeStubs]

from octopus_graph.caching import GraphCache
from octopus_graph.effects import LogicRunnable
from octopus_graph.engines.base import Embeds
from octopus_graph.errors import ConfigurationError, UnknownExpertError
from octopus_graph.experts import Expert
from octopus_graph.nodes import FINISH, ROUTE, Nodes
from octopus_graph.router import OctopusRouter
from octopus_graph.state import OctopusContext, OctopusInput, OctopusState

__all__ = ["create_octopus_graph"]

_RESERVED = {ROUTE, FINISH, "end"}  # nodes, and what a decision calls the end


def create_octopus_graph(
    experts: Sequence[Expert],
    router: OctopusRouter,
    *,
    fallback: str | None = None,
    defaults: OctopusContext | None = None,
    cache: GraphCache | None = None,
) -> StateGraph[OctopusState, OctopusContext, OctopusInput, OctopusState]:
    """Joins experts into a graph that answers as one model.

    The builder is returned uncompiled: the caller picks checkpointer and store.

    Example:
        >>> from octopus_graph.testing import EchoExpert, scripted_router
        >>> router = scripted_router({"derivative": "math"})
        >>> graph = create_octopus_graph([EchoExpert("math"), EchoExpert("law")], router).compile(name="octopus")
        >>> graph.invoke({"messages": [("user", "the derivative of x^3?")]})["messages"][-1].text
        '[math] the derivative of x^3?'

    Args:
        experts: Who can be asked; the router must know each of them, and may know more.
        router: Decides who is asked.
        fallback: The expert that takes requests of which the router is less sure than the run's `min_confidence`.
            Without one such requests are declined with a sentence that names the likeliest experts.
        defaults: What a run's context is where the caller does not set it.
        cache: What of decisions and answers is kept for other runs and other processes, and where. (The cache that
            `compile` takes is for nodes with a cache policy, of which there are none here.)

    Returns:
        A builder: call `compile(name="octopus")`, with a checkpointer if threads are to be remembered.

    Raises:
        UnknownExpertError: If the router, a neighbour, a fallback or the allow-list names an expert that is not there.
        MissingExtraError: If a semantic cache lacks numpy.
        ConfigurationError: If there is no expert, a name stands twice or is taken by the graph itself, the defaults
            bound the error of a router that carries no calibration, or answers cannot be kept as the cache says.
    """
    defaults = defaults or OctopusContext()
    by_name = _by_name(experts, router)
    _check_names(by_name, fallback, defaults)
    if defaults.max_error is not None:
        # An error now, not at the first request.
        router.min_confidence(defaults.max_error, whole_path=defaults.max_hops > 1)
    if cache is not None:
        _check_cache(cache, by_name, router)
    nodes = Nodes(by_name, router, fallback, defaults, cache)

    builder = StateGraph(OctopusState, OctopusContext, input_schema=OctopusInput, output_schema=OctopusState)
    logic: dict[str, tuple[str, Runnable[OctopusState, Any], tuple[str, ...]]] = {
        ROUTE: ("route", LogicRunnable(ROUTE, nodes.route), (*by_name, FINISH)),
        FINISH: ("finish", LogicRunnable(FINISH, nodes.finish), ()),
    }
    for name, expert in by_name.items():
        answer = LogicRunnable(name, partial(nodes.answer, expert))
        graph: Any = expert.runnable
        node = _unfoldable(answer, graph) if isinstance(graph, PregelProtocol) else answer
        logic[name] = ("expert", node, (*nodes.neighbours(expert), FINISH))
    for name, (kind, runnable, destinations) in logic.items():
        # Metadata travels with every streamed token: a client tells an expert's words from the run's answer by it.
        builder.add_node(  # pyright: ignore[reportUnknownMemberType]
            name, runnable, destinations=destinations, metadata={"octopus_node": kind}
        )
    builder.add_edge(START, ROUTE)
    builder.add_edge(FINISH, END)
    return builder


def _unfoldable(logic: LogicRunnable[OctopusState, Any], graph: Any) -> RunnableLambda[OctopusState, Any]:
    """Lets LangGraph see an expert that is a graph: it looks for sub-graphs in the variables of a node's function."""

    def call(state: OctopusState) -> Any:
        return logic.invoke(state) if graph else None

    async def acall(state: OctopusState) -> Any:
        return await logic.ainvoke(state) if graph else None

    return RunnableLambda(call, afunc=acall, name=logic.name)


def _by_name(experts: Sequence[Expert], router: OctopusRouter) -> dict[str, Expert]:
    if not experts:
        raise ConfigurationError("A graph needs at least one expert: give it one.")
    by_name: dict[str, Expert] = {}
    for expert in experts:
        if expert.name in by_name:
            raise ConfigurationError(f"Two experts are named {expert.name!r}: rename one of them.")
        if expert.name in _RESERVED or expert.name.startswith("__"):  # LangGraph's own names begin so
            raise ConfigurationError(f"The graph itself has a {expert.name!r}: give that expert another name.")
        if expert.name not in router.experts:
            raise UnknownExpertError(expert.name, list(router.experts), where="the router")
        by_name[expert.name] = expert
    return by_name


def _check_names(experts: dict[str, Expert], fallback: str | None, defaults: OctopusContext) -> None:
    named = [("the graph's fallback", fallback), *(("the experts allowed", name) for name in defaults.experts or ())]
    for expert in experts.values():
        named += [(f"neighbours of {expert.name}", neighbour) for neighbour in expert.neighbours or ()]
        named.append((f"fallback of {expert.name}", expert.fallback))
    for where, name in named:
        if name is not None and name not in experts:
            raise UnknownExpertError(name, list(experts), where=where)


def _check_cache(cache: GraphCache, experts: dict[str, Expert], router: OctopusRouter) -> None:
    for name in cache.answers:
        if name not in experts:
            raise UnknownExpertError(name, list(experts), where="the experts whose answers are cached")
        if experts[name].takes == "state":
            raise ConfigurationError(
                f"The answers of {name!r} cannot be cached: it takes the whole state, which is never the same twice."
            )
    if cache.semantic is not None and not isinstance(router.engine, Embeds):
        raise ConfigurationError(
            "This router's engine makes no vectors of questions: leave the cache's semantic threshold out."
        )
    if cache.semantic is not None:
        _ = cache.store.vectors  # an error now, not at the first question
