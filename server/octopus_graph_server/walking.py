"""A run of the graph, told as it goes."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, cast
from uuid import UUID

from langchain_core.messages import AIMessageChunk
from langchain_core.runnables.config import merge_configs
from langgraph.types import Command

from octopus_graph.experts import Expert
from octopus_graph.options import chat_model_of, with_options
from octopus_graph_server.listening import Listener, Speech
from octopus_graph_server.running import Ask, Decided, Ended, Event, Hopped, Stopped, Words
from octopus_graph_server.service import Service

__all__ = ["Telling", "heading", "walk"]


async def walk(service: Service, ask: Ask, run_id: str) -> AsyncGenerator[Event]:
    """Runs the graph on a conversation; without a thread nothing of it is kept.

    Raises:
        OctopusError: What the graph raises.
    """
    listener, telling = Listener(), Telling(service.experts)
    values: dict[str, Any] = {}
    async with aclosing(await _stream(service, ask, run_id, listener)) as events:
        async for mode, event in events:
            if mode == "values":
                values = event
            elif mode == "updates":
                for stop in event.get("__interrupt__", ()):
                    for told in telling.nobody():
                        yield told
                    yield Stopped(_question(stop.value))
                    return
            else:
                for told in telling.messages(*event) if mode == "messages" else telling.custom(event):
                    yield told
    if telling.answer is None:  # a graph of somebody else's: its last message is the answer
        telling.answer = str(values["messages"][-1].text) if values.get("messages") else ""
        for told in telling.nobody():
            yield told
        yield Words(telling.answer)
    if telling.hops:
        service.earlier.remember(ask.messages, telling.answer, str(telling.hops[0]["expert"]))
    yield Ended(telling.answer, hops=tuple(telling.hops), usage=listener.usage, cut=listener.cut)


async def _stream(service: Service, ask: Ask, run_id: str, listener: Listener) -> Any:
    config = with_options({"run_id": UUID(run_id), "callbacks": [listener]}, ask.options)
    own = service.router is not None
    modes = ["custom", *(["messages"] if ask.words else []), *([] if own else ["values"])]
    graph: Any = service.stateless
    given: Any
    if ask.thread and service.saver is not None:
        graph = service.graph
        config = merge_configs(config, {"configurable": {"thread_id": ask.thread}})
        modes.append("updates")
        if (await graph.aget_state(config)).interrupts:
            given = Command(resume=str(ask.messages[-1].text))
        else:
            given = {"messages": list(ask.messages)}
    else:
        given = {"messages": await service.earlier.told(ask.messages, service.router)}
    return graph.astream(given, config, context=ask.context if own else None, stream_mode=modes)


def _question(value: Any) -> str:
    return str(cast(dict[str, Any], value).get("question", value) if isinstance(value, dict) else value)


class Telling:
    """Makes events of what a graph streams.

    Words of an expert that is a chat model come as they are spoken; of all others the answer comes whole, for a chain
    may speak before it answers. The answer of several hops has headings; the first part goes out before anybody knows
    that there will be a second one, so in a stream it has none.
    """

    def __init__(self, experts: Mapping[str, Expert]) -> None:
        """Takes the experts of the graph."""
        self.hops: list[Mapping[str, Any]] = []
        self.answer: str | None = None
        self._speakers = {name for name, expert in experts.items() if chat_model_of(expert.runnable) is not None}
        self._expert: str | None = None
        self._together = False
        self._speech = Speech()
        self._opening = ""
        self._decided = False

    def custom(self, event: Any) -> list[Event]:
        """Takes an event of the graph's own."""
        if not isinstance(event, dict):
            return []
        event = cast(dict[str, Any], event)
        match event.get("event"):
            case "decision":
                return self._decision(event)
            case "hop":
                self.hops.append({name: value for name, value in event.items() if name != "event"})
                said = [] if self._together else self._say(self._speech.rest(str(event["answer"])))
                return [*said, Hopped(self.hops[-1])]
            case "answer":
                self.answer = str(event["answer"])
                if self._together:  # they answered in any order
                    order: list[str] = event["path"]
                    self.hops.sort(key=lambda hop: order.index(hop["expert"]))
                return self._say(self.answer) if self._together or not self.hops else []
            case _:
                return []

    def messages(self, message: Any, metadata: Mapping[str, Any]) -> list[Event]:
        """Takes a message, or a piece of one, and the node it comes from."""
        node = str(metadata.get("langgraph_checkpoint_ns") or metadata.get("langgraph_node", "")).partition(":")[0]
        if not isinstance(message, AIMessageChunk) or self._together:
            return []
        if node != self._expert or node not in self._speakers:
            return []
        return self._say(self._speech.hear(message))

    def _decision(self, event: dict[str, Any]) -> list[Event]:
        self._expert, self._together = event["expert"], bool(event["also"])
        self._speech = Speech()
        self._opening = f"\n\n{heading(str(self._expert))}" if self.hops else ""
        first = Decided(event["expert"], event["confidence"], bool(event.get("cached")))
        return [] if self._decided else self._first(first)

    def nobody(self) -> list[Event]:
        """Says that nobody was asked, where nobody was."""
        return [] if self._decided else self._first(Decided(None))

    def _first(self, decided: Decided) -> list[Event]:
        self._decided = True
        return [decided]

    def _say(self, text: str) -> list[Event]:
        if not text:
            return []
        text, self._opening = self._opening + text, ""
        return [Words(text)]


def heading(expert: str) -> str:
    """Returns what stands over the answer of one expert among several, as the graph writes it."""
    return f"## {expert.replace('_', ' ').capitalize()}\n\n"
