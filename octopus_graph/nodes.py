"""The nodes of the graph: state in, `Command` out.

    route     the first decision               -> an expert, or finish where none is sure enough
    <expert>  its answer, then its edge router -> a neighbour, or finish
    finish    the answer of the run

What waits is an effect, so each of them stands here once for sync and async.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.config import get_config, get_stream_writer
from langgraph.runtime import get_runtime
from langgraph.types import Command, Overwrite, interrupt

from octopus_graph.caching import CachedDecision, GraphCache, Reply
from octopus_graph.codec import Done, clean
from octopus_graph.effects import Blocking, Logic
from octopus_graph.errors import InputError, UnknownExpertError
from octopus_graph.experts import Expert, ask_in_turn
from octopus_graph.router import OctopusRouter, RouterDecision
from octopus_graph.state import Decision, Hop, OctopusContext, OctopusState
from octopus_graph.tokens import END
from octopus_graph.turns import (
    briefing,
    following,
    handoff,
    mended,
    pending_call,
    previous_turns,
    repeats,
    request_of,
)

__all__ = ["FINISH", "ROUTE", "Nodes"]

ROUTE = "route"
FINISH = "finish"


@dataclass(frozen=True)
class Nodes:
    """The logic of every node of one graph.

    Attributes:
        experts: By name, in the order they were given.
        router: Decides.
        fallback: The expert that takes what the router is not sure of.
        defaults: The context of runs that set none.
        cache: What of this is kept; `None` for nothing.
    """

    experts: Mapping[str, Expert]
    router: OctopusRouter
    fallback: str | None
    defaults: OctopusContext
    cache: GraphCache | None = None

    def neighbours(self, expert: Expert) -> tuple[str, ...]:
        """Returns who may be asked after an expert."""
        if expert.neighbours is not None:
            return expert.neighbours
        return tuple(name for name in self.experts if name != expert.name)

    def route(self, state: OctopusState) -> Logic[Command[str]]:
        """Begins a turn: decides who is asked first."""
        context = self._context()
        messages = state["messages"]
        request = request_of(messages)
        allowed = self._allowed(context)
        previous = previous_turns(messages, self.router.tokens)
        chosen = yield from self._decide(request, allowed, previous=previous, rewrite=context.rewrite)
        asked: list[AnyMessage] = []
        unsure = chosen.confidence < self._bar(context) and chosen.expert != self.fallback
        # Whoever brings the human's words need not bring the run's context again: they are taken in any case.
        if _answered() or (unsure and context.when_unsure == "ask" and _resumable()):
            said = _clarified(interrupt(_question(request, chosen)))
            asked = [AIMessage(_question(request, chosen)["question"]), HumanMessage(said)]
            named = said.strip() in allowed
            request = request if named else f"{request}\n{said}"
            # A second question would be one too many: what is still unclear then is the fallback's.
            candidates = [said.strip()] if named else allowed
            chosen = yield from self._decide(request, candidates, previous=previous, rewrite=context.rewrite)
            unsure = not named and chosen.confidence < self._bar(context) and chosen.expert != self.fallback
        decision = _decision(ROUTE, chosen, request)
        if unsure:
            decision = self._unsure(decision, request, allowed, context)
        # Overwrite: the channel adds up, and the hops of the turn before must not count against this one's budget.
        update = {"request": request, "hops": Overwrite([])}
        return _onwards(decision, update, [*mended(messages), *asked])

    def answer(self, expert: Expert, state: OctopusState) -> Logic[Command[str]]:
        """Has an expert answer, then decides who is asked next."""
        context = self._context()
        call = pending_call(state["messages"], expert.name)
        query = str(call["args"]["query"])  # from the message and not the decision: a human may have edited it
        rewritten = query != state["request"]
        chat = briefing(state["messages"], state["hops"], query, rewritten=rewritten)
        started = time.perf_counter()
        reply = yield from self._ask(expert, query, chat, state, context)
        decision = state["decision"]
        hop = Hop(
            expert=expert.name,
            token=self.router.tokens.token(expert.name),
            query=query,
            rewritten=rewritten,
            answer=reply.answer.text,
            confidence=_confidence(decision, expert.name),
            top=decision["top"],
            decide_ms=decision["decide_ms"],
            rewrite_ms=decision["rewrite_ms"],
            expert_ms=_ms(time.perf_counter() - started),
            served_by=None if reply.server is expert else reply.server.name,
            error=reply.error,
        )
        if reply.cached is not None:
            hop["cached"] = reply.cached
        if reply.likeness is not None:
            hop["likeness"] = reply.likeness
        get_stream_writer()({"event": "hop", **hop})
        said = ToolMessage(
            reply.answer.text,
            name=expert.name,
            tool_call_id=call["id"],
            additional_kwargs={"message_id": reply.answer.message_id} if reply.answer.message_id else {},
        )
        if decision["also"]:  # the others answer at this moment; who is asked next nobody decides
            return _onwards(None, {"hops": [hop]}, [said])
        following = yield from self._next(expert, state, [*state["hops"], hop], context)
        return _onwards(following, {"hops": [hop]}, [said])

    def finish(self, state: OctopusState) -> Logic[dict[str, Any]]:
        """Ends a turn: makes one answer of the hops'."""
        yield from ()  # nothing to wait for
        hops = _in_order(state["hops"], state["decision"])
        match hops:
            case []:
                message = AIMessage(_abstention(state["decision"]))
            case [hop]:
                message = AIMessage(hop["answer"], id=_streamed_id(state["messages"]))
            case _:
                parts = (f"## {hop['expert'].replace('_', ' ').capitalize()}\n\n{hop['answer']}" for hop in hops)
                message = AIMessage("\n\n".join(parts))
        path = [hop["expert"] for hop in hops]
        get_stream_writer()({"event": "answer", "answer": str(message.text), "path": path})
        return {"messages": [message]}

    def _next(
        self, expert: Expert, state: OctopusState, hops: Sequence[Hop], context: OctopusContext
    ) -> Logic[Decision | None]:
        """Decides who is asked after an expert; `None` where there is nothing to decide."""
        if len(hops) >= context.max_hops:
            return None
        request = state["request"]
        asked = [(name, hop["query"]) for hop in hops for name in (hop["expert"], hop["served_by"]) if name]
        allowed = self._allowed(context)
        candidates = [name for name in self.neighbours(expert) if name in allowed]
        if context.rewrite == "never":  # everybody would be asked the request itself
            candidates = [name for name in candidates if not repeats(name, request, asked)]
        decide = partial(
            self._decide,
            request,
            adapter=expert.name,
            previous=previous_turns(state["messages"], self.router.tokens),
            done=[Done(hop["token"], hop["answer"]) for hop in hops],
            rewrite=context.rewrite,
        )
        chosen = yield from following(decide, candidates, request, asked, min_confidence=context.min_confidence)
        if chosen is None:
            return None
        decision = _decision(expert.name, chosen, request)
        if chosen.confidence < context.min_confidence:
            return Decision({**decision, "expert": None, "token": END, "query": request, "rewritten": False})
        return decision

    def _decide(self, request: str, candidates: Sequence[str], **given: Any) -> Logic[RouterDecision]:
        """Has the router decide, unless the same was decided before."""
        if self.cache is None:
            return (yield Blocking(partial(self.router.decide, request, candidates, **given)))
        chosen = yield from self.cache.decide(self.router, request, candidates, **given)
        if isinstance(chosen, CachedDecision):
            get_stream_writer()({"event": "cache", "kind": "decision", "found": "exact", "saved_ms": chosen.saved_ms})
        return chosen

    def _ask(
        self, expert: Expert, query: str, chat: Sequence[AnyMessage], state: OctopusState, context: OctopusContext
    ) -> Logic[Reply]:
        """Asks an expert, and while it does not answer those that stand in for it, unless it was asked before."""
        config = get_config()

        def ask() -> Logic[Reply]:
            asked = ask_in_turn(self._line(expert, context), query, chat, state, config)
            answer, server, error = yield from asked
            return Reply(answer, server, error)

        if self.cache is None:
            return (yield from ask())
        reply = yield from self.cache.answer(self.router, expert, query, chat, config=config, ask=ask)
        if reply.cached is not None:
            event = {"event": "cache", "kind": "answer", "expert": expert.name, "found": reply.cached}
            likeness = {} if reply.likeness is None else {"likeness": reply.likeness}
            get_stream_writer()({**event, **likeness, "saved_ms": round(reply.saved_ms, 3)})
        return reply

    def _bar(self, context: OctopusContext) -> float:
        """Returns the confidence below which the router counts as unsure of a request."""
        if context.max_error is None:
            return context.min_confidence
        bound = self.router.min_confidence(context.max_error, whole_path=context.max_hops > 1)
        return max(context.min_confidence, bound)

    def _unsure(self, decision: Decision, request: str, allowed: Sequence[str], context: OctopusContext) -> Decision:
        """Says who takes a request the router is unsure of. The rewrite was made for another expert, so it goes."""
        plain = Decision({**decision, "query": request, "rewritten": False})
        likeliest = [str(name) for name, _ in decision["top"][: context.fan_out]]
        if context.when_unsure == "fan_out" and len(likeliest) > 1:
            return Decision({**plain, "also": likeliest[1:]})
        fallback = self.fallback if self.fallback in allowed else None
        token = END if fallback is None else self.router.tokens.token(fallback)
        return Decision({**plain, "expert": fallback, "token": token})

    def _context(self) -> OctopusContext:
        """Returns what the caller set, over the graph's defaults."""
        given: Any = get_runtime(OctopusContext).context
        # None, that of a graph this one is a part of, or one that sets nothing.
        if not isinstance(given, OctopusContext) or not given.model_fields_set:
            return self.defaults
        return self.defaults.model_copy(update={name: getattr(given, name) for name in given.model_fields_set})

    def _allowed(self, context: OctopusContext) -> list[str]:
        if context.experts is None:
            return list(self.experts)
        for name in context.experts:
            if name not in self.experts:
                raise UnknownExpertError(name, list(self.experts), where="the experts allowed")
        return [name for name in self.experts if name in context.experts]

    def _line(self, expert: Expert, context: OctopusContext) -> list[Expert]:
        """Returns an expert and those that stand in for it, one after the other; nobody twice."""
        allowed = self._allowed(context)
        line = [expert]
        while (name := line[-1].fallback) in allowed and self.experts[name] not in line:
            line.append(self.experts[name])
        return line


