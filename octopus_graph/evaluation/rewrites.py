"""The task `rewrite`: what the router sends to an expert in the place of what was typed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from octopus_graph.evaluation.cases import Case
from octopus_graph.evaluation.contenders import Embed
from octopus_graph.literals import literals, survives
from octopus_graph.router import OctopusRouter

__all__ = ["RewriteFigures", "measure_rewrites"]


@dataclass(frozen=True)
class RewriteFigures:
    """What rewrites are worth.

    Attributes:
        rows: Requests asked.
        rewritten: The share of them that was rewritten.
        kept: For each kind of literal (number, quote, code, name) the share that survives, and how many there were.
        similarity: Mean cosine between request and rewrite.
        length: Mean length of a rewrite over that of its request, in characters.
        milliseconds: Mean time of a rewrite.
    """

    rows: int
    rewritten: float
    kept: dict[str, tuple[float, int]]
    similarity: float | None
    length: float | None
    milliseconds: float | None


def measure_rewrites(router: OctopusRouter, cases: Sequence[Case], embed: Embed | None = None) -> RewriteFigures:
    """Has every request rewritten where the router wants to, and looks at what became of it.

    Args:
        router: The router.
        cases: Requests of one expert.
        embed: Measures similarity, where given.
    """
    pairs: list[tuple[str, str]] = []
    spent = 0.0
    for case in cases:
        decision = router.decide(case.request, rewrite="auto")
        if decision.rewrite is not None:
            pairs.append((case.request, decision.rewrite))
            spent += decision.rewrite_ms
    counts: dict[str, list[bool]] = {}
    for request, rewrite in pairs:
        for kind, found in literals(request).items():
            counts.setdefault(kind, []).extend(survives(kind, each, rewrite) for each in found)
    similarity = None
    if embed and pairs:
        before, after = embed([request for request, _ in pairs]), embed([rewrite for _, rewrite in pairs])
        similarity = float((np.asarray(before) * np.asarray(after)).sum(axis=1).mean())
    return RewriteFigures(
        rows=len(cases),
        rewritten=len(pairs) / len(cases),
        kept={kind: (sum(values) / len(values), len(values)) for kind, values in sorted(counts.items())},
        similarity=similarity,
        length=float(np.mean([len(after) / len(before) for before, after in pairs])) if pairs else None,
        milliseconds=spent / len(pairs) if pairs else None,
    )
