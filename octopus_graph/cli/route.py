"""`octopus-graph route`: which expert a request goes to, for one request or a file of them; no expert is asked."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from octopus_graph.cli import batch as batches
from octopus_graph.cli import opening, options
from octopus_graph.cli.output import emit, out, percent, printable
from octopus_graph.cli.query import one_of, question

if TYPE_CHECKING:
    from octopus_graph.router import OctopusRouter, Rewrite, RouterDecision

__all__ = ["route"]

WINDOW = 64  # the engine sorts them by length and takes 16 at a time


def route(
    query: options.Query = None,
    batch: options.Batch = None,
    out_file: options.Out = None,
    field: options.Field = None,
    graph: options.Graph = "default",
    router: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="A router's folder, such as train makes, in the graph's place.", show_default=False
        ),
    ] = None,
    expert: options.Experts = None,
    rewrite: Annotated[bool, typer.Option("--rewrite", help="Also rewrite the request where that helps.")] = False,
    as_json: options.Json = False,
) -> None:
    """Names the expert a request goes to, without asking it.

    With --batch every row of a JSON Lines file keeps its keys and gains expert, token, confidence, top, latency_ms (and
    rewrite, with --rewrite). A row's own value under one of these keys moves to given. A row that cannot be used gains
    error instead; the rest is done all the same, and the exit code is 1.
    """
    one_of(query, batch, out_file, field)
    mode: Rewrite = "auto" if rewrite else "never"
    if batch is None:
        request = question(query)
        opened_router, names = opening.open_router(graph, expert, router)
        decision = opened_router.decide(request, names, rewrite=mode)
        if as_json:
            emit({"request": request} | described(decision, rewritten=rewrite))
        else:
            _show(decision, rewritten=rewrite)
        return

    opened: list[tuple[OctopusRouter, Sequence[str] | None]] = []

    def answer(rows: Sequence[batches.Row]) -> None:
        opened_router, names = opened[0]
        for row, decision in zip(rows, _decide(opened_router, names, [row.request for row in rows], mode), strict=True):
            if isinstance(decision, Exception):
                row.fail(str(decision))
            else:
                row.gained = described(decision, rewritten=rewrite)

    batches.run(
        batch,
        out_file,
        answer,
        prepare=lambda: opened.append(opening.open_router(graph, expert, router)),
        window=1 if rewrite else WINDOW,
        field_name=field,
        as_json=as_json,
    )


def described(decision: "RouterDecision", *, rewritten: bool) -> dict[str, Any]:
    """Returns a decision as JSON has it."""
    found: dict[str, Any] = {
        "expert": decision.expert,
        "token": decision.token,
        "confidence": round(decision.confidence, 4),
        "top": [{"expert": expert, "probability": round(probability, 4)} for expert, probability in decision.top],
    }
    if rewritten:
        found["rewrite"] = decision.rewrite
    found["latency_ms"] = round(decision.latency_ms, 2)
    return found


def _decide(
    router: "OctopusRouter", names: Sequence[str] | None, requests: Sequence[str], mode: "Rewrite"
) -> "Sequence[RouterDecision | Exception]":
    """Decides many at once; if that fails, one by one, to find the row that it failed for."""
    try:
        return router.decide_many(requests, names, rewrite=mode)
    except batches.ROW_ERRORS as error:
        if len(requests) == 1:
            return [error]
        return [each for request in requests for each in _decide(router, names, [request], mode)]


def _show(decision: "RouterDecision", *, rewritten: bool) -> None:
    from rich.table import Table

    console = out()
    table = Table.grid(padding=(0, 2))
    for place, (expert, probability) in enumerate(decision.top):
        mark = decision.token if place == 0 else ""
        table.add_row(percent(probability), expert, mark, style="bold green" if place == 0 else "dim")
    console.print(table)
    if rewritten:
        console.print(f"rewritten: {printable(decision.rewrite)}" if decision.rewrite else "sent as it is")
