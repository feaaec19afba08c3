"""`octopus-graph ask`: a question through the whole graph, shown while it runs; or a file of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from octopus_graph.cli import batch as batches
from octopus_graph.cli import opening, options
from octopus_graph.cli.background import in_background
from octopus_graph.cli.conversation import Conversation, asked
from octopus_graph.cli.output import emit, out, printable
from octopus_graph.cli.query import one_of, optional_question, question
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
    when_unsure: Annotated[
        Literal["fallback", "fan_out", "ask"] | None,
        typer.Option(
            help="What becomes of a question that is not routed; ask needs --thread [default: the graph's]",
            show_default=False,
        ),
    ] = None,
    thread: Annotated[
        str | None,
        typer.Option(
            "--thread",
            metavar="ID",
            help="Keep the conversation under this name. Where its run waits for you, QUERY is your answer; without"
            " QUERY a run that was cut short goes on.",
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Go on from this checkpoint of the thread.", show_default=False),
    ] = None,
    redis: options.Redis = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Put an echo in the experts' place.")] = False,
    as_json: options.Json = False,
) -> None:
    """Asks the graph, and shows where the question goes and what comes back.

    With --batch every row of a JSON Lines file keeps its keys and gains path (the experts in order) and answer. A
    row's own value under one of these keys moves to given. A row that cannot be answered gains error instead; the rest
    is done all the same, and the exit code is 1.
    """
    one_of(query, batch, out_file, field)
    if batch is not None and thread is not None:
        raise typer.BadParameter("a thread and a file of questions do not go together", param_hint="--thread")
    if checkpoint is not None and thread is None:
        raise typer.BadParameter("goes with --thread only", param_hint="--checkpoint")
    settings = {"max_hops": max_hops, "min_confidence": min_confidence, "max_error": max_error}
    settings |= {"rewrite": rewrite, "experts": expert, "when_unsure": when_unsure}
    given = {name: value for name, value in settings.items() if value is not None}
    if batch is None:
        _one(graph, expert, given, _Single(query, thread, checkpoint, redis, dry_run, as_json))
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


@dataclass(frozen=True)
class _Single:
    """What concerns one question alone."""

    query: str | None
    thread: str | None
    checkpoint: str | None
    redis: str | None
    dry_run: bool
    as_json: bool


def _one(graph: str, expert: list[str] | None, given: dict[str, Any], single: _Single) -> None:
    """Asks one question, of a thread or of none."""
    if single.thread is None:
        request = question(single.query)
        compiled = opening.open_graph(graph, expert, dry_run=single.dry_run)
        record = _shown(compiled, _asked(request), None, given, quiet=single.as_json)
        if single.as_json:
            emit({"request": request} | record)
        return
    said = optional_question(single.query)
    with opening.open_store(graph, single.redis) as saver:
        compiled = opening.open_graph(graph, expert, dry_run=single.dry_run, saver=saver)
        talk = Conversation(compiled, single.thread, given, single.checkpoint)
        record = _shown(compiled, *talk.run(said), quiet=single.as_json)
        waiting = talk.question()
    if single.as_json:
        emit({"request": said, "thread": single.thread, "waiting": waiting} | record)
    elif waiting is not None:
        out().print(f"? {printable(asked(waiting))}", style="bold yellow")
        out().print(f'  Answer with: octopus-graph ask --thread {printable(single.thread)} "…"', style="dim")


def _shown(compiled: Any, given_in: Any, config: Any, given: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """Runs the graph, shows the run, and returns the record of it."""
    modes = ["custom", "messages"]
    events = in_background(lambda: compiled.stream(given_in, config, context=_context(given), stream_mode=modes))
    view = RunView(quiet=quiet)
    with view:
        for mode, event in events:
            view.show(mode, event)
    return view.record()


def _asked(request: str) -> dict[str, Any]:
    return {"messages": [("user", request)]}


def _context(given: dict[str, Any]) -> Any:
    """Makes a run's context of the options that were given: the others stay as the graph file has them."""
    from octopus_graph.state import OctopusContext

    return OctopusContext(**given)
