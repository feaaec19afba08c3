"""What a router scores on the rows kept out of its training."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from octopus_graph.codec import Done
from octopus_graph.lexicon import Lexicon
from octopus_graph.router import OctopusRouter, RouterDecision
from octopus_graph.tokens import END
from octopus_graph.training.calibration import expected_calibration_error
from octopus_graph.training.data import Multipart, PathHop
from octopus_graph.training.lexicon import fit_trust
from octopus_graph.training.mixture import Rows

__all__ = [
    "UNSEEN_HALF",
    "Score",
    "Scored",
    "Step",
    "Walked",
    "calibrate_lexicon",
    "hop_outcomes",
    "measure_hops",
    "measure_routes",
    "path_outcomes",
    "right_shares",
    "scored_rows",
    "temperature_half",
    "walk_paths",
]


UNSEEN_HALF = "_calibration_half_unseen"
FEWEST = 20  # rows a temperature can be fitted on without making things worse


@dataclass(frozen=True)
class Score:
    """Figures of one kind of rows."""

    rows: int
    accuracy: float
    macro_f1: float
    calibration_error: float


@dataclass(frozen=True)
class Scored:
    """A held-out row and what the router makes of it.

    Attributes:
        kind: Of the row: the figures are told by it.
        text: The request or question.
        expert: The right one.
        logits: The engine's of the router's experts, before lexicon and temperature.
    """

    kind: str
    text: str
    expert: str
    logits: Sequence[float]


@dataclass(frozen=True)
class Step:
    """A decision of a path: which kind of one, and whether it was right."""

    kind: Literal["first_hop", "later_hop", "end"]
    decision: RouterDecision
    right: bool


Walked = tuple[Step, ...]


def _score(experts: Sequence[str], truth: Sequence[str], chosen: Sequence[str], confidence: Sequence[float]) -> Score:
    right = [a == b for a, b in zip(truth, chosen, strict=True)]
    f1: list[float] = []
    for expert in experts:
        hits = sum(a == b == expert for a, b in zip(truth, chosen, strict=True))
        if expert in truth:
            f1.append(2 * hits / (truth.count(expert) + list(chosen).count(expert)))
    return Score(len(right), sum(right) / len(right), sum(f1) / len(f1), expected_calibration_error(confidence, right))


def temperature_half(text: str) -> bool:
    """Splits held-out rows once more: one half fits the temperature, the other says how well it fits."""
    return hashlib.sha256(text.encode()).digest()[-1] % 2 == 0


def scored_rows(router: OctopusRouter, rows: Rows) -> list[Scored]:
    """Scores first decisions of held-out rows once: temperature, lexicon and all figures of first hops use these."""
    kinds = [("mmlu", row.question, row.expert) for row in rows.questions]
    kinds += [("own_requests", row.request, row.expert) for row in rows.requests if not row.previous]
    kinds += [("first_hops", row.request, row.hops[0].expert) for row in rows.paths]
    choices = router.tokens.of(router.experts)
    logits = router.engine.score([router.codec.prompt(text) for _, text, _ in kinds], choices) if kinds else []
    return [Scored(*row, logits=scores) for row, scores in zip(kinds, logits, strict=True)]


def calibrate_lexicon(
    router: OctopusRouter, scored: Sequence[Scored], lexicon: Lexicon
) -> tuple[float, Lexicon] | None:
    """Fits temperature and lexicon together on one half of the rows; `None` where they are too few."""
    half = [row for row in scored if temperature_half(row.text)]
    if len(half) < FEWEST:
        return None
    labels = [router.experts.index(row.expert) for row in half]
    temperature, trust = fit_trust(lexicon, [row.text for row in half], [row.logits for row in half], labels)
    return temperature, replace(lexicon, trust=trust)


def measure_routes(router: OctopusRouter, scored: Sequence[Scored]) -> dict[str, Score]:
    """Scores first hops by kind: of each all, and the half that no temperature saw."""
    figures: dict[str, Score] = {}
    for kind in dict.fromkeys(row.kind for row in scored):
        every = [row for row in scored if row.kind == kind]
        unseen = [row for row in every if not temperature_half(row.text)]
        for name, part in ((kind, every), (f"{kind}{UNSEEN_HALF}", unseen)):
            if part:
                decided = [_decided(router, row) for row in part]
                chosen = [decision.expert or "" for decision in decided]
                sure = [decision.confidence for decision in decided]
                figures[name] = _score(router.experts, [row.expert for row in part], chosen, sure)
    return figures


def hop_outcomes(router: OctopusRouter, scored: Sequence[Scored]) -> list[tuple[float, bool]]:
    """Returns confidence and rightness of first hops, on the half of the rows that no temperature saw."""
    half = [(row, _decided(router, row)) for row in scored if not temperature_half(row.text)]
    return [(_down(decision.confidence), decision.expert == row.expert) for row, decision in half]


def right_shares(router: OctopusRouter, scored: Sequence[Scored]) -> list[float]:
    """Returns how likely the right expert was on each of these rows, in their order."""
    half = [(row, _decided(router, row)) for row in scored if not temperature_half(row.text)]
    return [_down(dict(decision.ranked)[row.expert]) for row, decision in half]


def _decided(router: OctopusRouter, row: Scored) -> RouterDecision:
    return router.weigh(router.tokens.of(router.experts), row.logits, alone=row.text)


def _down(confidence: float) -> float:
    """Cuts to four places: a threshold rounded up to 1 is one that no confidence reaches."""
    return math.floor(confidence * 1e4) / 1e4


def path_outcomes(router: OctopusRouter, rows: Rows, walked: Sequence[Walked]) -> list[tuple[float, bool]]:
    """Returns the confidence of first hops, and whether the whole path after each was right.

    Requests of one part count with those of several in equal numbers: most requests have one. Where there are none of
    several, all are of one.

    Args:
        router: The router with its edge adapters.
        rows: Of which the requests are walked.
        walked: The multi-part requests, walked already.
    """
    single = [row for row in rows.requests if not row.previous and not temperature_half(row.request)]
    short = [
        Multipart(
            id=row.id, request=row.request, hops=(PathHop(expert=row.expert, query=row.request, answer=row.answer),)
        )
        for row in single[: len(walked) or None]
    ]
    return [
        (_down(path[0].decision.confidence), all(step.right for step in path))
        for path in [*walked, *walk_paths(router, short)]
    ]


def measure_hops(walked: Sequence[Walked]) -> dict[str, float]:
    """Returns shares of right first hops, later hops, ends, and paths that are right throughout."""
    right: dict[str, list[bool]] = defaultdict(list)
    for path in walked:
        for step in path:
            right[step.kind].append(step.right)
        right["path"].append(all(step.right for step in path))
    return {kind: sum(values) / len(values) for kind, values in right.items()}


def walk_paths(router: OctopusRouter, rows: Sequence[Multipart], *, edges: bool = True) -> list[Walked]:
    """Walks whole paths, each decision after the right ones before it.

    Args:
        router: The router with its edge adapters.
        rows: Multi-part requests.
        edges: Whether the edge adapters decide, or the router itself in their place.
    """
    return [tuple(_walk(router, row, edges=edges)) for row in rows]


def _walk(router: OctopusRouter, row: Multipart, *, edges: bool) -> Iterator[Step]:
    for place in range(len(row.hops) + 1):
        done = [Done(router.tokens.token(hop.expert), hop.answer) for hop in row.hops[:place]]
        adapter = row.hops[place - 1].expert if place and edges else None
        candidates = [expert for expert in router.experts if not place or expert != row.hops[place - 1].expert]
        decision = router.decide(row.request, candidates, adapter=adapter, done=done, rewrite="never")
        last = place == len(row.hops)
        kind = "first_hop" if not place else "end" if last else "later_hop"
        yield Step(kind, decision, decision.token == (END if last else router.tokens.token(row.hops[place].expert)))
