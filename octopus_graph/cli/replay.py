"""`octopus-graph replay`: yesterday's requests decided again by another router or graph file."""

from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from octopus_graph.cli import opening, options
from octopus_graph.cli.background import in_background
from octopus_graph.cli.guard import FAILED
from octopus_graph.cli.output import clip, emit, err, out, percent, printable

if TYPE_CHECKING:
    from octopus_graph.replay import Again, Figures, Past, PastStep, Replayer
    from octopus_graph.spec import BuiltGraph
    from octopus_graph.threads import Saver

__all__ = ["replay"]

SHOWN = 20  # rows of the table


def replay(
    router: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The router that decides now, in the graph's place.", show_default=False),
    ] = None,
    graph: options.Graph = "default",
    redis: options.Redis = None,
    threads: Annotated[
        list[str] | None,
        typer.Option(
            "--threads",
            metavar="PATTERN",
            help="Only threads whose ids look so; may be repeated.",
            show_default=False,
        ),
    ] = None,
    since: options.Since = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="The most requests, the newest first.", show_default=False)
    ] = None,
    max_changed: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="Exit with 1 if more requests take another path: 5%.", show_default=False),
    ] = None,
    walk: Annotated[bool, typer.Option("--walk", help="Where a path departs, ask the experts and go on.")] = False,
    as_json: options.Json = False,
) -> None:
    """Decides past requests again, and shows what would go another way.

    The requests are those of kept threads, wherever the graph file keeps them. Experts say what they said then as long
    as the path agrees; what they would say on another path is not guessed.
    """
    after, allowed = options.moment(since), _share(max_changed)
    with opening.open_store(graph, redis) as saver:
        pasts, skipped = _read(saver, threads or ["*"], after, limit)
        built = _built(graph, router, walk=walk)
        known = {expert.name for expert in built.experts}
        ours = [past for past in pasts if not past.path or known & set(past.path)]
        skipped["requests of other graphs"] += len(pasts) - len(ours)
        replayed = list(in_background(lambda: map(_replayer(built, walk=walk).again, ours)))
    from octopus_graph.replay import figures_of

    costs = {name: expert.cost for name, expert in built.spec.experts.items() if expert.cost is not None}
    figures = figures_of(replayed, costs)
    if as_json:
        emit(_document(built, figures, replayed, skipped))
    else:
        _show(figures, replayed, skipped)
    if not ours:
        err().print("There was nothing to decide again: ask --thread keeps requests, and so does the server.")
    if allowed is not None and (figures.changed > allowed or figures.failed):
        failed = f", and {figures.failed} could not be decided" if figures.failed else ""
        err().print(f"{percent(figures.changed)} take another path{failed}; {percent(allowed)} were allowed.")
        raise typer.Exit(FAILED)


def _read(
    saver: "Saver", patterns: Sequence[str], since: datetime | None, limit: int | None
) -> "tuple[list[Past], dict[str, int]]":
    """Reads the requests of threads, the newest first, and counts what was left out."""
    from octopus_graph.errors import StoreError
    from octopus_graph.replay import read_past
    from octopus_graph.threads import thread_ids

    pasts: list[Past] = []
    skipped = {
        "threads of other graphs": 0,
        "threads without a decision": 0,
        "threads that cannot be read": 0,
        "requests of other graphs": 0,
        "requests of unknown age": 0,
    }
    for name in thread_ids(saver):
        if not any(fnmatchcase(name, pattern) for pattern in patterns):
            continue
        try:
            found = read_past(saver, name)
        except StoreError:
            skipped["threads that cannot be read"] += 1
            continue
        if not found:
            skipped["threads of other graphs" if found is None else "threads without a decision"] += 1
        for past in found or []:
            if since is not None and past.at is None:
                skipped["requests of unknown age"] += 1
            elif since is None or (past.at is not None and past.at >= since):
                pasts.append(past)
    pasts.sort(key=lambda past: past.at.timestamp() if past.at else 0.0, reverse=True)
    return pasts[:limit], skipped