def _decision(by: str, chosen: RouterDecision, request: str) -> Decision:
    decision = Decision(
        by=by,
        expert=chosen.expert,
        also=[],
        token=chosen.token,
        query=request if chosen.rewrite is None else chosen.rewrite,
        rewritten=chosen.rewrite is not None,
        confidence=chosen.confidence,
        top=[[name, probability] for name, probability in chosen.top],
        decide_ms=_ms(chosen.latency_ms / 1e3),
        rewrite_ms=_ms(chosen.rewrite_ms / 1e3),
    )
    if isinstance(chosen, CachedDecision):
        decision["cached"] = True
    return decision


def _onwards(decision: Decision | None, update: dict[str, Any], messages: list[AnyMessage]) -> Command[str]:
    """Goes where a decision says, and writes it down."""
    if decision is None:
        return Command(goto=FINISH, update=update | {"messages": messages})
    get_stream_writer()({"event": "decision", **decision})
    update = update | {"decision": decision}
    if decision["expert"] is None:
        return Command(goto=FINISH, update=update | {"messages": messages})
    experts = [decision["expert"], *decision["also"]]
    return Command(goto=experts, update=update | {"messages": [*messages, handoff(experts, decision["query"])]})


def _resumable() -> bool:
    """Says whether somebody keeps the run while its human thinks: without a checkpointer it could never go on."""
    return get_config().get("configurable", {}).get("__pregel_checkpointer") is not None


