"""`octopus-graph worker`: walks queued runs until it is told to stop."""

import asyncio
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from octopus_graph.cli import opening
from octopus_graph.cli.output import err
from octopus_graph.errors import ConfigurationError

if TYPE_CHECKING:
    from octopus_graph.persistence import RedisSaver

__all__ = ["Queue", "Redis", "store", "worker"]

PATIENCE = 60.0  # seconds for which a worker waits for a Redis that is away before it lets go of a run

Redis = Annotated[
    str | None,
    typer.Option(
        "--redis",
        metavar="URL",
        help="Where runs and threads are [default: what the graph file or OCTOPUS_REDIS_URL says, else embedded]",
        show_default=False,
    ),
]
Queue = Annotated[str, typer.Option("--queue", metavar="NAME", help="The queue, for workers of different graphs.")]


def worker(
    graph: Annotated[
        str,
        typer.Option(
            "--graph",
            "-g",
            metavar="FILE|NAME|MODULE:FUNCTION",
            help="A graph file, the name of a shipped one, or a function that returns a graph.",
        ),
    ] = "default",
    redis: Redis = None,
    queue: Queue = "default",
    concurrency: Annotated[int, typer.Option(min=1, max=1000, help="How many runs it walks at a time.")] = 4,
    lease: Annotated[
        float, typer.Option(min=0.1, help="Seconds after which the runs of a dead worker go to another.")
    ] = 10.0,
    attempts: Annotated[int, typer.Option(min=1, help="How often a run is tried before it counts as dead.")] = 5,
    grace: Annotated[float, typer.Option(min=0, help="Seconds that runs have to finish after SIGTERM.")] = 30.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Put an echo in the experts' place.")] = False,
) -> None:
    """Walks queued runs until SIGTERM or Ctrl-C; then it finishes what it holds, or hands it back.

    A run whose worker dies goes on from its last checkpoint in another one.
    """
    _log_to_stderr()
    with store(graph, redis) as saver:
        saver.link.patience = PATIENCE
        walked = _compiled(graph, dry_run=dry_run)
        # No `asyncio.run`, no ordinary exit: both would wait for the threads of experts whose runs were given up.
        loop = asyncio.new_event_loop()
        loop.run_until_complete(_work(walked, saver, queue, concurrency, lease, attempts, grace))
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


@contextmanager
def store(graph: str, redis: str | None) -> "Generator[RedisSaver]":
    """Opens the place of runs and threads: the one named, or the graph's."""
    from octopus_graph.persistence import open_saver

    if redis is not None or _function(graph):
        with open_saver(redis) as saver:
            yield saver
    else:
        with opening.open_store(graph) as saver:
            yield saver


async def _work(graph: Any, saver: Any, queue: str, *numbers: Any) -> None:
    from octopus_graph.runs import RunWorker

    concurrency, lease, attempts, grace = numbers
    one = RunWorker(graph, saver, queue=queue, concurrency=concurrency, lease=lease, attempts=attempts, grace=grace)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, one.stop)
    err().print(f"Worker {one.name} takes runs of the queue {queue!r} from {saver.link.where}.")
    await one.run()
    err().print(f"Worker {one.name} has stopped.")
    await saver.link.aclose()


def _compiled(graph: str, *, dry_run: bool) -> Any:
    """Compiles a graph without a checkpointer; each run brings its own, fenced."""
    if not (named := _function(graph)):
        return opening.open_graph(graph, None, dry_run=dry_run)
    module, function = named
    sys.path.insert(0, str(Path.cwd()))
    try:
        made = getattr(import_module(module), function)()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"There is no function {function!r} in a module {module!r}: {error}.") from error
    return made.compile(name="octopus") if hasattr(made, "compile") else made


def _function(graph: str) -> tuple[str, str] | None:
    module, colon, function = graph.partition(":")
    return (module, function) if colon and not Path(graph).exists() else None


def _log_to_stderr() -> None:
    import logging

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("octopus_graph").setLevel(logging.INFO)
