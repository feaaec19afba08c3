"""Who answers a conversation: LangChain messages in, a `Choice` out. The chat model and the middleware share it.

    HumanMessage                 the request                      -> the router decides
    AIMessage(tool_calls=[…])    its response_metadata["octopus"] says who called
    ToolMessage                  what the tool said               -> the same expert goes on, the router is not asked

What was chosen travels in the answer's `response_metadata`, so a conversation carries its own decisions with it,
through checkpointers and clients alike.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from pydantic import BaseModel, ValidationError

from octopus_graph.codec import Turn, clean
from octopus_graph.errors import ConfigurationError, InputError, UnknownExpertError
from octopus_graph.router import OctopusRouter, Rewrite, RouterDecision

__all__ = ["METADATA", "Choice", "Chooser", "decision_of", "this_turn"]

METADATA = "octopus"
"""The key of `response_metadata` under which a decision stands."""


@dataclass(frozen=True)
class Choice:
    """Who answers, and why.

    Attributes:
        expert: Who answers.
        by: What chose it: the `router`; `sticky`, it had called the tools that have just answered; or `fallback`, the
            router was not sure.
        request: What was asked in this turn; empty where there is no text.
        metadata: The decision as plain JSON, for `response_metadata`.
    """

    expert: str
    by: Literal["router", "sticky", "fallback"]
    request: str
    metadata: Mapping[str, Any]

    @property
    def rewrite(self) -> str | None:
        """The request rewritten for the expert."""
        return self.metadata.get("rewrite")


@dataclass(frozen=True)
class Chooser:
    """Chooses among the experts that are able to answer.

    Attributes:
        router: Decides.
        fallback: Who takes what the router is not sure of.
        min_confidence: Below it the router is not sure.
        max_error: The largest share of requests that may go to the wrong expert: the router's calibration makes a
            least confidence of it.
        rewrite: Whether the request is rewritten for the expert.
        whole_path: Wrong is what has any hop wrong, and not the first one alone.
    """

    router: OctopusRouter
    fallback: str | None = None
    min_confidence: float = 0.0
    max_error: float | None = None
    rewrite: Rewrite = "never"
    whole_path: bool = False

    def check(self, experts: Sequence[str]) -> None:
        """Says at building time what could not work later.

        Raises:
            UnknownExpertError: If the router does not know an expert, or the fallback is none of them.
            ConfigurationError: If the router may be unsure and nobody stands in for it, or the bound on the error
                means nothing to this router.
        """
        if not experts:
            raise ConfigurationError("There is no expert to choose among: give at least one.")
        for name in experts:
            if name not in self.router.experts:
                raise UnknownExpertError(name, list(self.router.experts), where="the router")
        if self.fallback is not None and self.fallback not in experts:
            raise UnknownExpertError(self.fallback, list(experts), where="the fallback")
        if self.bar > 0 and self.fallback is None:
            raise ConfigurationError(
                "min_confidence and max_error need somebody to take what the router is not sure of: name a fallback."
            )

    @property
    def bar(self) -> float:
        """The confidence below which the router is not sure of a request."""
        if self.max_error is None:
            return self.min_confidence
        return max(self.min_confidence, self.router.min_confidence(self.max_error, whole_path=self.whole_path))

    def choose(self, messages: Sequence[BaseMessage], able: Sequence[str]) -> Choice:
        """Chooses who answers a conversation.

        Args:
            messages: The conversation.
            able: Those among whom to choose, in the order of their names; not empty.

        Raises:
            InputError: If the conversation holds no text to route by, and there is no fallback.
        """
        earlier, turn = this_turn(messages)
        request = _request(turn)
        before = _decided(turn)
        if before is not None and before.expert in able:
            return self._goes_on(before, request)
        if not request:
            if self.fallback in able:
                return self._without_reading(str(self.fallback))
            raise InputError("The conversation holds no text to route by: write a request, or name a fallback.")
        decision = self.router.decide(request, able, previous=self._previous(earlier), rewrite=self.rewrite)
        if decision.confidence < self.bar and self.fallback in able and decision.expert != self.fallback:
            return self._choice(str(self.fallback), "fallback", request, decision)
        return self._choice(str(decision.expert), "router", request, decision)

    def next_hop(self, decision: RouterDecision, request: str) -> Choice:
        """Makes a choice of the decision for a further hop."""
        return self._choice(str(decision.expert), "router", request, decision)

    def _choice(self, expert: str, by: Literal["router", "fallback"], request: str, decision: RouterDecision) -> Choice:
        metadata = {
            "expert": expert,
            "token": self.router.tokens.token(expert),
            "by": by,
            "confidence": decision.confidence,
            "top": [[name, probability] for name, probability in decision.top],
            # It was made for the router's own choice: somebody else is asked what was typed.
            "rewrite": decision.rewrite if by == "router" else None,
            "latency_ms": round(decision.latency_ms, 3),
            "rewrite_ms": round(decision.rewrite_ms, 3),
        }
        return Choice(expert, by, request, metadata)

    def _goes_on(self, before: "_Decided", request: str) -> Choice:
        token = self.router.tokens.token(before.expert)
        metadata = {**before.model_dump(), "token": token, "by": "sticky", "latency_ms": 0.0, "rewrite_ms": 0.0}
        return Choice(before.expert, "sticky", request, metadata)

    def _without_reading(self, expert: str) -> Choice:
        unread = RouterDecision(expert, self.router.tokens.token(expert), math.nan, ())
        choice = self._choice(expert, "fallback", "", unread)
        return Choice(expert, "fallback", "", {**choice.metadata, "confidence": None})

    def _previous(self, earlier: Sequence[BaseMessage]) -> list[Turn]:
        """Returns the last earlier turn: the one the router sees."""
        _, turn = this_turn(earlier)
        try:
            request = _request(turn)
        except InputError:  # a turn that was refused when it came
            return []
        if not request:
            return []
        before = _decided(turn)
        expert = None if before is None else (before.path or [before.expert])[0]
        if expert not in self.router.experts:  # a conversation from elsewhere: what would it have been?
            expert = self.router.decide(request, rewrite="never").expert
        return [Turn(request, self.router.tokens.token(str(expert)))]


class _Decided(BaseModel):
    """What is taken over of an earlier decision. It may come from a client, so it is read like any input."""

    expert: str
    confidence: float | None = None
    top: list[tuple[str, float]] = []
    rewrite: str | None = None
    path: list[str] = []


def _decided(turn: Sequence[BaseMessage]) -> _Decided | None:
    """Returns the last decision of a turn; `None` where there is none, or none that can be read."""
    for message in reversed(turn):
        if found := decision_of(message):
            try:
                return _Decided.model_validate(found)
            except ValidationError:
                return None
    return None


def decision_of(message: BaseMessage) -> dict[str, Any] | None:
    """Returns the decision behind an answer, `None` where there was none."""
    if not isinstance(message, AIMessage):
        return None
    found: object = message.response_metadata.get(METADATA)
    return cast(dict[str, Any], found) if isinstance(found, dict) else None


def this_turn(messages: Sequence[BaseMessage]) -> tuple[Sequence[BaseMessage], Sequence[BaseMessage]]:
    """Parts a conversation before its last human message; all of it is one turn where nobody human spoke.

    Human messages in a row are one turn: the last of them is the request.
    """
    places = [place for place, message in enumerate(messages) if isinstance(message, HumanMessage)]
    return (messages[: places[-1]], messages[places[-1] :]) if places else ((), messages)


def _request(turn: Sequence[BaseMessage]) -> str:
    """Returns what the router reads of a turn: its human's text; anybody's last words where no human spoke."""
    human = [message for message in turn if isinstance(message, HumanMessage)]
    for message in human or reversed(turn):
        if str(message.text).strip():
            return clean(str(message.text))
    return ""
