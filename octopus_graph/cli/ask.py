"""`octopus-graph ask`: a question through the whole graph, shown while it runs; or a file of them."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import typer

from octopus_graph.cli import batch as batches
from octopus_graph.cli import opening, options
from octopus_graph.cli.background import in_background
from octopus_graph.cli.output import emit
from octopus_graph.cli.query import one_of, question
from octopus_graph.cli.view import RunView

__all__ = ["ask"]


def ask(
    query: options.Query = None,
    batch: options.Batch = None,
    out_file: options.Out = None,
    field: options.Field = None,
    jobs: Annotated[
        int, typer.Option(min=1, max=256, help="How many rows of --batch run at a time; for experts elsewhere.")
    ] = 1,
    graph: options.Graph = "default",
    expert: options.Experts = None,
    max_hops: Annotated[
        int | None,
        typer.Option(min=1, max=10, help="The most experts that are asked [default: the graph's]", show_default=False),
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Below it a question is not routed [default: the graph's]", show_default=False),
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="The share of questions that may be answered wrong: sets --min-confidence [default: the graph's]",
            show_default=False,
        ),
    ] = None,
    rewrite: Annotated[
        Literal["auto", "always", "never"] | None,
        typer.Option(help="Whether questions are rewritten for the expert [default: the graph's]", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Put an echo in the experts' place.")] = False,
    as_json: options.Json = False,
) -> None:
    """Asks the graph, and shows where the question goes and what comes back.

    With --batch every row of a JSON Lines file keeps its keys and gains path (the experts in order) and answer. A
    row's own value under one of these keys moves to given. A row that cannot be answered gains error instead; the rest
    is done all the same, and the exit code is 1.
    """
    one_of(query, batch, out_file, field)
    settings = {"max_hops": max_hops, "min_confidence": min_confidence, "max_error": max_error}
    settings |= {"rewrite": rewrite, "experts": expert}
    given = {name: value for name, value in settings.items() if value is not None}
    if batch is None:
        request = question(query)
        compiled = opening.open_graph(graph, expert, dry_run=dry_run)
        view = RunView(quiet=as_json)
        modes = ["custom", "messages"]
        events = in_background(lambda: compiled.stream(_asked(request), context=_context(given), stream_mode=modes))
        with view:
            for mode, event in events:
                view.show(mode, event)
        if as_json:
            emit({"request": request} | view.record())
        return

    opened: list[Any] = []

    def answer(rows: Sequence[batches.Row]) -> None:
        results = in_background(
            lambda: opened[0].batch(
                [_asked(row.request) for row in rows],
                config={"max_concurrency": jobs},
                return_exceptions=True,
                context=_context(given),
            )
        )
        for row, result in zip(rows, results, strict=True):
            if isinstance(result, batches.ROW_ERRORS):
                row.fail(str(result))
            elif isinstance(result, BaseException):
                raise result
            else:
                path = [hop["expert"] for hop in result["hops"]]
                row.gained = {"path": path, "answer": str(result["messages"][-1].text)}

    batches.run(
        batch,
        out_file,
        answer,
        prepare=lambda: opened.append(opening.open_graph(graph, expert, dry_run=dry_run)),
        window=jobs,
        field_name=field,
        as_json=as_json,
    )


def _asked(request: str) -> dict[str, Any]:
    return {"messages": [("user", request)]}


def _context(given: dict[str, Any]) -> Any:
    """Makes a run's context of the options that were given: the others stay as the graph file has them."""
    from octopus_graph.state import OctopusContext

    return OctopusContext(**given)
