"""Which expert answered the turn before: clients send their whole conversation back, but not that.

The router reads a follow-up ("and for y?") together with the turn before it and where that one went.
"""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from uuid import uuid4

import anyio.to_thread
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolCall, ToolMessage

from octopus_graph.errors import InputError
from octopus_graph.router import OctopusRouter

__all__ = ["Earlier"]

_KEPT = 4096


class Earlier:
    """Remembers which expert gave an answer; for those it does not know it asks the router."""

    def __init__(self) -> None:
        """Knows no answer yet."""
        self._experts: OrderedDict[bytes, str] = OrderedDict()

    def remember(self, messages: Sequence[AnyMessage], answer: str, expert: str) -> None:
        """Keeps who answered the request at the end of some messages, by a hash."""
        request = next((str(message.text) for message in reversed(messages) if isinstance(message, HumanMessage)), "")
        self._experts[_key(request, answer)] = expert
        if len(self._experts) > _KEPT:
            self._experts.popitem(last=False)

    async def told(self, messages: Sequence[AnyMessage], router: OctopusRouter | None) -> list[AnyMessage]:
        """Writes into a conversation where its last answered turn went, as the graph's own threads have it."""
        chat = list(messages)
        asked = [place for place, message in enumerate(chat) if isinstance(message, HumanMessage)]
        if router is None or len(asked) < 2:
            return chat
        before, last = asked[-2:]
        turn = chat[before + 1 : last]
        answer = next((message for message in reversed(turn) if isinstance(message, AIMessage)), None)
        if answer is None or answer.tool_calls or any(isinstance(message, ToolMessage) for message in turn):
            return chat
        request, said = str(chat[before].text), str(answer.text)
        expert = self._experts.get(_key(request, said)) or await _decided(router, request)
        if expert is None:
            return chat
        call = ToolCall(name=expert, args={"query": request}, id=f"call_{uuid4().hex}")
        handoff = [AIMessage("", tool_calls=[call]), ToolMessage(said, name=expert, tool_call_id=str(call["id"]))]
        return [*chat[: before + 1], *handoff, *chat[before + 1 :]]


async def _decided(router: OctopusRouter, request: str) -> str | None:
    try:
        return (await anyio.to_thread.run_sync(lambda: router.decide(request, rewrite="never"))).expert
    except InputError:  # a turn that was refused when it came
        return None


def _key(request: str, answer: str) -> bytes:
    return sha256(f"{request.strip()}\0{answer.strip()}".encode(errors="surrogatepass")).digest()
