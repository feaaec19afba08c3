"""How much differs between what was decided and what is decided now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from octopus_graph.replay.again import Again
from octopus_graph.replay.past import PastStep

__all__ = ["Figures", "figures_of"]


@dataclass(frozen=True)
class Figures:
    """What a replay comes to.

    Attributes:
        requests: How many were decided again.
        failed: How many of these could not be.
        first: Share of the others whose first decision is the same.
        path: Share whose whole path is the same, as far as both are known.
        cut: How many walks ended where they departed: what would have followed is not known.
        confidence_was: Mean confidence of the first decision then, where it is known both then and now.
        confidence_now: The same now.
        priced: How many requests have a price for each expert on both paths; those alone count for the costs.
        cost_was: Mean cost of a request then; `None` where nothing is priced.
        cost_now: Mean cost now; that of walks that were cut is counted up to there, so it is the least it can be.
    """

    requests: int
    failed: int
    first: float
    path: float
    cut: int
    confidence_was: float | None
    confidence_now: float | None
    priced: int
    cost_was: float | None
    cost_now: float | None

    @property
    def changed(self) -> float:
        """Share of the requests that take another path."""
        return 1.0 - self.path


def figures_of(replayed: Sequence[Again], costs: Mapping[str, float] | None = None) -> Figures:
    """Counts.

    Args:
        replayed: The requests decided again.
        costs: What a call of each expert costs; those it does not name have no price.
    """
    done = [again for again in replayed if not again.error]
    sure = [(was, now) for again in done for was, now in [_first_confidences(again)] if was is not None]
    priced = [
        (was, now)
        for again in done
        for was, now in [(_price(again.past.path, costs), _price(again.path, costs))]
        if was is not None and now is not None
    ]
    return Figures(
        requests=len(replayed),
        failed=len(replayed) - len(done),
        first=_share([again.differs_at != 0 for again in done]),
        path=_share([again.differs_at is None for again in done]),
        cut=sum(again.cut for again in done),
        confidence_was=fmean(was for was, _ in sure) if sure else None,
        confidence_now=fmean(now for _, now in sure) if sure else None,
        priced=len(priced),
        cost_was=fmean(was for was, _ in priced) if priced else None,
        cost_now=fmean(now for _, now in priced) if priced else None,
    )


def _share(same: Sequence[bool]) -> float:
    return sum(same) / len(same) if same else 1.0


def _first_confidences(again: Again) -> tuple[float | None, float]:
    was, now = _confidence(again.past.steps), _confidence(again.steps)
    return (None, 0.0) if was is None or now is None else (was, now)


def _confidence(steps: Sequence[PastStep]) -> float | None:
    return steps[0].confidence if steps else None


def _price(path: Sequence[str], costs: Mapping[str, float] | None) -> float | None:
    if not costs or any(name not in costs for name in path):
        return None
    return sum(costs[name] for name in path)
