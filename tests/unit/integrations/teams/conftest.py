"""Agents that say what they are told to say, and the rules of providers about the order of messages."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.graph import START, MessagesState, StateGraph

Say = Callable[[list[AnyMessage]], Sequence[Any]]


class MakeAgent(Protocol):
    def __call__(self, name: str, say: Say | None = None, shown: list[list[AnyMessage]] | None = None) -> Any: ...


@pytest.fixture
def agent() -> MakeAgent:
    """Makes an agent that says its name, or what a function of its messages says; `shown` collects what it saw."""

    def make(name: str, say: Say | None = None, shown: list[list[AnyMessage]] | None = None) -> Any:
        def talk(state: MessagesState) -> dict[str, Any]:
            if shown is not None:
                shown.append(state["messages"])
            return {"messages": say(state["messages"]) if say else [AIMessage(f"{name} has answered")]}

        builder = StateGraph(MessagesState)
        builder.add_node("talk", talk)
        builder.add_edge(START, "talk")
        return builder.compile(name=name)

    return make


@pytest.fixture
def faults() -> Callable[[Sequence[AnyMessage]], list[str]]:
    """Lists what providers would refuse in a history: the strictest rules of OpenAI, Anthropic, Gemini and Mistral."""

    def find(messages: Sequence[AnyMessage]) -> list[str]:
        ids = [message.id for message in messages]
        calls = [call["id"] for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]
        found = [
            *(["ids are missing or stand twice"] if None in ids or len(set(ids)) < len(ids) else []),
            *(["two tool calls share an id"] if len(set(calls)) < len(calls) else []),
            *([] if isinstance(messages[0], HumanMessage) else ["it does not begin with the user"]),
        ]
        unanswered: set[Any] = set()
        for at, message in enumerate(messages):
            if isinstance(message, ToolMessage):
                if message.tool_call_id not in unanswered:
                    found.append(f"{at}: a tool message answers no call of the AI message before it")
                unanswered.discard(message.tool_call_id)
                continue
            if unanswered:
                found.append(f"{at}: comes before the calls {unanswered} are answered")
            unanswered = {call["id"] for call in message.tool_calls} if isinstance(message, AIMessage) else set()
            if isinstance(message, AIMessage) and not message.text and not message.tool_calls:
                found.append(f"{at}: an AI message says nothing")
        return [*found, *([f"the calls {unanswered} are never answered"] if unanswered else [])]

    return find
