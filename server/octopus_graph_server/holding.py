"""One expert holds the conversation: who was named, who has tools to call, or who must keep a form.

    user                       the router decides who holds it, or the client has said so
    assistant: tool calls      the expert's, passed on; their ids name it, as `math:call_1`
    tool results               go to that same expert

The expert is given the conversation as it is, and there are no further hops: what its tools say is its own affair.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import cache
from typing import Any, cast
from uuid import UUID

from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.graph import END, START, StateGraph  # pyright: ignore[reportMissingTypeStubs]
from typing_extensions import TypedDict

from octopus_graph.effects import Logic, LogicRunnable
from octopus_graph.errors import InputError
from octopus_graph.experts import Expert, ask_in_turn
from octopus_graph.options import chat_model_of, with_options
from octopus_graph.turns import request_of
from octopus_graph_server.listening import Listener, Speech
from octopus_graph_server.problems import NotFoundError
from octopus_graph_server.running import Ask, Decided, Ended, Event, Hopped, Words, has_media
from octopus_graph_server.service import Service
from octopus_graph_server.toolcalls import Calls, own_ids
from octopus_graph_server.walking import walk

__all__ = ["hold"]


class _State(TypedDict, total=False):
    line: list[Expert]
    query: str
    chat: list[AnyMessage]
    answer: str
    served_by: str
    error: str | None


async def hold(service: Service, ask: Ask, run_id: str) -> AsyncGenerator[Event]:
    """Finds the expert, asks it once, and passes on what it says.

    Raises:
        InputError: If the expert cannot do what is asked of it.
        ExpertError: If neither it nor its fallbacks answer.
    """
    chat, caller = own_ids(ask.messages, service.experts)
    results = bool(chat) and isinstance(chat[-1], ToolMessage)
    decided = Decided(ask.expert or (caller if results else None))
    if decided.expert is None:
        async with aclosing(_decide(service, replace(ask, messages=chat), run_id)) as events:
            async for event in events:
                if isinstance(event, Decided) and event.expert is not None:
                    decided = event
                    break
                yield event  # nobody is sure enough: the graph says so
        if decided.expert is None:
            return
    yield decided
    expert = service.experts.get(str(decided.expert))
    if expert is None:
        raise NotFoundError(f"There is no expert {decided.expert!r} to be asked by name.", param="model")
    if (has_media(chat) or results) and chat_model_of(expert.runnable) is None:
        raise InputError(f"The expert {expert.name!r} is no chat model and reads the text of a request alone.")
    async for event in _ask(service, expert, replace(ask, messages=chat), decided, run_id):
        yield event


async def _decide(service: Service, ask: Ask, run_id: str) -> AsyncGenerator[Event]:
    """Lets the graph begin, to hear whom it would ask first."""
    messages = list(ask.messages)
    while messages and isinstance(messages[-1], ToolMessage | AIMessage):
        messages.pop()
    plain = [
        HumanMessage(str(message.text)) if isinstance(message, HumanMessage) else message
        for message in messages
        if not isinstance(message, ToolMessage) and not (isinstance(message, AIMessage) and message.tool_calls)
    ]
    # The conversation goes on as it is, so a rewrite would be written in vain.
    context = ask.context.model_copy(update={"rewrite": "never"})
    async with aclosing(walk(service, Ask(plain, context=context), run_id)) as events:
        async for event in events:
            yield event


async def _ask(service: Service, expert: Expert, ask: Ask, decided: Decided, run_id: str) -> AsyncGenerator[Event]:
    listener = Listener()
    config: RunnableConfig = {"run_id": UUID(run_id), "callbacks": [listener]}
    results = isinstance(ask.messages[-1], ToolMessage)
    query = request_of(_asked(ask) if results else ask.messages)
    model = chat_model_of(expert.runnable)
    speech, calls = Speech(), Calls(expert.name)
    after: _State = {}
    stream: Any = _graph().astream(
        _State(line=_line(service, expert), query=query, chat=list(ask.messages)),
        with_options(config, ask.options),
        stream_mode=cast(Any, ["values", "messages"] if ask.words else ["values"]),
    )
    async with aclosing(stream) as events:
        async for mode, event in events:
            if mode == "values":
                after = event
            elif model is not None and isinstance(event[0], AIMessageChunk):
                if text := speech.hear(event[0]):
                    yield Words(text)
                for part in calls.hear(event[0]):
                    yield part
    answer = str(after.get("answer", ""))
    said = listener.last.tool_calls if model is not None and listener.last is not None else []
    if rest := speech.rest(answer):
        yield Words(rest)
    for part in calls.rest(said):
        yield part
    server = after.get("served_by")
    hop = {
        "expert": expert.name,
        "query": query,
        "rewritten": False,
        "answer": answer,
        "confidence": decided.confidence,
        "served_by": None if server == expert.name else server,
        "error": after.get("error"),
    }
    service.earlier.remember(ask.messages, answer, expert.name)
    yield Hopped(hop)
    yield Ended(answer, calls.made(said), (hop,), listener.usage, listener.cut)


def _asked(ask: Ask) -> Sequence[AnyMessage]:
    """Returns the request that tools were called for."""
    return [message for message in ask.messages if isinstance(message, HumanMessage)][-1:]


@cache
def _graph() -> Any:
    """Makes the graph of one expert, whoever it is: LangGraph streams its model's words."""
    builder: Any = StateGraph(_State)  # LangGraph leaves types of its own parameters open
    builder.add_node("expert", LogicRunnable("expert", _answer))
    builder.add_edge(START, "expert")
    builder.add_edge("expert", END)
    return builder.compile(name="expert")


def _answer(state: _State) -> Logic[_State]:
    line, query, chat = state.get("line", []), state.get("query", ""), state.get("chat", [])
    answer, server, error = yield from ask_in_turn(line, query, chat, {"messages": chat}, get_config())
    return _State(answer=answer.text, served_by=server.name, error=error)


def _line(service: Service, expert: Expert) -> list[Expert]:
    """Returns an expert and those that stand in for it."""
    line = [expert]
    while (name := line[-1].fallback) in service.experts and service.experts[name] not in line:
        line.append(service.experts[name])
    return line
