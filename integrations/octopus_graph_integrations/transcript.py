r"""The messages of several agents on one thread, always in an order that every provider of chat models accepts.

HumanMessage
AIMessage(supervisor, tool_calls=[transfer_to_…])    \ a handoff: each call is answered at once,
ToolMessage …                                        / and before an agent says anything
AIMessage(agent) …                                     what the agent said
AIMessage(agent, tool_calls=[transfer_back_to_…])    \ a handoff back
ToolMessage                                          /
AIMessage(supervisor)                                  the answer
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, cast
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.messages.utils import convert_to_messages

from octopus_graph.codec import Turn, clean
from octopus_graph.errors import ExpertError, InputError
from octopus_graph.state import Decision
from octopus_graph.turns import mended

__all__ = ["OutputMode", "addressed", "earlier_turns", "handed_back", "handed_over", "said"]

OutputMode = Literal["full_history", "last_message"]
"""What of an agent's messages is kept: all of them, or its last words."""

TOKEN = "functional_token"  # noqa: S105 - where an agent's message keeps the token that led to it
TRANSFER = "transfer_to_"


def handed_over(giver: str, plan: Sequence[Decision], prefix: str | None = None) -> list[AnyMessage]:
    """Writes a handoff to one agent or, at the same time, to several."""
    calls = [
        ToolCall(
            name=f"{TRANSFER if prefix is None else prefix}{_tool_name(str(step['expert']))}",
            args={"query": step["query"]} if step["rewritten"] else {},
            id=f"call_{uuid4().hex}",
        )
        for step in plan
    ]
    answers = [
        ToolMessage(
            f"Transferred to {step['expert']}" + (f": {step['query']}" if step["rewritten"] else "."),
            name=call["name"],
            tool_call_id=call["id"],
            id=str(uuid4()),
        )
        for step, call in zip(plan, calls, strict=True)
    ]
    return [AIMessage("", name=giver, tool_calls=calls, id=str(uuid4())), *answers]


def handed_back(agent: str, receiver: str) -> list[AnyMessage]:
    """Writes that an agent has given control back."""
    call = ToolCall(name=f"transfer_back_to_{_tool_name(receiver)}", args={}, id=f"call_{uuid4().hex}")
    return [
        AIMessage(f"Transferring back to {receiver}.", name=agent, tool_calls=[call], id=str(uuid4())),
        ToolMessage(f"Transferred back to {receiver}.", name=call["name"], tool_call_id=call["id"], id=str(uuid4())),
    ]


def addressed(messages: Sequence[AnyMessage], query: str, *, as_user: bool = False) -> list[AnyMessage]:
    """Returns what an agent is shown: it ends with something to answer, never with the words of another agent.

    Args:
        messages: The thread.
        query: What the agent is asked.
        as_user: Whether it must be asked by a user's message: then the handoff to it is left out.
    """
    shown = list(messages)
    if as_user:
        while isinstance(shown[-1], ToolMessage):
            shown.pop()
        if isinstance(shown[-1], AIMessage) and shown[-1].tool_calls:
            shown.pop()
    elif isinstance(shown[-1], ToolMessage):
        return shown
    if isinstance(shown[-1], HumanMessage) and (not as_user or shown[-1].text == query):
        return shown
    return [*shown, HumanMessage(query, id=str(uuid4()))]


def said(
    agent: str, token: str, shown: Sequence[AnyMessage], output: object, mode: OutputMode
) -> tuple[list[AnyMessage], str]:
    """Finds what an agent said beyond what it was shown.

    Args:
        agent: Its name.
        token: The functional token that led to it.
        shown: The messages it was given.
        output: What its graph returned.
        mode: Whether all of it is kept, or its last words.

    Returns:
        The messages to keep, each tool call with its answer, and the text of the last one.

    Raises:
        ExpertError: If it said nothing.
    """
    values = cast("dict[str, Any]", output) if isinstance(output, dict) else {}
    before = {message.id: message for message in shown}
    new = [
        message if message.id else message.model_copy(update={"id": str(uuid4())})
        for message in cast("list[AnyMessage]", convert_to_messages(values.get("messages") or []))
        if message.id not in before or message != before[message.id]
    ]
    if not new:
        raise ExpertError({agent: "it returned no message of its own"})
    last = new[-1]
    if isinstance(last, HumanMessage):  # some graphs return their words as a user's
        last = AIMessage(last.content, id=last.id)
    if isinstance(last, AIMessage):
        metadata = {**last.response_metadata, TOKEN: token}
        new[-1] = last.model_copy(update={"name": last.name or agent, "response_metadata": metadata})
    new = _answered(new)
    if mode == "last_message":
        # From the last AI message on: where that calls tools whose results are the answer, the results stay with it.
        at = max((place for place, message in enumerate(new) if isinstance(message, AIMessage)), default=len(new) - 1)
        new = new[at:]
    return new, str(new[-1].text)


def earlier_turns(messages: Iterable[AnyMessage], main_tokens: dict[str, str]) -> list[Turn]:
    """Reads the turns before the last message, each with the token that its first agent was asked by.

    Args:
        messages: The thread, the last message the new request.
        main_tokens: Of each agent, the token taken for it where its message does not say it.
    """
    turns: list[list[str]] = []
    for message in messages:
        if isinstance(message, HumanMessage):
            turns.append([str(message.text)])
        elif isinstance(message, AIMessage) and message.name in main_tokens and turns and not message.tool_calls:
            turns[-1].append(str(message.response_metadata.get(TOKEN, main_tokens[message.name])))
    return [Turn(text, turn[1]) for turn in turns[:-1] if len(turn) > 1 and (text := _cleaned(turn[0]))]


def _answered(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Drops tool calls without an answer and answers without a call."""
    replaced = {message.id: message for message in mended(messages)}
    kept: list[AnyMessage] = []
    calls: set[str | None] = set()
    for message in messages:
        message = replaced.get(message.id, message)  # noqa: PLW2901 - the message as it is kept
        if isinstance(message, ToolMessage) and message.tool_call_id not in calls:
            continue
        if isinstance(message, AIMessage):
            calls |= {call["id"] for call in message.tool_calls}
        kept.append(message)
    return kept


def _tool_name(agent: str) -> str:
    """Makes a name that providers allow in a tool call."""
    return re.sub(r"[^a-zA-Z0-9_-]+", "_", agent.strip()).lower()


def _cleaned(text: str) -> str:
    try:
        return clean(text)
    except InputError:
        return ""