def _answered() -> bool:
    """Says whether the run goes on with what its human said."""
    pad: Any = get_config().get("configurable", {}).get("__pregel_scratchpad")
    return pad is not None and (bool(pad.resume) or pad.get_null_resume(False) is not None)


def _question(request: str, chosen: RouterDecision) -> dict[str, Any]:
    """Writes what a run stops with to ask the human."""
    likeliest = [name.replace("_", " ") for name, _ in chosen.top]
    return {
        "question": f"Is this about {' or '.join(likeliest)}? Say more about what you need, or name the expert.",
        "request": request,
        "experts": [[name, probability] for name, probability in chosen.top],
    }


def _clarified(said: object) -> str:
    if not isinstance(said, str) or not said.strip():
        raise InputError("A run that asked its human goes on with a text: Command(resume='…').")
    return clean(said)


def _confidence(decision: Decision, expert: str) -> float:
    """Returns the probability of an expert that was asked beside the likeliest one, else that of the decision."""
    return next(
        (float(value) for name, value in decision["top"] if name == expert and decision["also"]), decision["confidence"]
    )


def _in_order(hops: Sequence[Hop], decision: Decision) -> list[Hop]:
    """Puts experts that answered at the same time in the order of their likelihood."""
    if not decision["also"]:
        return list(hops)
    order = [decision["expert"], *decision["also"]]
    return sorted(hops, key=lambda hop: order.index(hop["expert"]))


def _abstention(decision: Decision) -> str:
    named = ", ".join(f"{name} ({probability:.0%})" for name, probability in decision["top"])
    return f"No expert is sure enough to be asked; the likeliest are {named}: please say more about what you need."


def _streamed_id(messages: Sequence[AnyMessage]) -> str | None:
    """Returns the id under which the last answer was streamed, so that clients do not show it twice.

    An id some message of the thread bears already is not taken: the answer would replace that message.
    """
    streamed = messages[-1].additional_kwargs.get("message_id") if messages else None
    return None if any(message.id == streamed for message in messages) else streamed


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)
