"""The mixtures: which rows, in which dress, train the router and each edge.

Nothing held out is ever drawn from here: rows are filtered by `held_out` before they are rendered or joined.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from octopus_graph.codec import Codec
from octopus_graph.tokens import FunctionalTokens
from octopus_graph.training.data import Multipart, Question, Request, held_out
from octopus_graph.training.samples import Sample, compose, multipart_sample, question_sample, request_sample

__all__ = ["Rows", "edge_samples", "router_samples", "split"]


@dataclass(frozen=True)
class Rows:
    """Rows of the three kinds."""

    requests: Sequence[Request]
    paths: Sequence[Multipart]
    questions: Sequence[Question]


def split(rows: Rows) -> tuple[Rows, Rows]:
    """Splits rows into those to learn from and the fifth kept out."""

    def part(out: bool) -> Rows:
        return Rows(
            [row for row in rows.requests if held_out(row.request) is out],
            [row for row in rows.paths if held_out(row.request) is out],
            [row for row in rows.questions if held_out(row.question) is out],
        )

    return part(out=False), part(out=True)


def router_samples(rows: Rows, tokens: FunctionalTokens, codec: Codec, *, composed: int, seed: int) -> list[Sample]:
    """Returns one pass over everything the router learns from.

    Requests stand twice, the second time in another dress of typing (all lower case, all capitals, no punctuation):
    people's own words are
    what it is for, and they are outnumbered by benchmark questions. Hops train the router too, so that an expert
    without an
    edge adapter can use it as it is.
    """
    draw = random.Random(seed)
    samples: list[Sample] = []
    for row in rows.requests:
        samples.append(request_sample(row, tokens, codec, stop=draw.random() < 0.3))
        again = row.model_copy(update={"request": _dress(row.request, draw)})
        samples.append(request_sample(again, tokens, codec, stop=False))
    for row in rows.questions:
        with_choices, stop = draw.random() < 0.2, draw.random() < 0.05
        samples.append(question_sample(row, tokens, codec, with_choices=with_choices, stop=stop))
    samples += [
        multipart_sample(row, tokens, codec, whole=draw.random() < 0.15)
        for row in [*rows.paths, *compose(rows.requests, composed, seed)]
    ]
    return samples


def edge_samples(
    expert: str, rows: Rows, tokens: FunctionalTokens, codec: Codec, *, composed: int, seed: int
) -> list[Sample]:
    """Returns what one expert's edge adapter learns from: every decision made after this expert has answered."""
    draw = random.Random(seed)
    samples = [
        request_sample(row, tokens, codec, stop=True, only=expert, whole=draw.random() < 0.3)
        for row in rows.requests
        if row.expert == expert
    ]
    asked = [row for row in rows.questions if row.expert == expert]
    samples += [
        question_sample(row, tokens, codec, with_choices=False, stop=True, only=expert)
        for row in draw.sample(asked, min(40, len(asked)))
    ]
    made = compose(rows.requests, composed, seed, [expert])
    samples += [
        multipart_sample(row, tokens, codec, whole=draw.random() < 0.15, only=expert)
        for row in [*rows.paths, *made]
        if any(hop.expert == expert for hop in row.hops)
    ]
    return samples


def _dress(text: str, draw: random.Random) -> str:
    """Retypes a request as people do; numbers and words stay."""
    way = draw.randrange(5)
    if way == 0:
        return text.upper()
    if way == 1:
        return text.lower()
    if way == 2:
        return text.rstrip("?.! ").lower()
    if way == 3:
        return draw.choice(("pls ", "hey, ", "quick one: ", "hi! ", "question - ", "so, ")) + text
    words = text.split(" ")
    long = [place for place, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    for place in draw.sample(long, min(2, len(long))):
        at = draw.randrange(1, len(words[place]) - 2)
        word = words[place]
        words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)
