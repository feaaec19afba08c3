"""One run of the graph, as the events that clients of LangGraph's servers know: by stream mode and namespace."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from langchain_core.messages import BaseMessage, BaseMessageChunk, message_chunk_to_message
from langchain_core.runnables import RunnableConfig

from octopus_graph_server.langgraph_api.shapes import checkpoint_of
from octopus_graph_server.service import Graph

__all__ = ["Plan", "events_of"]

Said = tuple[str, Any]
Chunk = tuple[tuple[str, ...], str, Any]


@dataclass
class Plan:
    """A run that is about to go.

    Attributes:
        input: What the graph is given: an input, a command, or nothing to go on from where it stopped.
        config: Thread, checkpoint, run id, metadata.
        context: The run's context.
        modes: The stream modes that are asked for.
        options: What else `astream` takes.
        values: The last values of the graph itself, once it runs.
    """

    input: Any
    config: RunnableConfig
    context: Any
    modes: frozenset[str]
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    values: Any = None

    @property
    def run_id(self) -> str:
        """The run's id."""
        return str(self.config.get("run_id"))


async def events_of(graph: Graph, plan: Plan) -> AsyncGenerator[Said]:
    """Runs the graph.

    Yields:
        The name of each event and what it says.
    """
    partial: dict[str, BaseMessage] = {}
    source = _all_events(graph, plan) if "events" in plan.modes else _chunks(graph, plan)
    async with aclosing(source):
        async for space, mode, data in source:
            if mode == "values" and not space:
                plan.values = data
            for name, said in _named(mode, data, plan.modes, partial):
                yield ("|".join((name, *space)), said)


def _named(mode: str, data: Any, wanted: frozenset[str], partial: dict[str, BaseMessage]) -> list[Said]:
    match mode:
        case "messages" if "messages-tuple" in wanted:
            return [("messages", data)]
        case "messages" if "messages" in wanted:
            return _whole_messages(data[0], data[1], partial)
        case "debug" if mode in wanted:
            kind = data["type"]
            payload = _checkpoint(data["payload"]) if kind == "checkpoint" else data["payload"]
            return [(mode, {**data, "payload": payload})]
        case "checkpoints" if mode in wanted:
            return [(mode, _checkpoint(data))]
        case _ if mode in wanted:
            return [(mode, data)]
        case _:
            return []


def _whole_messages(message: BaseMessage, metadata: dict[str, Any], partial: dict[str, BaseMessage]) -> list[Said]:
    """In the mode `messages` each event holds all of a message that has been said so far."""
    key = str(message.id)
    said: list[Said] = []
    if key not in partial:
        partial[key] = message
        said.append(("messages/metadata", {key: {"metadata": metadata}}))
    elif isinstance(message, BaseMessageChunk):
        partial[key] = cast(BaseMessage, cast(Any, partial[key]) + message)
    whole = partial[key]
    name = "messages/partial" if isinstance(message, BaseMessageChunk) else "messages/complete"
    said.append((name, [message_chunk_to_message(whole)]))  # pyright: ignore[reportArgumentType]
    return said


def _checkpoint(payload: dict[str, Any]) -> dict[str, Any]:
    tasks: list[dict[str, Any]] = []
    for task in payload["tasks"]:
        below: dict[str, Any] = task.get("state") or {}
        tasks.append(
            {**{key: one for key, one in task.items() if key != "state"}, "checkpoint": below.get("configurable")}
        )
    return {
        **payload,
        "checkpoint": checkpoint_of(payload["config"]),
        "parent_checkpoint": checkpoint_of(payload.get("parent_config")),
        "tasks": tasks,
    }


def _modes(plan: Plan) -> list[Any]:
    """The modes the graph itself is asked for: its values always, for the run's result."""
    modes = (plan.modes - {"events", "messages-tuple"}) | {"values"}
    return sorted(modes | {"messages"} if "messages-tuple" in plan.modes else modes)


async def _chunks(graph: Graph, plan: Plan) -> AsyncGenerator[Chunk]:
    source: Any = graph
    streamed = source.astream(
        plan.input,
        plan.config,
        context=plan.context,
        stream_mode=_modes(plan),
        output_keys=graph.output_channels,
        **plan.options,
    )
    async with aclosing(streamed):
        async for chunk in streamed:
            yield chunk if plan.options["subgraphs"] else ((), *chunk)


async def _all_events(graph: Graph, plan: Plan) -> AsyncGenerator[Chunk]:
    source: Any = graph
    streamed = source.astream_events(
        plan.input,
        plan.config,
        version="v2",
        context=plan.context,
        stream_mode=_modes(plan),
        output_keys=graph.output_channels,
        **plan.options,
    )
    own = UUID(plan.run_id)
    async with aclosing(streamed):
        async for event in streamed:
            yield (), "events", event
            if event["event"] == "on_chain_stream" and UUID(event["run_id"]) == own:
                chunk = event["data"]["chunk"]
                yield chunk if plan.options["subgraphs"] else ((), *chunk)
