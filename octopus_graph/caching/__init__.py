"""What of a graph's work is kept: decisions, the answers of some experts, answers to questions that mean the same.

    from octopus_graph.persistence import open_cache

    with open_cache() as store:
        graph = create_octopus_graph(experts, router, cache=GraphCache(store, answers=["law"])).compile()

A decision follows from its key, so decisions are kept wherever a cache is given. An answer may depend on the hour, on
chance and on who asks: which experts' answers may be given again is the graph's choice.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

from langchain_core.messages import AnyMessage
from langchain_core.runnables import RunnableConfig

from octopus_graph.caching.differing import differ, mark
from octopus_graph.caching.keys import answer_digest, decision_digest, space_digest
from octopus_graph.effects import Blocking, Logic
from octopus_graph.engines.base import Embeds
from octopus_graph.errors import ConfigurationError
from octopus_graph.experts import Answer, Expert
from octopus_graph.persistence.entries import Entry, Made
from octopus_graph.router import OctopusRouter, RouterDecision
from octopus_graph.tokens import END

if TYPE_CHECKING:
    from octopus_graph.persistence.cache import RedisCache

__all__ = ["CachedDecision", "GraphCache", "Reply"]

WEEK = 604_800.0
DAY = 86_400.0
CANDIDATES = 3  # near questions whose answers are looked at


@dataclass(frozen=True)
class CachedDecision(RouterDecision):
    """A decision that was made before.

    Attributes:
        saved_ms: What that saved.
    """

    saved_ms: float = 0.0


@dataclass(frozen=True)
class Reply:
    """What came back for a query.

    Attributes:
        answer: The answer.
        server: Who gave it.
        error: Why the expert that was asked did not.
        cached: How it was found: the same question (`exact`), or one that means the same (`semantic`).
        likeness: Of a semantic one, the cosine of the two questions.
        saved_ms: What that saved.
    """

    answer: Answer
    server: Expert
    error: str | None = None
    cached: Literal["exact", "semantic"] | None = None
    likeness: float | None = None
    saved_ms: float = 0.0


@dataclass(frozen=True)
class GraphCache:
    """What is kept, for how long, and where.

    Attributes:
        store: Where: `open_cache()` opens one.
        decisions: The seconds a decision is kept; `None` keeps none.
        answers: The experts whose answers may be given again.
        answer_ttl: The seconds an answer is kept.
        semantic: The cosine from which two questions of an expert mean the same (`caching.semantic` finds it);
            `None`: only the same words do.
    """

    store: "RedisCache"
    decisions: float | None = WEEK
    answers: Sequence[str] = ()
    answer_ttl: float = DAY
    semantic: float | None = None

    def __post_init__(self) -> None:
        """Checks what can be checked without the graph."""
        for name, ttl in (("decisions", self.decisions), ("answer_ttl", self.answer_ttl)):
            if ttl is not None and not ttl >= 0.001:
                raise ConfigurationError(f"The cache's {name} is {ttl:g} s: write a number of seconds above zero.")
        if self.semantic is not None and not 0 < self.semantic <= 1:
            raise ConfigurationError(f"The cache's semantic threshold is {self.semantic:g}: write one from 0 to 1.")
        if self.semantic is not None and not self.answers:
            raise ConfigurationError("A semantic cache is for answers: name the experts whose answers may be kept.")

    def decide(
        self, router: OctopusRouter, request: str, candidates: Sequence[str], **given: Any
    ) -> Logic[RouterDecision]:
        """Finds a decision, or has it made; the arguments are those of `OctopusRouter.decide`."""
        decide = partial(router.decide, request, candidates, **given)
        if self.decisions is None:
            return (yield Blocking(decide))
        given = {"adapter": None, "previous": (), "done": (), "rewrite": "auto"} | given
        name = decision_digest(router, request, candidates, **given)
        load = partial(_decision, router, candidates, bool(given["done"]))
        entry = Entry[RouterDecision]("decision", name, self.decisions, _plain_decision, load)

        def compute() -> Logic[Made[RouterDecision]]:
            return Made(cast(RouterDecision, (yield Blocking(decide))))

        started = time.perf_counter()
        found = yield from self.store.once(entry, compute)
        if not found.cached:
            return found.value
        kept, taken = found.value, (time.perf_counter() - started) * 1e3
        return CachedDecision(
            kept.expert,
            kept.token,
            kept.confidence,
            kept.top,
            kept.rewrite,
            latency_ms=taken,
            ranked=kept.ranked,
            saved_ms=found.saved_ms,
        )

    def answer(
        self,
        router: OctopusRouter,
        expert: Expert,
        query: str,
        chat: Sequence[AnyMessage],
        *,
        config: RunnableConfig | None,
        ask: Callable[[], Logic[Reply]],
    ) -> Logic[Reply]:
        """Finds an answer, or has the expert asked.

        Args:
            router: Its engine makes vectors of questions.
            expert: Who is asked.
            query: The question.
            chat: As the expert is given it.
            config: The run's.
            ask: Asks.
        """
        if expert.name not in self.answers:
            return (yield from ask())
        entry = self._entry(expert, answer_digest(expert, query, chat, config), query)
        # A question that leans on what was said before means little by itself.
        alone = len(chat) == 1 and str(chat[0].text) == query

        def compute() -> Logic[Made[Reply]]:
            near, vector, key = None, None, ""
            if self.semantic is not None and alone:
                vector = yield Blocking(partial(_embed, router, query))
                key = self.store.key("semantic", space_digest(expert, router.revision, config))
                near = yield from self._near(key, vector, expert, query)
            if near is not None:
                return Made(near, keep=False)
            reply = yield from ask()
            keep = reply.server is expert and bool(reply.answer.text.strip())
            if keep and vector is not None:
                lives = round(self.answer_ttl * 1000)
                yield from self.store.vectors.add(key, entry.digest, mark(query), vector, ttl_ms=lives)
            return Made(reply, keep)

        found = yield from self.store.once(entry, compute)
        if not found.cached:
            return found.value
        # Under its id the words were streamed to somebody else.
        answer = Answer(found.value.answer.text)
        return replace(found.value, answer=answer, cached="exact", likeness=None, saved_ms=found.saved_ms)

    def _near(self, key: str, vector: Sequence[float], expert: Expert, query: str) -> Logic[Reply | None]:
        """Finds the answer to a question that means the same."""
        least = self.semantic or 1.0
        near = yield from self.store.vectors.nearest(key, mark(query), vector, threshold=least, most=CANDIDATES)
        for likeness, name in near:
            asked: list[str] = []
            kept = yield from self.store.peek(self._entry(expert, name, query, asked))
            if kept is None or differ(asked[0], query):
                continue
            self.store.counters.add("semantic", "hit")
            self.store.counters.add("semantic", "saved_ms", kept.cost_ms)
            reply: Reply = kept.value
            return replace(reply, cached="semantic", likeness=round(likeness, 4), saved_ms=kept.cost_ms)
        self.store.counters.add("semantic", "miss")
        return None

    def _entry(self, expert: Expert, name: str, query: str, asked: list[str] | None = None) -> Entry[Reply]:
        """Describes an answer; `asked` takes the question it was given to."""

        def load(kept: Any) -> Reply:
            text, question = kept["text"], kept["query"]
            if not (isinstance(text, str) and isinstance(question, str)):
                raise TypeError("an answer is a text, and so is a question")
            if asked is not None:
                asked.append(question)
            return Reply(Answer(text), expert)

        def dump(reply: Reply) -> Any:
            return {"text": reply.answer.text, "query": query}

        return Entry[Reply]("answer", name, self.answer_ttl, dump, load)


def _embed(router: OctopusRouter, query: str) -> Sequence[float]:
    return cast(Embeds, router.engine).embed([query])[0]


def _plain_decision(decision: RouterDecision) -> Any:
    ranked = [[name, probability] for name, probability in decision.ranked or decision.top]
    return {"expert": decision.expert, "ranked": ranked, "rewrite": decision.rewrite}


def _decision(router: OctopusRouter, candidates: Sequence[str], may_end: bool, kept: Any) -> RouterDecision:
    """Reads a decision. The token comes from the router and never from what was read.

    Raises:
        ValueError: If it is none that the router could have made.
    """
    expert, rewrite = kept["expert"], kept["rewrite"]
    ranked = tuple((str(name), float(probability)) for name, probability in kept["ranked"])
    known = {*candidates, *(["end"] if may_end else [])}
    if (
        (expert or "end") != ranked[0][0]
        or not {name for name, _ in ranked} <= known
        or not isinstance(rewrite, str | None)
    ):
        raise ValueError("no decision of this router")
    token = router.tokens.token(expert) if expert else END
    return RouterDecision(expert, token, ranked[0][1], ranked[:3], rewrite, ranked=ranked)
