"""A run of the graph, told as it goes."""

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from functools import cached_property
from typing import Any, cast
from uuid import UUID

from langchain_core.messages import AIMessageChunk
from langchain_core.runnables.config import merge_configs
from langgraph.types import Command

from octopus_graph.experts import Expert
from octopus_graph.nodes import FINISH, ROUTE
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
    modes = _modes(service, ask)
    async with aclosing(await _stream(service, ask, run_id, listener, modes)) as events:
        async for mode, event in events:
            if mode == "values":
                values = event
            elif mode == "updates" and "__interrupt__" in event:
                for told in telling.nobody():
                    yield told
                yield Stopped(_question(event["__interrupt__"][0].value))
                return
            elif mode in modes:
                for told in telling.take(mode, event):
                    yield told
    if telling.answer is None:  # a graph of somebody else's: its last message is the answer
        telling.answer = str(values["messages"][-1].text) if values.get("messages") else ""
        for told in telling.nobody():
            yield told
        yield Words(telling.answer)
    if telling.hops:
        service.earlier.remember(ask.messages, telling.answer, str(telling.hops[0]["expert"]))
    yield Ended(telling.answer, hops=tuple(telling.hops), usage=listener.usage, cut=listener.cut)


def _modes(service: Service, ask: Ask) -> list[str]:
    """Says what LangGraph is to stream.

    What nodes have written tells as much as what they say while they run, at less cost; only words cannot wait for it.
    """
    ours = {ROUTE, *service.experts, FINISH} <= service.stateless.nodes.keys()
    modes = ["custom", "messages"] if ask.words else ["updates"] if ours else ["custom"]
    return modes if service.router is not None else [*modes, "values"]


async def _stream(service: Service, ask: Ask, run_id: str, listener: Listener, modes: list[str]) -> Any:
    config = with_options({"run_id": UUID(run_id), "callbacks": [listener]}, ask.options)
    graph: Any = service.stateless
    given: Any
    if ask.thread and service.saver is not None:
        graph = service.graph
        config = merge_configs(config, {"configurable": {"thread_id": ask.thread}})
        modes = list(dict.fromkeys([*modes, "updates"]))  # these hold interrupts
        if (await graph.aget_state(config)).interrupts:
            given = Command(resume=str(ask.messages[-1].text))
        else:
            given = {"messages": list(ask.messages)}
    else:
        given = {"messages": await service.earlier.told(ask.messages, service.router)}
    return graph.astream(given, config, context=ask.context if service.router is not None else None, stream_mode=modes)


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
        self._experts = experts
        self._asked: list[str | None] = []
        self._speech = Speech()
        self._opening = ""
        self._decided = False

    def take(self, mode: str, event: Any) -> list[Event]:
        """Takes what LangGraph streams in a mode."""
        if mode == "messages":
            return self._message(*event)
        if mode == "updates":
            return [told for each in _events(event) for told in self._event(each)]
        return self._event(cast(dict[str, Any], event)) if isinstance(event, dict) else []

    def _event(self, event: Mapping[str, Any]) -> list[Event]:
        match event.get("event"):
            case "decision":
                return self._decision(event)
            case "hop":
                self.hops.append({name: value for name, value in event.items() if name != "event"})
                said = [] if len(self._asked) > 1 else self._say(self._speech.rest(str(event["answer"])))
                return [*said, Hopped(self.hops[-1])]
            case "answer":
                self.answer = str(event["answer"])
                together = len(self._asked) > 1
                if together:  # they answered in any order
                    self.hops.sort(key=lambda hop: self._asked.index(hop["expert"]))
                return self._say(self.answer) if together or not self.hops else []
            case _:
                return []

    def _message(self, message: Any, metadata: Mapping[str, Any]) -> list[Event]:
        node = str(metadata.get("langgraph_checkpoint_ns") or metadata.get("langgraph_node", "")).partition(":")[0]
        if not isinstance(message, AIMessageChunk) or [node] != self._asked or node not in self._speakers:
            return []
        return self._say(self._speech.hear(message))

    @cached_property
    def _speakers(self) -> set[str]:
        return {name for name, expert in self._experts.items() if chat_model_of(expert.runnable) is not None}

    def _decision(self, event: Mapping[str, Any]) -> list[Event]:
        self._asked = [event["expert"], *event["also"]]
        self._speech = Speech()
        self._opening = f"\n\n{heading(str(event['expert']))}" if self.hops else ""
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


def _events(updates: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Reads from what nodes have written what they said while they ran."""
    for node, update in updates.items():
        if isinstance(hops := update.get("hops"), list):
            yield from ({"event": "hop", **hop} for hop in cast(list[dict[str, Any]], hops))
        if "decision" in update:
            yield {"event": "decision", **update["decision"]}
        if node == FINISH:
            yield {"event": "answer", "answer": str(update["messages"][-1].text)}


def heading(expert: str) -> str:
    """Returns what stands over the answer of one expert among several, as the graph writes it."""
    return f"## {expert.replace('_', ' ').capitalize()}\n\n"
