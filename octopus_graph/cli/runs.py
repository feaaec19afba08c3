"""`octopus-graph runs`: queued runs, submitted, looked at, stopped and taken up again. No model is loaded."""

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from octopus_graph.cli import options
from octopus_graph.cli.guard import FAILED, misused
from octopus_graph.cli.output import clip, emit, err, out, printable
from octopus_graph.cli.query import question
from octopus_graph.cli.worker import Queue, Redis, store

if TYPE_CHECKING:
    from octopus_graph.runs import Run, RunQueue

__all__ = ["app"]

WAITING = 3
"""The exit code of --wait where the run waits for its human."""

app = typer.Typer(help="Submits runs to the workers, shows them, cancels them, and looks after the dead ones.")

_Id = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]
_Limit = Annotated[int, typer.Option(min=1, help="The most of them.")]
_Wait = Annotated[bool, typer.Option("--wait", help="Wait until the run is over, and print its answer.")]


@app.callback(invoke_without_command=True)
def runs(context: typer.Context) -> None:
    """Submits runs to the workers, shows them, cancels them, and looks after the dead ones."""
    if context.invoked_subcommand is None:
        misused(context)


@app.command()
def submit(
    query: options.Query = None,
    thread: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The thread it goes on [default: a new one]", show_default=False),
    ] = None,
    run_id: Annotated[
        str | None,
        typer.Option(
            "--id", metavar="UUID", help="An id of your own: submitting it twice makes one run.", show_default=False
        ),
    ] = None,
    max_hops: Annotated[
        int | None,
        typer.Option(min=1, max=10, help="The most experts that are asked [default: the graph's]", show_default=False),
    ] = None,
    wait: _Wait = False,
    redis: Redis = None,
    queue: Queue = "default",
    graph: options.Graph = "default",
    as_json: options.Json = False,
) -> None:
    """Queues a run, and prints its id."""
    from uuid import uuid4

    request = question(query)
    context = {} if max_hops is None else {"max_hops": max_hops}
    with store(graph, redis) as saver:
        runs = _queue(saver, queue)
        run = runs.submit(thread or str(uuid4()), request, context=context, run_id=run_id)
        _settled(runs, run, as_json) if wait else _named(runs.status(run), as_json)


@app.command("list")
def list_(
    limit: _Limit = 20,
    redis: Redis = None,
    queue: Queue = "default",
    graph: options.Graph = "default",
    as_json: options.Json = False,
) -> None:
    """Lists the newest runs."""
    with store(graph, redis) as saver:
        _table(_queue(saver, queue).list(limit=limit), as_json)


@app.command()
def dead(
    limit: _Limit = 20,
    redis: Redis = None,
    queue: Queue = "default",
    graph: options.Graph = "default",
    as_json: options.Json = False,
) -> None:
    """Lists the runs that nobody tries any more, and why."""
    with store(graph, redis) as saver:
        _table(_queue(saver, queue).list(dead=True, limit=limit), as_json)


@app.command()
def show(
    run: _Id,
    wait: _Wait = False,
    redis: Redis = None,
    queue: Queue = "default",
    graph: options.Graph = "default",
    as_json: options.Json = False,
) -> None:
    """Shows how a run stands, what it asks its human, and its answer."""
    with store(graph, redis) as saver:
        runs = _queue(saver, queue)
        if wait:
            _settled(runs, run, as_json)
        else:
            _shown(runs, runs.status(run), as_json)


@app.command()
def cancel(run: _Id, redis: Redis = None, queue: Queue = "default", graph: options.Graph = "default") -> None:
    """Cancels a run that waits, and asks the worker of one that runs to stop it."""
    with store(graph, redis) as saver:
        status = _queue(saver, queue).cancel(run)
    words = {"cancelled": "cancelled", "running": "its worker stops it"}
    out().print(f"{run}: {words.get(status, f'it was over already ({status})')}")


@app.command()
def resume(
    run: _Id,
    query: options.Query = None,
    wait: _Wait = False,
    redis: Redis = None,
    queue: Queue = "default",
    graph: options.Graph = "default",
    as_json: options.Json = False,
) -> None:
    """Gives an interrupted run its human's answer, so that it goes on."""
    answer = question(query)
    with store(graph, redis) as saver:
        runs = _queue(saver, queue)
        runs.resume(run, answer)
        _settled(runs, run, as_json) if wait else _named(runs.status(run), as_json)


@app.command()
def requeue(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="The run's id.", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="All dead runs.")] = False,
    redis: Redis = None,
    queue: Queue = "default",
    graph: options.Graph = "default",
) -> None:
    """Gives a dead run new attempts; it goes on from its last checkpoint."""
    if (run is None) != every:
        raise typer.BadParameter("name a run, or give --all", param_hint="RUN")
    with store(graph, redis) as saver:
        runs = _queue(saver, queue)
        chosen = [run] if run is not None else [one.id for one in runs.list(dead=True, limit=100_000)]
        for one in chosen:
            runs.requeue(one)
            out().print(f"{one}: queued")


def _queue(saver: Any, name: str) -> "RunQueue":
    from octopus_graph.runs import RunQueue

    return RunQueue(saver, name)


def _settled(runs: "RunQueue", run: str, as_json: bool) -> None:
    """Waits for a run and shows it; the exit code says whether it is done."""
    found = runs.wait(run)
    _shown(runs, found, as_json)
    if found.status != "done":
        sys.stdout.flush()
        raise typer.Exit(WAITING if found.status == "interrupted" else FAILED)


def _shown(runs: "RunQueue", run: "Run", as_json: bool) -> None:
    output = runs.result(run.id) if run.status == "done" else {}
    messages: list[Any] = output.get("messages") or []
    answer = str(messages[-1].text) if messages else None
    if as_json:
        path = [hop["expert"] for hop in output.get("hops", [])]
        emit(_described(run) | {"question": run.question, "path": path, "answer": answer})
        return
    for name, value in _described(run).items():
        if value is not None:
            out().print(f"{name:<10} {printable(str(value))}")
    questions: list[Any] = run.question or []
    for asked in questions:
        out().print(f"? {printable(asked if isinstance(asked, str) else json.dumps(asked, ensure_ascii=False))}")
    if answer is not None:
        out().print(f"\n{printable(answer)}")


def _named(run: "Run", as_json: bool) -> None:
    if as_json:
        emit({"run": run.id, "thread": run.thread, "status": run.status})
        return
    out().print(run.id)
    err().print(f"On thread {printable(run.thread)}; see it with: octopus-graph runs show {run.id}", style="dim")


def _table(found: "Sequence[Run]", as_json: bool) -> None:
    if as_json:
        emit([_described(run) for run in found])
        return
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in ("run", "thread", "status", "attempts", "submitted", "error"):
        table.add_column(column, overflow="fold")
    for run in found:
        error = clip(run.error or "", 80)
        table.add_row(run.id, printable(run.thread), run.status, str(run.attempts), str(_when(run.submitted)), error)
    out().print(table)


def _described(run: "Run") -> dict[str, Any]:
    return {
        "run": run.id,
        "thread": run.thread,
        "status": run.status,
        "attempts": run.attempts,
        "submitted": _when(run.submitted),
        "started": _when(run.started),
        "ended": _when(run.ended),
        "worker": run.worker,
        "error": run.error,
    }


def _when(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment).astimezone().isoformat(timespec="seconds")
