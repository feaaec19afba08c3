"""The task `paths`: the exact path of experts for requests with several parts, as the graph walks it.

Unlike the measure training takes, every hop here follows what the router itself decided before; the experts' answers
are the recorded ones. The rule against going round in circles is the graph's own (`turns.following`). It alone depends
on how hops are rewritten, so a hop is rewritten only where its expert is chosen once more: decisions see no rewrites.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from octopus_graph.codec import Done, Turn
from octopus_graph.effects import Logic, run
from octopus_graph.evaluation.cases import Case
from octopus_graph.evaluation.kept import Journal, digest
from octopus_graph.evaluation.metrics import Interval, Slice, part, share
from octopus_graph.router import OctopusRouter, Rewrite, RouterDecision
from octopus_graph.state import OctopusContext
from octopus_graph.turns import Asked, following

__all__ = ["PathFigures", "measure_paths", "walk"]

DEFAULTS = OctopusContext()
UNKNOWN = "Here is what I know of it."


@dataclass(frozen=True)
class PathFigures:
    """What paths score.

    Attributes:
        rows: How many requests there are.
        exact: Share of requests with exactly the right experts in order.
        first: Share with the right first expert.
        one_hop_only: What a router without hops would score: only requests of one part can be right.
        lengths: Share of exact paths by how many parts there are.
        styles: The same by style.
        walked: For each request (wanted, walked, the confidence of the first decision).
    """

    rows: int
    exact: Interval
    first: Interval
    one_hop_only: float
    lengths: dict[str, Slice]
    styles: dict[str, Slice]
    walked: list[tuple[tuple[str, ...], tuple[str, ...], float]]


def walk(
    router: OctopusRouter, case: Case, *, rewrite: Rewrite = DEFAULTS.rewrite, max_hops: int = DEFAULTS.max_hops
) -> tuple[tuple[str, ...], float]:
    """Walks the hops of a request in a graph of all experts, each of which may be asked after any other.

    Args:
        router: With its edge adapters.
        case: The request; its hops' answers are what experts answer, by expert.
        rewrite: As in a graph's context.
        max_hops: As in a graph's context.

    Returns:
        The experts in order, and the confidence of the first decision.
    """
    recorded: dict[str, list[str]] = defaultdict(list)
    for hop in case.hops:
        recorded[hop.expert].append(hop.answer)
    turns = [Turn(turn.request, router.tokens.token(turn.expert)) for turn in case.previous]
    choose = partial(router.decide, case.request, previous=turns)
    path: list[str] = []
    done: list[Done] = []
    made: list[Callable[[], RouterDecision]] = []  # makes the decision of each hop once more, with its rewrite
    asked: list[Asked] = []  # filled in where it matters

    def decide(candidates: Sequence[str]) -> Logic[RouterDecision]:
        yield from ()  # nothing to wait for: whoever measures has the time
        onwards = partial(choose, candidates, adapter=path[-1], done=tuple(done))
        decision = onwards(rewrite="never")
        if decision.expert not in path:
            return decision
        asked[:] = [_asked(case, make()) for name, make in zip(path, made, strict=True) if name == decision.expert]
        return onwards(rewrite=rewrite)

    chosen = choose(router.experts, rewrite="never")
    first = chosen.confidence
    while chosen and chosen.expert:
        adapter = path[-1] if path else None
        made.append(partial(choose, [chosen.expert], adapter=adapter, done=tuple(done), rewrite=rewrite))
        path.append(chosen.expert)
        # An expert the row does not ask answers too; what it would say nobody recorded.
        answer = recorded[chosen.expert].pop(0) if recorded[chosen.expert] else ""
        done.append(Done(chosen.token, answer or UNKNOWN))
        if len(path) >= max_hops:
            break
        others = [expert for expert in router.experts if expert != path[-1]]
        chosen = run(following(decide, others, case.request, asked))
    return tuple(path), first


def _asked(case: Case, decision: RouterDecision) -> Asked:
    return decision.expert or "", case.request if decision.rewrite is None else decision.rewrite


def measure_paths(
    router: OctopusRouter,
    cases: Sequence[Case],
    *,
    rewrite: Rewrite = DEFAULTS.rewrite,
    journal: Journal | None = None,
) -> PathFigures:
    """Walks every case and compares.

    Args:
        router: With its edge adapters.
        cases: Requests with `hops`; those of one hop are the near misses.
        rewrite: As in `walk`.
        journal: Paths walked before, and where those walked now are written.
    """
    journal = Journal() if journal is None else journal
    lengths: dict[str, list[bool]] = defaultdict(list)
    styles: dict[str, list[bool]] = defaultdict(list)
    walked: list[tuple[tuple[str, ...], tuple[str, ...], float]] = []
    for case in cases:
        key = digest("walk", rewrite, DEFAULTS.max_hops, case.model_dump(include={"request", "previous", "hops"}))
        if key not in journal:
            journal.add([(key, walk(router, case, rewrite=rewrite))])
        experts, sure = journal[key]
        path = tuple(experts)
        walked.append((case.path, path, sure))
        lengths[str(len(case.path))].append(path == case.path)
        if case.style:
            styles[case.style].append(path == case.path)
    return PathFigures(
        rows=len(cases),
        exact=share([wanted == path for wanted, path, _ in walked]),
        first=share([wanted[:1] == path[:1] for wanted, path, _ in walked]),
        one_hop_only=sum(len(case.path) == 1 for case in cases) / len(cases),
        lengths={key: part(values) for key, values in sorted(lengths.items())},
        styles={key: part(values) for key, values in sorted(styles.items())},
        walked=walked,
    )
