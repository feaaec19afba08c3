"""Samples: rows rendered as what the router reads and what it should emit.

A sample is a prompt and what follows it. Each piece of that says which loss it bears:

    CHOICE  one functional token among the experts
    HOP     one functional token among the experts and the end
    TEXT    plain language-model loss, for the rewrite
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from octopus_graph.codec import ANSWER_BUDGET, CLOSE, OPEN, OUTPUT_BUDGET, Codec, Turn
from octopus_graph.prompt import Prompt, Segment
from octopus_graph.tokens import END, FunctionalTokens
from octopus_graph.training.data import Multipart, PathHop, Question, Request, Unroutable

__all__ = [
    "CHOICE",
    "HOP",
    "TEXT",
    "Sample",
    "compose",
    "compose_alike",
    "multipart_sample",
    "question_sample",
    "request_sample",
    "unroutable_sample",
]

CHOICE, HOP, TEXT = 1, 2, 3


@dataclass(frozen=True)
class Sample:
    """What the router reads, and what follows.

    Attributes:
        prompt: What it reads.
        target: What follows: segments, each with the loss that emitting it bears (0 for none).
        shares: What the first choice should be like where it is not one token: functional tokens and their shares,
            which add up to 1.
        subject: The finer field of the request, where it is known.
    """

    prompt: Prompt
    target: tuple[tuple[Segment, int], ...]
    shares: tuple[tuple[str, float], ...] = ()
    subject: str = ""


@dataclass(frozen=True)
class _Step:
    """One hop: who is asked, how the request is rewritten for it (`None`: nobody knows), and what came back."""

    expert: str
    query: str | None
    answer: str


def _trajectory(
    prompt: Prompt,
    steps: Sequence[_Step],
    tokens: FunctionalTokens,
    codec: Codec,
    *,
    only: str | None,
    until: int | None,
) -> Sample:
    """Renders a run as one sequence, so that every decision of it is learned in one forward pass.

    Args:
        prompt: The request in its frame.
        steps: The hops in order.
        tokens: The functional tokens.
        codec: The dialect.
        only: Puts loss only on the decisions made after this expert has answered: what its edge adapter learns.
        until: The hop that the sequence ends with, its rewrite included: no later decision is shown a rewrite. `None`
            for the whole run, which has none.
    """
    target: list[tuple[Segment, int]] = []
    kind, decider = CHOICE, ""
    for place, step in enumerate(steps):
        learned = only is None or decider == only
        target.append((Segment(tokens.token(step.expert), trusted=True), kind if learned else 0))
        if place == until:
            loss = TEXT if learned else 0
            if step.query:
                target.append((Segment(OPEN, trusted=True), loss))
                target.append((Segment(step.query, budget=OUTPUT_BUDGET), loss))
                target.append((Segment(CLOSE + END, trusted=True), loss))
            elif step.query is not None:
                target.append((Segment(END, trusted=True), loss))
            return Sample(prompt, tuple(target))
        target.append((Segment(END, trusted=True), 0))
        target.append((Segment(step.answer, budget=ANSWER_BUDGET), 0))
        target.append((Segment(codec.stop, trusted=True), 0))
        kind, decider = HOP, step.expert
    target.append((Segment(END, trusted=True), HOP if only is None or decider == only else 0))
    return Sample(prompt, tuple(target))


def request_sample(
    row: Request, tokens: FunctionalTokens, codec: Codec, *, stop: bool, only: str | None = None
) -> Sample:
    """Renders a request: to its expert and its rewrite, or (with `stop`) to its expert and from there to the end."""
    previous = [Turn(turn.request, tokens.token(turn.expert)) for turn in row.previous]
    steps = [_Step(row.expert, row.rewrite, row.answer)]
    prompt = codec.prompt(row.request, previous)
    sample = _trajectory(prompt, steps, tokens, codec, only=only, until=None if stop else 0)
    total = sum(row.targets.values())
    return replace(
        sample, shares=tuple((tokens.token(expert), share / total) for expert, share in row.targets.items() if share)
    )


def unroutable_sample(row: Unroutable, tokens: FunctionalTokens, codec: Codec) -> Sample:
    """Renders what no expert fits: every expert is as likely as any other (outlier exposure, arXiv 1812.04606)."""
    share = 1 / len(tokens.experts)
    anyone = Segment(tokens.token(tokens.experts[-1]), trusted=True)
    return Sample(
        codec.prompt(row.request),
        ((anyone, CHOICE),),
        tuple((tokens.token(expert), share) for expert in tokens.experts),
    )


def question_sample(
    row: Question, tokens: FunctionalTokens, codec: Codec, *, with_choices: bool, stop: bool, only: str | None = None
) -> Sample:
    """Renders a benchmark question, alone or with its answer choices; such a question is sent as it is."""
    text = f"{row.question}\n{row.choices}" if with_choices else row.question
    # One of the choices stands in for an answer: the edge router has to see that there is one, not whether it is right.
    lines = [line[3:] for line in row.choices.splitlines() if len(line) > 3] or ["I do not know."]
    steps = [_Step(row.expert, "", lines[len(row.question) % len(lines)])]
    sample = _trajectory(codec.prompt(text), steps, tokens, codec, only=only, until=None if stop else 0)
    return replace(sample, subject=row.subject)


def multipart_sample(
    row: Multipart, tokens: FunctionalTokens, codec: Codec, *, until: int | None = None, only: str | None = None
) -> Sample:
    """Renders a multi-part request: each part after the one before, and the end; or up to the query of one hop."""
    steps = [_Step(hop.expert, hop.query, hop.answer) for hop in row.hops]
    return _trajectory(codec.prompt(row.request), steps, tokens, codec, only=only, until=until)


# a, b, c: the parts as they were typed; x: without the mark at the end; y, z: beginning small, as in mid-sentence.
_JOINTS = (
    "{a} {b}",
    "{a}\n{b}",
    "{a} And also: {b}",
    "{a} Also, {y}",
    "first: {a} then: {b}",
    "1) {a}\n2) {b}",
    "1. {a} 2. {b}",
    "a) {a} b) {b}",
    "- {a}\n- {b}",
    "i. {x} ii. {y}",
    "A/ {a}\nB/ {b}",
    "Q1: {a} Q2: {b}",
    "(1) {x} (2) {y}",
    "* {x} * {y}",
    "task 1: {a}\ntask 2: {b}",
    "Two questions. {a} And the other one: {b}",
    "{a} After that, {y}",
    "{a} plus, {y}",
    "{a} By the way: {b}",
    "{a} Once you have that: {b}",
    "{a} ... oh and {y}",
    "{x}, and {y}",
    "{x} and {y}",
    "{x}, and also {y}",
    "{x}; {y}",
    "{x} & {y}",
    "{x}, then {y}",
    "first {x}, then {y}",
    "First, {x}. Second, {y}",
    "{x}, next {y}",
    "{x} plus {y}",
    "{x}... also {y}",
    "{a} One more thing: {y}",
    "{a} While you are at it, {y}",
    "{a} Separately, {y}",
    "{a} And then: {y}",
    "{a} btw {y}",
    "{x}, oh and {y}",
    "{x}; when you are done with that, {y}",
    "Please help with two things:\n* {a}\n* {b}",
    "I have got two things on my mind: {x}, and {y}",
    "tell me this first: {x}. afterwards: {y}",
)
_TRIPLES = (
    "{a} {b} {c}",
    "{a}\n{b}\n{c}",
    "1. {a}\n2. {b}\n3. {c}",
    "1) {x} 2) {y} 3) {z}",
    "a) {a} b) {b} c) {c}",
    "- {a}\n- {b}\n- {c}",
    "first: {a} then: {b} and finally: {c}",
    "first {x}, then {y}, and finally {z}",
    "{a} Also, {y} And last: {c}",
    "{x}, {y} and {z}",
    "{x}; {y}; {z}",
    "{x}, then {y}. also {z}",
    "{x}, and {y}, plus {z}",
    "{a} By the way, {y} And after that {z}",
    "Three things - {a} - {b} - {c}",
)


def _small(text: str) -> str:
    """Begins a text small, unless it begins with a name, an acronym or I."""
    first = text.split(" ", 1)[0]
    return text[0].lower() + text[1:] if first.lower() in _OPENERS else text


_OPENERS = frozenset(
    "what what's whats why how when where who which whose is are was were do does did can could should would will may"  # noqa: SIM905
    " explain tell give show find name define describe compare calculate solve the a an in my please write help".split()
)


def _join(joint: str, parts: Sequence[Request]) -> str:
    texts = [row.request.strip() for row in parts]
    b, c = texts[1], texts[-1]
    return joint.format(a=texts[0], b=b, c=c, x=texts[0].rstrip("?.! "), y=_small(b).rstrip("?.! "), z=_small(c))


def compose(rows: Sequence[Request], count: int, seed: int, experts: Iterable[str] | None = None) -> list[Multipart]:
    """Joins single requests of different experts into two-part requests, and one in four into a three-part one.

    Args:
        rows: The requests to draw from; those that need an earlier turn are left out.
        count: How many to make.
        seed: Makes the draw repeatable.
        experts: Limits the first part to these experts.
    """
    draw = random.Random(seed)
    alone = [row for row in rows if not row.previous and len(row.request) < 240]
    if len({row.expert for row in alone}) < 2:
        return []
    firsts = alone if experts is None else [row for row in alone if row.expert in set(experts)]
    made: list[Multipart] = []
    while len(made) < count:
        parts = [draw.choice(firsts), draw.choice(alone)]
        if draw.random() < 1 / 4:
            parts.append(draw.choice(alone))
        if any(a.expert == b.expert for a, b in pairwise(parts)) or len({row.id for row in parts}) < len(parts):
            continue
        text = _join(draw.choice(_JOINTS if len(parts) == 2 else _TRIPLES), parts)
        hops = tuple(PathHop(expert=row.expert, query=row.rewrite or row.request, answer=row.answer) for row in parts)
        made.append(Multipart(id="+".join(row.id for row in parts), request=text, hops=hops, style="composed"))
    return made


def compose_alike(rows: Sequence[Request], count: int, seed: int) -> list[Multipart]:
    """Joins two requests of one expert, which are a single hop: not everything with an `and` has two.

    Args:
        rows: As in `compose`.
        count: How many to make.
        seed: Makes the draw repeatable.
    """
    draw = random.Random(seed)
    by_expert: dict[str, list[Request]] = {}
    for row in rows:
        if not row.previous and len(row.request) < 240:
            by_expert.setdefault(row.expert, []).append(row)
    several = [found for found in by_expert.values() if len(found) > 1]
    made: list[Multipart] = []
    while several and len(made) < count:
        parts = draw.sample(draw.choice(several), 2)
        text = _join(draw.choice(_JOINTS), parts)
        hop = PathHop(expert=parts[0].expert, query=text, answer=" ".join(row.answer for row in parts))
        made.append(Multipart(id="+".join(row.id for row in parts), request=text, hops=(hop,), style="one"))
    return made
