"""What was asked and decided, read from the threads of a saver.

A turn is read from its last checkpoint, which holds its hops with their confidences. Where the checkpoints of earlier
turns are gone (pruned, expired), the messages of a later one still say who was asked what: confidences are then
unknown. Branches of a thread, which time travel makes, count each.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.base import CheckpointTuple  # pyright: ignore[reportMissingTypeStubs]

from octopus_graph.state import Decision, Hop
from octopus_graph.threads.reading import Saver, light, made_at, parent_id, upcoming

__all__ = ["Past", "PastStep", "read_past"]

_ROUTE = "route"  # comes next before anything is decided


@dataclass(frozen=True)
class PastStep:
    """One decision.

    Attributes:
        experts: Who was asked, more than one where the router was not sure; nobody at the end.
        answers: What they said, by expert; empty where a run was cut short before they did.
        confidence: How sure the router was; `None` where nobody wrote it down.
    """

    experts: tuple[str, ...]
    answers: Mapping[str, str]
    confidence: float | None


@dataclass(frozen=True)
class Past:
    """One request of the past.

    Attributes:
        thread: Its thread.
        request: What was asked.
        messages: What was said before it.
        steps: What was decided; the end is a step where the router chose it.
        finished: Whether the run came to its end.
        at: When; `None` where only later messages tell of it.
    """

    thread: str
    request: str
    messages: tuple[AnyMessage, ...]
    steps: tuple[PastStep, ...]
    finished: bool
    at: datetime | None

    @property
    def path(self) -> tuple[str, ...]:
        """The experts that were asked, in order."""
        return tuple(name for step in self.steps for name in step.experts)


def read_past(saver: Saver, thread: str) -> list[Past] | None:
    """Reads the requests of a thread that were decided, the oldest first.

    Returns:
        The requests; `None` if the thread is that of another kind of graph.
    """
    listed = saver.list({"configurable": {"thread_id": thread, "checkpoint_ns": ""}})
    found = [light(one, "messages", "request", "hops", "decision") for one in listed]
    if not any("decision" in one.checkpoint["channel_values"] for one in found):
        return None if found and not any(_is_ours(one) for one in found) else []
    whole: dict[str, list[Past]] = {}
    last = list(_last_of_turns(found))
    for one in last:
        past, key = _from_checkpoint(thread, one)
        whole.setdefault(key, []).append(past)
    told: dict[str, Past] = {}
    for one in last:
        for key, past in _from_messages(thread, _messages(one)):
            if key not in whole and past.steps:
                told.setdefault(key, past)
    return [*told.values(), *sorted((past for pasts in whole.values() for past in pasts), key=_when)]


def _when(past: Past) -> float:
    return past.at.timestamp() if past.at else 0.0


def _is_ours(found: CheckpointTuple) -> bool:
    """Says whether a checkpoint without a decision is from the beginning of an octopus graph's thread."""
    return _ROUTE in upcoming(found)


def _last_of_turns(found: Iterable[CheckpointTuple]) -> Iterator[CheckpointTuple]:
    """Yields the checkpoints after which a turn did not go on, where something had been decided in it."""
    everything = list(found)
    went_on = {parent_id(one) for one in everything if one.metadata.get("source") != "input"}
    for one in everything:
        decided = "decision" in one.checkpoint["channel_values"]
        if one.checkpoint["id"] not in went_on and decided and not {_ROUTE, "__start__"} & set(upcoming(one)):
            yield one


def _from_checkpoint(thread: str, found: CheckpointTuple) -> tuple[Past, str]:
    """Reads the turn that a checkpoint is the last of, and the id of its human's message."""
    values = found.checkpoint["channel_values"]
    decision, hops = cast(Decision, values["decision"]), cast("list[Hop]", values.get("hops") or [])
    messages = _messages(found)
    begins = max((place for place, one in enumerate(messages) if isinstance(one, HumanMessage)), default=0)
    past = Past(
        thread=thread,
        request=str(values.get("request", "")),
        messages=tuple(messages[:begins]),
        steps=tuple(_steps(decision, hops)),
        finished=not upcoming(found),
        at=made_at(found),
    )
    return past, str(messages[begins].id) if messages else ""


def _steps(decision: Decision, hops: Sequence[Hop]) -> Iterator[PastStep]:
    if decision["also"]:  # asked at the same time, and nobody decided after them
        asked = (str(decision["expert"]), *decision["also"])
        yield PastStep(asked, {hop["expert"]: hop["answer"] for hop in hops}, decision["confidence"])
        return
    for hop in hops:
        yield PastStep((hop["expert"],), {hop["expert"]: hop["answer"]}, hop["confidence"])
    if decision["by"] == (hops[-1]["expert"] if hops else "route"):  # else it is the one that led to the last hop
        expert = decision["expert"]
        yield PastStep((expert,) if expert else (), {}, decision["confidence"])


def _from_messages(thread: str, messages: Sequence[AnyMessage]) -> Iterator[tuple[str, Past]]:
    """Reads all turns but the last from messages."""
    begins = [place for place, one in enumerate(messages) if isinstance(one, HumanMessage)]
    for here, after in itertools.pairwise(begins):
        turn = messages[here + 1 : after]
        answers = {one.tool_call_id: str(one.text) for one in turn if isinstance(one, ToolMessage)}
        steps: list[PastStep] = []
        for one in turn:
            calls = one.tool_calls if isinstance(one, AIMessage) else []
            if calls:
                said = {call["name"]: answers[str(call["id"])] for call in calls if call["id"] in answers}
                steps.append(PastStep(tuple(call["name"] for call in calls), said, None))
        request = str(messages[here].text).strip()
        past = Past(thread, request, tuple(messages[:here]), tuple(steps), finished=True, at=None)
        yield str(messages[here].id), past


def _messages(found: CheckpointTuple) -> list[AnyMessage]:
    values: Any = found.checkpoint["channel_values"].get("messages")
    return cast("list[AnyMessage]", values) if isinstance(values, list) else []
