"""The mixtures: which rows, in which dress, train the router and each edge.

Nothing held out is ever drawn from here: rows are filtered by `held_out` before they are rendered or joined.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from octopus_graph.codec import Codec
from octopus_graph.tokens import FunctionalTokens
from octopus_graph.training.data import Multipart, Question, Request, Unroutable, held_out
from octopus_graph.training.dress import dress, paste, said
from octopus_graph.training.recipe import Mixture
from octopus_graph.training.samples import (
    Sample,
    compose,
    compose_alike,
    multipart_sample,
    question_sample,
    request_sample,
    unroutable_sample,
)

__all__ = ["Rows", "edge_samples", "router_samples", "split"]


@dataclass(frozen=True)
class Rows:
    """Rows of every kind."""

    requests: Sequence[Request]
    paths: Sequence[Multipart]
    questions: Sequence[Question]
    unroutable: Sequence[Unroutable] = ()
    paragraphs: Sequence[str] = ()


def split(rows: Rows) -> tuple[Rows, Rows]:
    """Splits rows into those to learn from and the tenth kept out."""

    def part(out: bool) -> Rows:
        return Rows(
            [row for row in rows.requests if held_out(row.request) is out],
            [row for row in rows.paths if held_out(row.request) is out],
            [row for row in rows.questions if held_out(row.question) is out],
            [row for row in rows.unroutable if held_out(row.request) is out],
            [text for text in rows.paragraphs if held_out(text) is out],
        )

    return part(out=False), part(out=True)


def router_samples(rows: Rows, tokens: FunctionalTokens, codec: Codec, mixture: Mixture, *, seed: int) -> list[Sample]:
    """Returns one pass over everything the router learns from.

    People's own words are what it is for, so benchmark questions are drawn in part, half of them with their choices.
    Hops train the router too, so that an expert without an edge adapter can use it as it is.
    """
    draw = random.Random(seed)
    samples: list[Sample] = []

    def dressed(text: str, share: float) -> str:
        text = dress(text, draw) if draw.random() < share else text
        return paste(text, rows.paragraphs, draw) if rows.paragraphs and draw.random() < mixture.pasted else text

    # All of them in their own order where all are drawn: a run that was stopped finds the rows it had.
    drawn = rows.requests
    if mixture.requested < 1:
        drawn = draw.sample(rows.requests, round(mixture.requested * len(rows.requests)))
    for row in drawn:
        again = row.model_copy(
            update={
                "request": dressed(row.request, mixture.dressed),
                "answer": said(row.expert, row.answer, row.request, draw),
            }
        )
        samples.append(request_sample(again, tokens, codec, stop=draw.random() < 0.1))
    for row in draw.sample(rows.questions, round(mixture.asked * len(rows.questions))):
        with_choices, stop = draw.random() < mixture.with_choices, draw.random() < 0.05
        again = row.model_copy(update={"question": dressed(row.question, 0.2)})
        samples.append(question_sample(again, tokens, codec, with_choices=with_choices, stop=stop))
    count = min(mixture.composed, len(rows.requests) // 4)
    made = [*compose(rows.requests, count, seed), *compose_alike(rows.requests, count // 8, seed)]
    samples += [
        _run(row, tokens, codec, draw, dressed=partial(dressed, share=mixture.dressed / 2))
        for row in [*rows.paths, *made]
    ]
    few = min(len(rows.unroutable), len(rows.requests) // 8)  # a handful of requests must not drown in these
    samples += [unroutable_sample(row, tokens, codec) for row in draw.sample(rows.unroutable, few)]
    return samples


def _run(
    row: Multipart,
    tokens: FunctionalTokens,
    codec: Codec,
    draw: random.Random,
    *,
    dressed: Callable[[str], str] = str,
    only: str | None = None,
) -> Sample:
    """Renders a multi-part request as a run: two of three to its end, the third up to the query of some hop."""
    hops = tuple(hop.model_copy(update={"answer": said(hop.expert, hop.answer, row.request, draw)}) for hop in row.hops)
    until = draw.randrange(len(hops)) if draw.random() < 1 / 3 else None
    if only is not None and until is not None:  # its adapter writes queries for those that come after it
        after = [place + 1 for place, hop in enumerate(hops[:-1]) if hop.expert == only]
        until = draw.choice(after) if after else None
    again = row.model_copy(update={"request": dressed(row.request), "hops": hops})
    return multipart_sample(again, tokens, codec, until=until, only=only)


def edge_samples(
    expert: str, rows: Rows, tokens: FunctionalTokens, codec: Codec, mixture: Mixture, *, seed: int
) -> list[Sample]:
    """Returns what one expert's edge adapter learns from: every decision made after this expert has answered."""
    draw = random.Random(seed)
    inside = [row for row in rows.requests if row.expert == expert]
    samples = [
        request_sample(row, tokens, codec, stop=True, only=expert)
        for row in draw.sample(inside, min(mixture.alone_edge, len(inside)))
    ]
    asked = [row for row in rows.questions if row.expert == expert]
    samples += [
        question_sample(row, tokens, codec, with_choices=False, stop=True, only=expert)
        for row in draw.sample(asked, min(40, len(asked)))
    ]
    through = [row for row in rows.paths if any(hop.expert == expert for hop in row.hops)]
    made = compose(rows.requests, mixture.composed_edge, seed, [expert])
    samples += [
        _run(row, tokens, codec, draw, only=expert)
        for row in [*draw.sample(through, min(mixture.paths_edge, len(through))), *made]
    ]
    return samples
