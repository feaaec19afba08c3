r"""Messages and what they mean to a router: a thread's messages read as turns, and decisions written as tool calls.

    HumanMessage                 the request                      \
    AIMessage(tool_calls=[…])    a decision: expert and query      | one turn, with
    ToolMessage                  the expert's answer               | two hops here
    AIMessage(tool_calls=[…])                                      |
    ToolMessage                                                    |
    AIMessage                    the final answer                 /

Each tool call has its answer, so any chat model accepts the history of a thread.

The rule that ends a run which would go round in circles stands here too (`following`): the graph's nodes follow it, and
so does whoever measures paths without a graph.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage

from octopus_graph.codec import Turn, clean
from octopus_graph.effects import Logic
from octopus_graph.errors import InputError
from octopus_graph.router import RouterDecision
from octopus_graph.state import Hop
from octopus_graph.tokens import FunctionalTokens

__all__ = [
    "Asked",
    "briefing",
    "following",
    "handoff",
    "mended",
    "pending_call",
    "previous_turns",
    "repeats",
    "request_of",
]

Asked = tuple[str, str]
"""An expert and what it was asked."""

TURNS_IN_VIEW = (
    3  # earlier turns an expert is shown: enough to follow a conversation, and small models have small contexts
)
SAME = 0.8  # share of common words (Jaccard) from which two queries are one, whatever their wording
_WORD = re.compile(r"[^\W_]+")
# They tell how a thing is asked, and not what.
_EMPTY = frozenset(
    "a an the of in on at to for from by with and or as is are was were be been do does did can could will would should"  # noqa: SIM905
    " may must has have had what which who whose when where why how that this it its i me my you your we our they their"
    " s please pls find give tell show explain compute calculate determine describe name say write answer"
    " question".split()
)


@dataclass
class _Turn:
    request: str
    experts: list[str] = field(default_factory=list[str])
    answer: str = ""


def request_of(messages: Sequence[AnyMessage]) -> str:
    """Returns the request: the text of the last message, cleaned.

    Raises:
        InputError: If the last message is not a human's, or its text cannot be used.
    """
    last = next((message for message in reversed(messages) if not isinstance(message, SystemMessage)), None)
    if not isinstance(last, HumanMessage):
        raise InputError("There is no request: the last message must be the user's.")
    return clean(str(last.text))


def previous_turns(messages: Sequence[AnyMessage], tokens: FunctionalTokens) -> list[Turn]:
    """Returns the earlier turns that went to an expert, oldest first, each with the token of its first expert."""
    return [
        Turn(turn.request, tokens.token(turn.experts[0]))
        for turn in _turns(messages)[:-1]
        if turn.request and turn.experts and turn.experts[0] in tokens.experts
    ]


def briefing(messages: Sequence[AnyMessage], hops: Sequence[Hop], query: str, *, rewritten: bool) -> list[AnyMessage]:
    """Writes what an expert is told: the caller's system prompt, earlier turns, earlier hops of this run, the query.

    A rewritten query stands by itself, so it comes without the earlier turns.
    """
    told: list[AnyMessage] = []
    system = [str(message.text) for message in messages if isinstance(message, SystemMessage)]
    if system:
        told.append(SystemMessage("\n\n".join(system)))
    if not rewritten:
        answered = [turn for turn in _turns(messages)[:-1] if turn.request and turn.answer]
        for turn in answered[-TURNS_IN_VIEW:]:
            told += [HumanMessage(turn.request), AIMessage(turn.answer)]
    earlier = [
        f"Earlier in this run, {hop['expert']} was asked “{hop['query']}” and answered: {hop['answer']}" for hop in hops
    ]
    return [*told, HumanMessage("\n\n".join([*earlier, query]))]


def handoff(experts: Sequence[str], query: str) -> AIMessage:
    """Writes a decision as tool calls, one for each expert that is asked."""
    return AIMessage(
        "", tool_calls=[ToolCall(name=name, args={"query": query}, id=f"call_{uuid4().hex}") for name in experts]
    )


def pending_call(messages: Sequence[AnyMessage], expert: str) -> ToolCall:
    """Returns the tool call an expert has to answer.

    Raises:
        InputError: If there is none, because somebody rewrote the messages of a halted run.
    """
    for message in reversed(messages):
        if isinstance(message, AIMessage):
            for call in message.tool_calls:
                if call["name"] == expert:
                    return call
            break
    raise InputError(
        f"The last AI message holds no tool call for the expert {expert!r}: leave it in place when you edit a run."
    )


def mended(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Returns replacements, by message id, for AI messages whose tool calls nobody answered.

    A run whose expert failed leaves one behind, and chat models refuse a history that holds it.
    """
    answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    replacements: list[AnyMessage] = []
    for message in messages:
        if not isinstance(message, AIMessage):
            continue
        kept = [call for call in message.tool_calls if call["id"] in answered]
        if len(kept) < len(message.tool_calls):
            names = ", ".join(call["name"] for call in message.tool_calls if call not in kept)
            text = str(message.text) or f"No answer came from: {names}."
            replacements.append(AIMessage(text, id=message.id, tool_calls=kept))
    return replacements


def following(
    decide: Callable[[Sequence[str]], Logic[RouterDecision]],
    candidates: Sequence[str],
    request: str,
    asked: Iterable[Asked],
    *,
    min_confidence: float = 0.0,
) -> Logic[RouterDecision | None]:
    """Decides who is asked next: the likeliest candidate that would not be asked again what it was asked before.

    Args:
        decide: Decides among candidates.
        candidates: Who may be asked.
        request: What an expert is asked where the decision holds no rewrite.
        asked: Who was asked what in this run; read anew after each decision.
        min_confidence: Below it the decision stands, whatever it is: it ends the run.

    Returns:
        The decision, which may be the end; `None` where nobody is left.
    """
    left = list(candidates)
    while left:
        chosen = yield from decide(tuple(left))
        if chosen.expert is None or chosen.confidence < min_confidence:
            return chosen
        if not repeats(chosen.expert, request if chosen.rewrite is None else chosen.rewrite, asked):
            return chosen
        left.remove(chosen.expert)  # it would be asked the same again: who else?
    return None


def repeats(expert: str, query: str, asked: Iterable[Asked]) -> bool:
    """Says whether an expert was asked this before, in these words or in others that say the same.

    A number in one query alone makes another question of it.

    Example:
        >>> asked = [("math", "What is the area of a circle of radius 3?")]
        >>> repeats("math", "Find the circle's area, radius 3", asked), repeats("math", "… of radius 4?", asked)
        (True, False)
    """
    return any(name == expert and _alike(query, earlier) for name, earlier in asked)


def _alike(one: str, other: str) -> bool:
    if " ".join(one.split()).casefold() == " ".join(other.split()).casefold():
        return True
    a, b = (frozenset(_WORD.findall(text.casefold())) - _EMPTY for text in (one, other))
    return len(a & b) >= SAME * len(a | b) > 0 and not any(word.isnumeric() for word in a ^ b)


def _turns(messages: Sequence[AnyMessage]) -> list[_Turn]:
    turns: list[_Turn] = []
    for message in messages:
        if isinstance(message, HumanMessage):
            turns.append(_Turn(_cleaned(str(message.text))))
        elif isinstance(message, AIMessage) and turns:
            turns[-1].experts += [call["name"] for call in message.tool_calls]
            if not message.tool_calls:
                turns[-1].answer = str(message.text)
    return turns


def _cleaned(text: str) -> str:
    try:
        return clean(text)
    except InputError:  # a turn that was refused when it came
        return ""
