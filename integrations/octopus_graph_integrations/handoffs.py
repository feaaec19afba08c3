"""Who of a team is handed over to, first and next: the router's decisions about experts read as ones about agents."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.config import get_config
from langgraph.runtime import get_runtime
from langgraph.types import interrupt

from octopus_graph.codec import Done, Turn, clean
from octopus_graph.effects import Blocking, Logic
from octopus_graph.errors import InputError, UnknownExpertError
from octopus_graph.router import OctopusRouter, RouterDecision
from octopus_graph.state import Decision, Hop, OctopusContext
from octopus_graph.tokens import END
from octopus_graph.turns import Asked, following, repeats
from octopus_graph_integrations.agents import Agent
from octopus_graph_integrations.transcript import earlier_turns

__all__ = ["Desk"]

UNHEARD = "Here is what I know of it."  # stands for an answer that is not there yet; the router was measured on it
# A part that speaks of what another agent has yet to say cannot be worked on at the same time.
_LEANS = re.compile(
    r"\b(?:it|its|that|them|they|their|these|those|this|result|answer|above|both|same)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Desk:
    """Decides for a team of agents.

    Attributes:
        team: The agents by name.
        router: Decides among their experts.
        fallback: The agent that takes what the router is not sure of.
        defaults: The context of runs that set none.
        together: Whether agents whose parts do not depend on each other work at the same time.
    """

    team: Mapping[str, Agent]
    router: OctopusRouter
    fallback: str | None
    defaults: OctopusContext
    together: bool = False

    def first(
        self, request: str, messages: Sequence[AnyMessage], by: str, stay_with: str | None = None
    ) -> Logic[tuple[list[Decision], list[AnyMessage]]]:
        """Decides who takes a request.

        Args:
            request: Its text.
            messages: The thread up to it.
            by: The node that decides.
            stay_with: The agent that keeps the user where the router is not sure enough of another.

        Returns:
            One decision for each agent to be asked, and what was said to and by the human where one was asked.

        Raises:
            UnknownExpertError: If the context allows an agent that is not there.
        """
        context = self.context()
        allowed = self._allowed(context)
        turns = earlier_turns(messages, self._main_tokens)
        decide = partial(self._decide, previous=turns, rewrite=context.rewrite)
        chosen = yield from decide(request, allowed)
        home = stay_with or self.fallback
        unsure = chosen.confidence < self._bar(context) and chosen.expert != home
        asked: list[AnyMessage] = []
        if unsure and context.when_unsure == "ask" and _resumable():
            question = f"Is this for {' or '.join(name for name, _ in chosen.top)}? Say more, or name one."
            reply = _text(interrupt({"question": question, "request": request, "experts": _pairs(chosen)}))
            asked = [AIMessage(question, name=by), HumanMessage(reply)]
            named = reply if reply in allowed else None
            request = request if named else f"{request}\n{reply}"
            chosen = yield from decide(request, [named] if named else allowed)
            unsure = named is None and chosen.confidence < self._bar(context) and chosen.expert != home
        decision = _decision(by, chosen, request)
        if not unsure:
            return (yield from self._ahead(decision, request, turns, context)), asked
        plain = Decision({**decision, "query": request, "rewritten": False})
        if context.when_unsure == "fan_out" and len(chosen.top) > 1:
            likeliest = [name for name, _ in chosen.top[: context.fan_out]]
            return [self._for(plain, name) for name in likeliest], asked
        return [self._for(plain, home if home in allowed else None)], asked

    def next(
        self, request: str, messages: Sequence[AnyMessage], hops: Sequence[Hop], *, joined: bool
    ) -> Logic[list[Decision]]:
        """Decides who is asked after the agents that have answered; nobody where the list is empty.

        Args:
            request: The request of the turn.
            messages: The thread.
            hops: The agents that were asked for it.
            joined: Whether the last of them were asked because the router was not sure: then nobody follows.
        """
        context = self.context()
        if joined or len(hops) >= context.max_hops:
            return []
        turns = earlier_turns(_up_to_request(messages), self._main_tokens)
        decision = yield from self._following(request, turns, hops, context)
        if decision is None or decision["expert"] is None:
            return []
        return [decision]

    def context(self) -> OctopusContext:
        """Returns what the caller set, over the defaults."""
        given: Any = get_runtime(OctopusContext).context
        if not isinstance(given, OctopusContext):  # none, or one of the application's own
            return self.defaults
        return self.defaults.model_copy(update={name: getattr(given, name) for name in given.model_fields_set})

    def _ahead(
        self, first: Decision, request: str, turns: Sequence[Turn], context: OctopusContext
    ) -> Logic[list[Decision]]:
        """Finds who can work beside the first agent: asks who would follow, before anybody has answered."""
        plan = [first]
        while self.together and first["rewritten"] and len(plan) < context.max_hops:
            hops = [_unheard(step) for step in plan]
            step = yield from self._following(request, turns, hops, context)
            if step is None or step["expert"] is None or not step["rewritten"] or _LEANS.search(step["query"]):
                break  # done; or it can only be said what its part is once the others have answered
            if step["expert"] in [other["expert"] for other in plan]:
                break
            plan.append(step)
        return plan

    def _following(
        self, request: str, turns: Sequence[Turn], hops: Sequence[Hop], context: OctopusContext
    ) -> Logic[Decision | None]:
        last = hops[-1]
        asked: list[Asked] = [(hop["expert"], hop["query"]) for hop in hops]
        before = self.router.tokens.expert(last["token"])
        # An agent may follow itself only as another of its experts.
        candidates = [name for name in self._allowed(context) if self.team[name].experts != (before,)]
        if context.rewrite == "never":  # everybody would be asked the request itself
            candidates = [name for name in candidates if not repeats(name, request, asked)]
        decide = partial(
            self._decide,
            request,
            adapter=before,
            previous=turns,
            done=[Done(hop["token"], hop["answer"]) for hop in hops],
            rewrite=context.rewrite,
        )
        chosen = yield from following(decide, candidates, request, asked, min_confidence=context.min_confidence)
        if chosen is None or chosen.confidence < context.min_confidence:
            return None
        return _decision(last["expert"], chosen, request)

    def _decide(self, request: str, agents: Sequence[str], **how: Any) -> Logic[RouterDecision]:
        """Decides among agents; what the experts of one agent are given is added up."""
        candidates = [expert for name in agents for expert in self.team[name].experts if expert != how.get("adapter")]
        chosen: RouterDecision = yield Blocking(partial(self.router.decide, request, candidates, **how))
        shares: dict[str, float] = {}
        for expert, share in chosen.top:
            name = self._owners.get(expert, expert)  # the end is nobody's
            shares[name] = shares.get(name, 0.0) + share
        top = tuple(sorted(shares.items(), key=lambda pair: -pair[1]))
        likeliest, confidence = top[0]
        if likeliest != (self._owners[chosen.expert] if chosen.expert else "end"):
            # Two experts of one agent together outdo the likeliest expert. The rewrite was made for that one.
            best = next(expert for expert, _ in chosen.top if self._owners.get(expert, expert) == likeliest)
            token = END if best == "end" else self.router.tokens.token(best)
            chosen = replace(chosen, token=token, rewrite=None)
        return replace(chosen, expert=None if likeliest == "end" else likeliest, confidence=confidence, top=top)

    def _for(self, decision: Decision, agent: str | None) -> Decision:
        """Gives a decision to another agent than the likeliest."""
        if agent is None or agent == decision["expert"]:
            return Decision({**decision, "expert": agent, "token": decision["token"] if agent else END})
        share = next((float(value) for name, value in decision["top"] if name == agent), 0.0)
        return Decision({**decision, "expert": agent, "token": self._main_tokens[agent], "confidence": share})

    @cached_property
    def _owners(self) -> dict[str, str]:
        return {expert: agent.name for agent in self.team.values() for expert in agent.experts}

    @cached_property
    def _main_tokens(self) -> dict[str, str]:
        return {agent.name: self.router.tokens.token(agent.experts[0]) for agent in self.team.values()}

    def _bar(self, context: OctopusContext) -> float:
        if context.max_error is None:
            return context.min_confidence
        bound = self.router.min_confidence(context.max_error, whole_path=context.max_hops > 1)
        return max(context.min_confidence, bound)

    def _allowed(self, context: OctopusContext) -> list[str]:
        for name in context.experts or ():
            if name not in self.team:
                raise UnknownExpertError(name, list(self.team), where="the agents allowed")
        return [name for name in self.team if context.experts is None or name in context.experts]


def _decision(by: str, chosen: RouterDecision, request: str) -> Decision:
    return Decision(
        by=by,
        expert=chosen.expert,
        also=[],
        token=chosen.token,
        query=request if chosen.rewrite is None else chosen.rewrite,
        rewritten=chosen.rewrite is not None,
        confidence=chosen.confidence,
        top=_pairs(chosen),
        decide_ms=round(chosen.latency_ms, 3),
        rewrite_ms=round(chosen.rewrite_ms, 3),
    )


def _pairs(chosen: RouterDecision) -> list[list[str | float]]:
    return [[name, share] for name, share in chosen.top]


def _unheard(step: Decision) -> Hop:
    return hop_of(step, UNHEARD, 0.0)


def hop_of(step: Decision, answer: str, seconds: float) -> Hop:
    """Writes down that an agent was asked, and what it answered."""
    return Hop(
        expert=str(step["expert"]),
        token=step["token"],
        query=step["query"],
        rewritten=step["rewritten"],
        answer=answer,
        confidence=step["confidence"],
        top=step["top"],
        decide_ms=step["decide_ms"],
        rewrite_ms=step["rewrite_ms"],
        expert_ms=round(seconds * 1e3, 3),
        served_by=None,
        error=None,
    )


def _up_to_request(messages: Sequence[AnyMessage]) -> Sequence[AnyMessage]:
    last = max((at for at, message in enumerate(messages) if isinstance(message, HumanMessage)), default=-1)
    return messages[: last + 1]


def _resumable() -> bool:
    """Says whether the run is kept while its human thinks."""
    return get_config().get("configurable", {}).get("__pregel_checkpointer") is not None


def _text(reply: object) -> str:
    if not isinstance(reply, str):
        raise InputError("A run that asked its human goes on with a text: Command(resume='…').")
    return clean(reply)
