"""Tool calls on their way to the client and back: their ids name the expert that made them, as `math:call_1`."""

import json
from collections.abc import Mapping, Sequence
from uuid import uuid4

from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, ToolMessage
from langchain_core.messages.tool import ToolCall

from octopus_graph.experts import Expert
from octopus_graph_server.running import CallPart

__all__ = ["Calls", "own_ids"]


class Calls:
    """The tool calls of one answer, said once each."""

    def __init__(self, expert: str) -> None:
        """Takes the name of who makes them."""
        self._expert = expert
        self._ids: list[str] = []
        self._places: dict[int | str, int] = {}
        self._message: str | None = None

    def hear(self, message: AIMessageChunk) -> list[CallPart]:
        """Takes a piece of a message and returns the pieces of calls in it."""
        parts: list[CallPart] = []
        for chunk in message.tool_call_chunks:
            index = chunk["index"]
            place = None if index is None else self._places.get(index)
            begins = place is None
            if place is None:
                place = len(self._ids)
                self._ids.append(self._id(chunk["id"]))
                self._places[place if index is None else index] = place
            given = (self._ids[place], chunk["name"]) if begins else (None, None)
            parts.append(CallPart(place, chunk["args"] or "", *given))
        return parts

    def rest(self, calls: Sequence[ToolCall]) -> list[CallPart]:
        """Takes the whole calls and returns those that did not come in pieces."""
        if self._ids:
            return []
        return [
            CallPart(place, json.dumps(call["args"]), call["id"], call["name"])
            for place, call in enumerate(self.made(calls))
        ]

    def made(self, calls: Sequence[ToolCall]) -> tuple[ToolCall, ...]:
        """Returns the whole calls with the ids the client knows them by."""
        while len(self._ids) < len(calls):
            self._ids.append(self._id(calls[len(self._ids)]["id"]))
        return tuple(
            ToolCall(name=call["name"], args=call["args"], id=own) for call, own in zip(calls, self._ids, strict=False)
        )

    def _id(self, given: str | None) -> str:
        return f"{self._expert}:{given or f'call_{uuid4().hex}'}"


def own_ids(messages: Sequence[AnyMessage], experts: Mapping[str, Expert]) -> tuple[list[AnyMessage], str | None]:
    """Gives tool calls the ids under which their expert made them, and says whose the last one was."""
    chat: list[AnyMessage] = []
    caller: str | None = None
    for message in messages:
        if isinstance(message, AIMessage) and message.tool_calls:
            calls = [
                ToolCall(name=c["name"], args=c["args"], id=_parted(c["id"], experts)[1]) for c in message.tool_calls
            ]
            chat.append(message.model_copy(update={"tool_calls": calls}))
        elif isinstance(message, ToolMessage):
            caller, own = _parted(message.tool_call_id, experts)
            chat.append(message.model_copy(update={"tool_call_id": own}))
        else:
            chat.append(message)
    return chat, caller


def _parted(given: str | None, experts: Mapping[str, Expert]) -> tuple[str | None, str]:
    expert, colon, own = (given or "").partition(":")
    return (expert, own) if colon and expert in experts else (None, given or "")
