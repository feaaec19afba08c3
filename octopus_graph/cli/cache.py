"""`octopus-graph cache`: what the cache of a graph was worth, emptied, and its threshold found."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from octopus_graph.cli import opening, options
from octopus_graph.cli.guard import misused
from octopus_graph.cli.output import emit, out, percent

if TYPE_CHECKING:
    from octopus_graph.persistence import RedisCache

__all__ = ["app"]

app = typer.Typer(help="Shows what the cache of decisions and answers was worth, and empties it.")

_COLUMNS = ("kind", "entries", "hits", "misses", "hit rate", "stale", "errors", "time saved")


@app.callback(invoke_without_command=True)
def cache(context: typer.Context) -> None:
    """Shows what the cache of decisions and answers was worth, and empties it."""
    if context.invoked_subcommand is None:
        misused(context)


@app.command()
def stats(graph: options.Graph = "default", as_json: options.Json = False) -> None:
    """Counts hits, misses, stale entries, errors and the time saved, over all processes since the last clear."""
    with _store(graph) as store:
        found = store.stats()
    if as_json:
        emit(found)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in _COLUMNS:
        table.add_column(head, style="bold" if head == "kind" else "")
    for kind, tally in found.items():
        looked = tally["hit"] + tally["miss"]
        counts = [f"{tally[name]:.0f}" for name in ("entries", "hit", "miss")]
        rate = percent(tally["hit"] / looked) if looked else "-"
        saved = f"{tally['saved_ms'] / 1000:.1f} s"
        table.add_row(kind, *counts, rate, f"{tally['stale']:.0f}", f"{tally['error']:.0f}", saved)
    out().print(table if found else "The cache is empty.")


@app.command()
def clear(
    kind: Annotated[
        Literal["decision", "answer", "semantic", "node"] | None,
        typer.Argument(help="Only this kind [default: everything, and the counters]", show_default=False),
    ] = None,
    graph: options.Graph = "default",
    as_json: options.Json = False,
) -> None:
    """Deletes what is kept. Graphs that run go on, and compute it again."""
    with _store(graph) as store:
        count = store.clear_kind(kind)
    if as_json:
        emit({"deleted": count})
    else:
        out().print(f"{count} {'key' if count == 1 else 'keys'} deleted")


@app.command()
def calibrate(
    pairs: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE.jsonl",
            help="Lines {request, rewrite, expert}: the rewrite says the same in other words"
            " [default: the requests that come with octopus-graph]",
            show_default=False,
        ),
    ] = None,
    max_wrong: Annotated[
        float, typer.Option(min=0, max=1, help="The share of different questions that may be taken for the same.")
    ] = 0.01,
    limit: Annotated[int, typer.Option(min=10, help="The most pairs of an expert.")] = 40,
    graph: options.Graph = "default",
    as_json: options.Json = False,
) -> None:
    """Finds the threshold for cache.answers.semantic, and says what it is worth."""
    from octopus_graph.caching.semantic import measure, read_pairs

    found = measure(opening.open_router(graph, None)[0], read_pairs(pairs, limit), max_wrong=max_wrong)
    if as_json:
        emit(vars(found))
        return
    out().print(
        f"semantic: {found.threshold:.3f}\n{percent(found.recall)} of {found.pairs} paraphrases are found;"
        f" {percent(found.wrong)} of the questions next to them are taken for the same"
    )


def _store(graph: str) -> "RedisCache":
    from octopus_graph.persistence import open_cache
    from octopus_graph.spec import load_spec, store_of

    return open_cache(store_of(load_spec(graph)))
