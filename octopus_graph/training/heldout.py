"""What a router scores on the rows kept out of its training."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from octopus_graph.codec import Done
from octopus_graph.router import OctopusRouter, RouterDecision
from octopus_graph.tokens import END
from octopus_graph.training.calibration import expected_calibration_error, fit_temperature
from octopus_graph.training.data import Multipart, PathHop
from octopus_graph.training.mixture import Rows

__all__ = [
    "UNSEEN_HALF",
    "Score",
    "calibrate",
    "hop_outcomes",
    "measure_hops",
    "measure_routes",
    "path_outcomes",
    "temperature_half",
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


def calibrate(router: OctopusRouter, rows: Rows) -> float | None:
    """Fits the temperature on one half of the held-out questions and requests; `None` where they are too few."""
    pairs = [(row.question, row.expert) for row in rows.questions]
    pairs += [(row.request, row.expert) for row in rows.requests if not row.previous]
    pairs = [pair for pair in pairs if temperature_half(pair[0])]
    if len(pairs) < FEWEST:
        return None
    choices = router.tokens.of(router.experts)
    logits = router.engine.score([router.codec.prompt(text) for text, _ in pairs], choices)
    return fit_temperature(logits, [router.experts.index(expert) for _, expert in pairs])


def measure_routes(router: OctopusRouter, rows: Rows) -> dict[str, Score]:
    """Scores first hops: questions and people's own requests, of each all and the half that no temperature saw."""
    figures: dict[str, Score] = {}
    kinds = {
        "mmlu": [(row.question, row.expert) for row in rows.questions],
        "own_requests": [(row.request, row.expert) for row in rows.requests if not row.previous],
    }
    for kind, pairs in kinds.items():
        decided = list(zip(pairs, router.decide_many([text for text, _ in pairs]), strict=True))
        unseen = [(pair, decision) for pair, decision in decided if not temperature_half(pair[0])]
        for name, part in ((kind, decided), (f"{kind}{UNSEEN_HALF}", unseen)):
            if part:
                truth = [expert for (_, expert), _ in part]
                chosen = [decision.expert or "" for _, decision in part]
                figures[name] = _score(router.experts, truth, chosen, [decision.confidence for _, decision in part])
    return figures


def hop_outcomes(router: OctopusRouter, rows: Rows) -> list[tuple[float, bool]]:
    """Returns confidence and rightness of first hops, on the half of the rows that no temperature saw."""
    pairs = [(row.question, row.expert) for row in rows.questions]
    pairs += [(row.request, row.expert) for row in rows.requests if not row.previous]
    pairs = [pair for pair in pairs if not temperature_half(pair[0])]
    decisions = router.decide_many([text for text, _ in pairs])
    return [(_down(each.confidence), each.expert == expert) for each, (_, expert) in zip(decisions, pairs, strict=True)]


def _down(confidence: float) -> float:
    """Cuts to four places: a threshold rounded up to 1 is one that no confidence reaches."""
    return math.floor(confidence * 1e4) / 1e4


def path_outcomes(router: OctopusRouter, rows: Rows) -> list[tuple[float, bool]]:
    """Returns the confidence of first hops, and whether the whole path after each was right.

    Requests of one part count with those of several in equal numbers: most requests have one. Where there are none of
    several, all are of one.
    """
    several = list(rows.paths)
    single = [row for row in rows.requests if not row.previous and not temperature_half(row.request)][
        : len(several) or None
    ]
    several += [
        Multipart(
            id=row.id, request=row.request, hops=(PathHop(expert=row.expert, query=row.request, answer=row.answer),)
        )
        for row in single
    ]
    outcomes: list[tuple[float, bool]] = []
    for row in several:
        walked = list(_walk(router, row, edges=True))
        right = all(decision.token == wanted for _, decision, wanted in walked)
        outcomes.append((_down(walked[0][1].confidence), right))
    return outcomes


def measure_hops(router: OctopusRouter, rows: Sequence[Multipart], *, edges: bool = True) -> dict[str, float]:
    """Scores whole paths, each decision after the right ones before it.

    Args:
        router: The router with its edge adapters.
        rows: Multi-part requests.
        edges: Whether the edge adapters decide, or the router itself in their place.

    Returns:
        Shares of right first hops, later hops, ends, and paths that are right throughout.
    """
    right: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        hits = [(kind, decision.token == wanted) for kind, decision, wanted in _walk(router, row, edges=edges)]
        for kind, hit in hits:
            right[kind].append(hit)
        right["path"].append(all(hit for _, hit in hits))
    return {kind: sum(values) / len(values) for kind, values in right.items()}


def _walk(router: OctopusRouter, row: Multipart, *, edges: bool) -> Iterator[tuple[str, RouterDecision, str]]:
    """Yields each decision of a path after the right ones before it: its kind, the decision, and the right token."""
    for place in range(len(row.hops) + 1):
        done = [Done(router.tokens.token(hop.expert), hop.answer) for hop in row.hops[:place]]
        adapter = row.hops[place - 1].expert if place and edges else None
        candidates = [expert for expert in router.experts if not place or expert != row.hops[place - 1].expert]
        decision = router.decide(row.request, candidates, adapter=adapter, done=done, rewrite="never")
        last = place == len(row.hops)
        kind = "first_hop" if not place else "end" if last else "later_hop"
        yield kind, decision, END if last else router.tokens.token(row.hops[place].expert)