def _built(graph: str, folder: Path | None, *, walk: bool) -> "BuiltGraph":
    """Opens the graph that decides now; its experts are only made where they may be asked."""
    from octopus_graph.spec import build_graph, load_spec

    if folder is None:
        return opening.build(graph, dry_run=not walk)
    router, _ = opening.open_router(graph, None, folder)
    return build_graph(load_spec(graph), dry_run=not walk, router=router)


def _replayer(built: "BuiltGraph", *, walk: bool) -> "Replayer":
    from octopus_graph.replay import Replayer

    spec = built.spec
    return Replayer(built.experts, built.router, fallback=spec.fallback, defaults=spec.defaults, walk=walk)


def _share(text: str | None) -> float | None:
    """Reads `5%` or `0.05`."""
    if text is None:
        return None
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise typer.BadParameter("write a share such as 5% or 0.05", param_hint="--max-changed")
    return share


def _show(figures: "Figures", replayed: "Sequence[Again]", skipped: dict[str, int]) -> None:
    from rich.table import Table

    console = out()
    changed = [again for again in replayed if again.error or again.differs_at is not None]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("thread", "request", "was", "is"):
        table.add_column(head, overflow="fold")
    for again in changed[:SHOWN]:
        request = clip(again.past.request, 60)
        now = clip(again.error, 60) if again.error else _path(again.steps, cut=again.cut)
        was = _path(again.past.steps, cut=not again.past.finished)
        table.add_row(printable(again.past.thread), request, was, now)
    if changed:
        console.print(table)
    if len(changed) > SHOWN:
        console.print(f"… and {len(changed) - SHOWN} more; --json has them all.", style="dim")
    failed = f", {figures.failed} failed" if figures.failed else ""
    console.print(
        f"{figures.requests} requests{failed}: first expert the same {percent(figures.first)}, whole path"
        f" {percent(figures.path)}.",
        style="bold",
    )
    if figures.confidence_was is not None and figures.confidence_now is not None:
        was, now = percent(figures.confidence_was), percent(figures.confidence_now)
        console.print(f"Confidence of the first decision: {was} then, {now} now.")
    if figures.cost_was is not None and figures.cost_now is not None:
        least = "at least " if figures.cut else ""
        console.print(
            f"Cost of a request: {figures.cost_was:.4g} then, {least}{figures.cost_now:.4g} now"
            f" ({figures.priced} requests have prices)."
        )
    if figures.cut:
        console.print(f"{figures.cut} paths were left where they depart; --walk asks the experts.", style="dim")
    left = ", ".join(f"{count} {what}" for what, count in skipped.items() if count)
    if left:
        console.print(f"Left out: {left}.", style="dim")


def _path(steps: "Sequence[PastStep]", *, cut: bool) -> str:
    told = [f"{' + '.join(step.experts) or 'end'}{_sure(step.confidence)}" for step in steps]
    return " → ".join([*told, "…"] if cut else told or ["end"])


def _sure(confidence: float | None) -> str:
    return "" if confidence is None else f" {confidence:.0%}"


def _document(
    built: "BuiltGraph", figures: "Figures", replayed: "Sequence[Again]", skipped: dict[str, int]
) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "router": built.router.revision,
        **{name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(figures).items()},
        "changed": round(figures.changed, 4),
        "skipped": {what.replace(" ", "_"): count for what, count in skipped.items()},
        "replayed": [_described(again) for again in replayed],
    }


def _described(again: "Again") -> dict[str, Any]:
    past = again.past
    described = {
        "thread": past.thread,
        "at": past.at.isoformat() if past.at else None,
        "request": past.request,
        "differs_at": again.differs_at,
        "was": _hops(past.steps),
        "was_finished": past.finished,
        "is": _hops(again.steps),
        "is_finished": not again.cut,
    }
    return described | ({"error": again.error} if again.error else {})


def _hops(steps: "Sequence[PastStep]") -> list[dict[str, Any]]:
    return [
        {"experts": list(step.experts), "confidence": None if step.confidence is None else round(step.confidence, 4)}
        for step in steps
    ]
