"""The task `rewrite`: what the router sends to an expert in the place of what was typed.

What is lost is not counted with the gate's own detector, which cannot lose what it does not see, but with a blunter
one: every run of digits, every capital within a sentence, every acronym, and whatever stands in quotes or back-ticks.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from octopus_graph.codec import Done, Turn
from octopus_graph.evaluation.cases import Case
from octopus_graph.evaluation.metrics import Interval, Slice, part, share
from octopus_graph.evaluation.vectors import Embed
from octopus_graph.gate import parts_about
from octopus_graph.literals import normal
from octopus_graph.router import OctopusRouter, RouterDecision
from octopus_graph.units import in_digits

__all__ = ["RewriteFigures", "measure_rewrites"]

_BLUNT = re.compile(
    r"(?P<quote>\"[^\"\n]+\"|(?<!\w)'[^'\n]+'(?!\w)|`[^`]+`)"
    r"|(?P<number>\d+)"
    r"|(?P<name>\b[A-Z]{2,}\b|(?<=[\w,] )[A-Z]\w+)"
)
_GROUPS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_WORD = re.compile(r"[^\W\d_]{4,}")


@dataclass(frozen=True)
class RewriteFigures:
    """What rewrites are worth.

    Attributes:
        rows: Decisions asked: one of a request, and one of each hop of a path after the right ones.
        rewritten: The share of them that was rewritten.
        kept: For each kind of literal (number, quote, name) the share of those in the part of the request that the
            rewrite is about which survives, with its interval, and how many there were.
        answering: The share of rewrites with a word of the recorded answer that neither the request nor a source has;
            `None` where no answer is recorded.
        similarity: Mean cosine between request and rewrite.
        length: Mean length of a rewrite over that of its request, in characters.
        milliseconds: Mean time of a rewrite.
        kinds: Of `single`, `followup` and `hop` each (decisions, share rewritten, share of numbers kept).
    """

    rows: int
    rewritten: Interval
    kept: dict[str, Slice]
    answering: float | None
    similarity: float | None
    length: float | None
    milliseconds: float | None
    kinds: dict[str, tuple[int, float, float | None]]


@dataclass(frozen=True)
class _Asked:
    kind: str
    request: str
    sources: tuple[str, ...]
    answer: str
    decision: RouterDecision


def measure_rewrites(router: OctopusRouter, cases: Sequence[Case], embed: Embed | None = None) -> RewriteFigures:
    """Has every request rewritten where the router wants to, and looks at what became of it.

    Args:
        router: The router.
        cases: At least one: requests of one expert, with the turns before them if there are any, and those with `hops`.
        embed: Measures similarity, where given.
    """
    asked = [each for case in cases for each in _ask(router, case)]
    written = [(each, each.decision.rewrite) for each in asked if each.decision.rewrite is not None]
    kept = [(each.kind, name, found) for each, text in written for name, found in _kept(each.request, text)]
    told = [_answers(each, text) for each, text in written if each.answer]
    similarity = None
    if embed and written:
        before, after = embed([each.request for each, _ in written]), embed([text for _, text in written])
        similarity = float((np.asarray(before) * np.asarray(after)).sum(axis=1).mean())
    counts = {name: [found for _, of, found in kept if of == name] for name in sorted({name for _, name, _ in kept})}
    kinds: dict[str, tuple[int, float, float | None]] = {}
    for kind in dict.fromkeys(each.kind for each in asked):
        own = [each for each in asked if each.kind == kind]
        numbers = [found for of, name, found in kept if (of, name) == (kind, "number")]
        kinds[kind] = (len(own), sum(each.decision.rewrite is not None for each in own) / len(own), _mean(numbers))
    return RewriteFigures(
        rows=len(asked),
        rewritten=share([each.decision.rewrite is not None for each in asked]),
        kept={name: part(values) for name, values in counts.items()},
        answering=_mean(told),
        similarity=similarity,
        length=_mean([len(text) / len(each.request) for each, text in written]),
        milliseconds=_mean([each.decision.rewrite_ms for each, _ in written]),
        kinds=kinds,
    )


def _ask(router: OctopusRouter, case: Case) -> Iterator[_Asked]:
    """Decides a request, or each hop of it where the ones before went right."""
    previous = [Turn(turn.request, router.tokens.token(turn.expert)) for turn in case.previous]
    before = tuple(turn.request for turn in case.previous)
    done: list[Done] = []
    for hop in case.hops:
        decision = router.decide(
            case.request,
            [hop.expert],
            adapter=case.hops[len(done) - 1].expert if done else None,
            previous=previous,
            done=done,
            rewrite="auto",
        )
        yield _Asked("hop", case.request, (*before, *(each.answer for each in done)), hop.answer, decision)
        done.append(Done(router.tokens.token(hop.expert), hop.answer))
    if not case.hops:
        decision = router.decide(case.request, previous=previous, rewrite="auto")
        answer = "" if case.choices else case.answer  # the letter of a choice is no answer in words
        yield _Asked("followup" if previous else "single", case.request, before, answer, decision)


def _kept(request: str, rewrite: str) -> Iterator[tuple[str, bool]]:
    """Yields each literal of the part that the rewrite is about by kind, and whether it is still there."""
    there = _GROUPS.sub("", normal(rewrite))
    numbers = set(re.findall(r"\d+", there)) | set(re.findall(r"\d+", in_digits(there)))
    for about in parts_about(rewrite, request):
        for match in _BLUNT.finditer(_GROUPS.sub("", about)):
            found = match.group().strip("\"'`")
            kept = found in numbers if match.lastgroup == "number" else found.lower() in there.lower()
            yield match.lastgroup or "", kept


def _answers(asked: _Asked, rewrite: str) -> bool:
    known = {word[:5] for text in (asked.request, *asked.sources) for word in _WORD.findall(text.lower())}
    answer = {word[:5] for word in _WORD.findall(asked.answer.lower())} - known
    return bool(answer & {word[:5] for word in _WORD.findall(rewrite.lower())})


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
