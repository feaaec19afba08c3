"""The command line.

    ask, route      the main job: a question, or a file of them
    serve, keys     the graph behind HTTP, and the keys it asks for
    worker, runs    runs that wait in Redis: walked, submitted, looked after
    threads, replay kept conversations: looked at, forked, deleted; decided again by another router
    cache           what the cache of decisions and answers was worth, and how to empty it
    graph           what a graph file says, drawn and checked
    models, train   model files; the router's and the edges' adapters
    data            the examples they are trained on: counted and checked
    evaluate        what a router is worth, beside baselines
    doctor          what is installed, found and reachable

Modules load what they need inside their commands: `--help` loads no torch, no LangGraph and no model.
"""

import os
import signal
import sys
import warnings
from contextlib import suppress
from io import TextIOWrapper
from typing import Annotated

import typer

from octopus_graph.cli import cache, data, graphs, models, runs, threads, train
from octopus_graph.cli.ask import ask
from octopus_graph.cli.doctor import doctor
from octopus_graph.cli.evaluate import evaluate
from octopus_graph.cli.guard import INTERRUPTED, TERMINATED, Guard, misused
from octopus_graph.cli.replay import replay
from octopus_graph.cli.route import route
from octopus_graph.cli.serve import keys, serve
from octopus_graph.cli.worker import worker

__all__ = ["app", "main"]

app = typer.Typer(
    name="octopus-graph",
    cls=Guard,
    help="A graph of language models that behaves like one model.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(ask)
app.command()(route)
app.command()(serve)
app.add_typer(keys, name="keys")
app.command()(worker)
app.add_typer(runs.app, name="runs")
app.add_typer(threads.app, name="threads")
app.add_typer(cache.app, name="cache")
app.command()(replay)
app.add_typer(graphs.app, name="graph")
app.add_typer(models.app, name="models")
app.add_typer(train.app, name="train")
app.add_typer(data.app, name="data")
app.command()(evaluate)
app.command()(doctor)


@app.callback(invoke_without_command=True)
def octopus_graph(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """A graph of language models that behaves like one model."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("octopus-graph"))
    elif context.invoked_subcommand is None:
        misused(context)
    if not debug:
        _quiet_libraries()


def main() -> None:
    """Runs the command line in a process of its own."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a character shows it another way
    # Ends by an exception, so that temporary files go: nothing half-written stays behind.

    def terminate(_number: int, _frame: object) -> None:
        sys.exit(TERMINATED)

    signal.signal(signal.SIGTERM, terminate)
    try:
        app()
    except SystemExit as end:
        if end.code not in (INTERRUPTED, TERMINATED):
            raise
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(end.code)  # an ordinary exit would wait for threads, and those for the answers of models


def _quiet_libraries() -> None:
    """Keeps the libraries' own bars, notes and warnings out of stderr, which belongs to this program's user."""
    warnings.simplefilter("ignore")
    for name, value in {
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
    }.items():
        os.environ.setdefault(name, value)
    if not sys.stderr.isatty():  # transformers draws a bar for every model it loads, into files and pipes too
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
