"""The graphs that LangGraph Studio opens; `integrations/studio/langgraph.json` names them.

    octopus   the shipped graph, or the file that `OCTOPUS_GRAPH` names; with `OCTOPUS_DRY_RUN=1` an echo in each
              expert's place, which is all that debugging routes needs
    office    agents under a router: sub-graphs to unfold, and one that asks a human before it acts

Both are made when they are first opened, in a thread, and once. Studio brings the checkpointer.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import START, MessagesState, StateGraph  # pyright: ignore[reportMissingTypeStubs]
from langgraph.types import interrupt

from octopus_graph.router import OctopusRouter
from octopus_graph.spec import build_graph, load_spec
from octopus_graph.spec.models import EMBEDDED
from octopus_graph_integrations.supervisor import create_octopus_supervisor

__all__ = ["octopus", "office"]

_LOADING = threading.Lock()


async def octopus() -> Any:
    """Opens the graph of a graph file."""
    return await _once(_octopus)


async def office() -> Any:
    """Opens a team of agents that are plain functions, so that it needs no key."""
    return await _once(_office)


async def _once(make: Callable[[], Any]) -> Any:
    def alone() -> Any:
        with _LOADING:  # whoever comes second finds it made
            return make()

    return await asyncio.to_thread(alone)


@cache
def _router() -> OctopusRouter:
    return OctopusRouter.from_pretrained()


@cache
def _octopus() -> Any:
    spec = load_spec(os.environ.get("OCTOPUS_GRAPH", "default"))
    dry_run = os.environ.get("OCTOPUS_DRY_RUN", "0") not in ("", "0")
    builder: Any = build_graph(spec, dry_run=dry_run, router=_router() if spec.router.model == EMBEDDED else None).graph
    return builder.compile(name="octopus")


@cache
def _office() -> Any:
    researcher: Any = StateGraph(MessagesState)  # LangGraph leaves types of its own parameters open
    researcher.add_node("look_up", _look_up).add_edge(START, "look_up")
    lawyer: Any = StateGraph(MessagesState)
    lawyer.add_node("draft", _draft).add_node("approve", _approve).add_edge(START, "draft").add_edge("draft", "approve")
    builder: Any = create_octopus_supervisor(
        [researcher.compile(name="researcher"), lawyer.compile(name="lawyer")],
        router=_router(),
        experts={"lawyer": "law", "researcher": "*"},
    )
    return builder.compile(name="office")


def _look_up(state: MessagesState) -> dict[str, Any]:
    return {"messages": [AIMessage(f"I looked up: {_request(state)}")]}


def _draft(state: MessagesState) -> dict[str, Any]:
    return {"messages": [AIMessage(f"Draft of a letter about: {_request(state)}")]}


def _approve(state: MessagesState) -> dict[str, Any]:
    reply = interrupt({"question": "May I send this letter?", "letter": str(state["messages"][-1].text)})
    return {"messages": [AIMessage(f"The human said: {reply}")]}


def _request(state: MessagesState) -> str:
    return next(str(message.text) for message in reversed(state["messages"]) if isinstance(message, HumanMessage))
