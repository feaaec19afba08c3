"""The task `paths`: the exact path of experts for requests with several parts, as the graph would walk it.

Unlike the measure training takes, every hop here follows what the router itself decided before, rewrites included; the
experts' answers are the recorded ones.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from octopus_graph.codec import Done
from octopus_graph.evaluation.cases import Case
from octopus_graph.evaluation.metrics import Interval, share
from octopus_graph.router import OctopusRouter

__all__ = ["PathFigures", "measure_paths", "walk"]

MAX_HOPS = 4
UNKNOWN = "Here is what I know of it."


@dataclass(frozen=True)
class PathFigures:
    """What paths score.

    Attributes:
        exact: Share of requests with exactly the right experts in order.
        first: Share with the right first expert.
        one_hop_only: What a router without hops would score: only requests of one part can be right.
        lengths: Share of exact paths by how many parts there are.
        styles: The same by style.
        walked: For each request (wanted, walked, the smallest confidence on the way).
    """

    exact: Interval
    first: Interval
    one_hop_only: float
    lengths: dict[str, float]
    styles: dict[str, float]
    walked: list[tuple[tuple[str, ...], tuple[str, ...], float]]


def walk(router: OctopusRouter, case: Case, *, rewrite: bool = True) -> tuple[tuple[str, ...], float]:
    """Walks the hops of a request.

    Args:
        router: With its edge adapters.
        case: The request; its hops' answers are what experts answer, by expert.
        rewrite: Whether each hop rewrites the request, as the graph does.

    Returns:
        The experts in order, and the smallest confidence of all decisions, the end's included.
    """
    answers = {hop.expert: hop.answer for hop in case.hops}
    done: list[Done] = []
    path: list[str] = []
    sure = 1.0
    asked: set[tuple[str, str | None]] = set()
    while len(path) < MAX_HOPS:
        candidates = [expert for expert in router.experts if not path or expert != path[-1]]
        decision = router.decide(
            case.request,
            candidates,
            adapter=path[-1] if path else None,
            done=done,
            rewrite="auto" if rewrite else "never",
        )
        sure = min(sure, decision.confidence)
        if decision.expert is None or (decision.expert, decision.rewrite) in asked:
            break
        asked.add((decision.expert, decision.rewrite))
        path.append(decision.expert)
        # An expert the row does not ask answers too; what it would say nobody recorded.
        done.append(Done(decision.token, answers.get(decision.expert) or UNKNOWN))
    return tuple(path), sure


def measure_paths(router: OctopusRouter, cases: Sequence[Case], *, rewrite: bool = True) -> PathFigures:
    """Walks every case and compares.

    Args:
        router: With its edge adapters.
        cases: Requests with `hops`; those of one hop are the near misses.
        rewrite: As in `walk`.
    """
    lengths: dict[str, list[bool]] = defaultdict(list)
    styles: dict[str, list[bool]] = defaultdict(list)
    walked: list[tuple[tuple[str, ...], tuple[str, ...], float]] = []
    for case in cases:
        path, sure = walk(router, case, rewrite=rewrite)
        walked.append((case.path, path, sure))
        lengths[str(len(case.path))].append(path == case.path)
        if case.style:
            styles[case.style].append(path == case.path)
    return PathFigures(
        exact=share([wanted == path for wanted, path, _ in walked]),
        first=share([wanted[:1] == path[:1] for wanted, path, _ in walked]),
        one_hop_only=sum(len(case.path) == 1 for case in cases) / len(cases),
        lengths={key: sum(values) / len(values) for key, values in sorted(lengths.items())},
        styles={key: sum(values) / len(values) for key, values in sorted(styles.items())},
        walked=walked,
    )
