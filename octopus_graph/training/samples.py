"""Samples: rows rendered as what the router reads and what it should emit.

A sample is a prompt and what follows it. Each piece of that says which loss it bears:

    CHOICE  one functional token among the experts
    HOP     one functional token among the experts and the end
    TEXT    plain language-model loss, for the rewrite
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

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
    """One hop as it is to be emitted, and the answer that came back (`None`: the sample ends with the hop)."""

    expert: str
    query: str
    answer: str | None


def _trajectory(
    prompt: Prompt, steps: Sequence[_Step], tokens: FunctionalTokens, codec: Codec, *, only: str | None, whole: bool
) -> Sample:
    """Renders a whole run as one sequence, so that every decision of it is learned in one forward pass.

    Args:
        prompt: The request in its frame.
        steps: The hops in order.
        tokens: The functional tokens.
        codec: The dialect.
        only: Puts loss only on the decisions made after this expert has answered: what its edge adapter learns.
        whole: The request went to the experts unchanged, so there is no rewrite to learn.
    """
    target: list[tuple[Segment, int]] = []
    kind, text, decider = CHOICE, TEXT, ""
    for step in steps:
        learned = only is None or decider == only
        target.append((Segment(tokens.token(step.expert), trusted=True), kind if learned else 0))
        loss = text if learned and not whole else 0
        if step.query and not whole:
            target.append((Segment(OPEN, trusted=True), loss))
            target.append((Segment(step.query, budget=OUTPUT_BUDGET), loss))
            target.append((Segment(CLOSE + END, trusted=True), loss))
        else:
            target.append((Segment(END, trusted=True), loss))
        kind, decider = HOP, step.expert
        if step.answer is None:
            return Sample(prompt, tuple(target))
        target.append((Segment(step.answer, budget=ANSWER_BUDGET), 0))
        target.append((Segment(codec.stop, trusted=True), 0))
    target.append((Segment(END, trusted=True), HOP if only is None or decider == only else 0))
    return Sample(prompt, tuple(target))


def request_sample(
    row: Request, tokens: FunctionalTokens, codec: Codec, *, stop: bool, only: str | None = None, whole: bool = False
) -> Sample:
    """Renders a request: to its expert, and (with `stop`) from that expert to the end."""
    previous = [Turn(turn.request, tokens.token(turn.expert)) for turn in row.previous]
    step = _Step(row.expert, row.rewrite, row.answer if stop else None)
    sample = _trajectory(codec.prompt(row.request, previous), [step], tokens, codec, only=only, whole=whole)
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
    step = _Step(row.expert, "", lines[len(row.question) % len(lines)] if stop else None)
    sample = _trajectory(codec.prompt(text), [step], tokens, codec, only=only, whole=False)
    return replace(sample, subject=row.subject)


def multipart_sample(
    row: Multipart, tokens: FunctionalTokens, codec: Codec, *, whole: bool = False, only: str | None = None
) -> Sample:
    """Renders a multi-part request: the first part, each part after the one before, and the end."""
    steps = [_Step(hop.expert, hop.query, hop.answer) for hop in row.hops]
    return _trajectory(codec.prompt(row.request), steps, tokens, codec, only=only, whole=whole)


_JOINTS = (
    "{a} {b}",
    "{a}\n{b}",
    "{a} And also: {b}",
    "{a} Also, {b}",
    "first: {a} then: {b}",
    "1) {a}\n2) {b}",
    "1. {a} 2. {b}",
    "a) {a} b) {b}",
    "- {a}\n- {b}",
    "Two questions. {a} And the other one: {b}",
    "{a} After that, {b}",
    "{a} plus, {b}",
    "{a} By the way: {b}",
    "{a} Once you have that: {b}",
    "{a} ... oh and {b}",
    "Please help with two things:\n* {a}\n* {b}",
)
_TRIPLES = (
    "{a} {b} {c}",
    "{a}\n{b}\n{c}",
    "1. {a}\n2. {b}\n3. {c}",
    "a) {a} b) {b} c) {c}",
    "first: {a} then: {b} and finally: {c}",
    "{a} Also, {b} And last: {c}",
    "Three things - {a} - {b} - {c}",
)


def compose(rows: Sequence[Request], count: int, seed: int, experts: Iterable[str] | None = None) -> list[Multipart]:
    """Joins single requests of different experts into two-part requests, and one in six into a three-part one.

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
        a, b = draw.choice(firsts), draw.choice(alone)
        if a.expert == b.expert:
            continue
        parts = [a, b]
        text = draw.choice(_JOINTS).format(a=a.request, b=b.request)
        if draw.random() < 1 / 6:
            c = draw.choice(alone)
            if c is a or c.expert == b.expert:
                continue
            parts.append(c)
            text = draw.choice(_TRIPLES).format(a=a.request, b=b.request, c=c.request)
        hops = tuple(PathHop(expert=row.expert, query=row.rewrite or row.request, answer=row.answer) for row in parts)
        made.append(Multipart(id="+".join(row.id for row in parts), request=text, hops=hops, style="composed"))
    return made
