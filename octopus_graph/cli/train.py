"""`octopus-graph train`: the router's adapter, and the experts' edge adapters on top of it."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from octopus_graph.cli import options
from octopus_graph.cli.guard import misused
from octopus_graph.cli.output import emit, err, out, printable
from octopus_graph.errors import MissingExtraError

__all__ = ["app"]

SHARED_DATA = Path("../shared/data")  # where the development machines keep it, beside the repository
BENCHMARK = "mmlu_dev.jsonl"

app = typer.Typer(help="Trains the router and its edge adapters (the extra `train`).")

_Data = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help=f"Holds {BENCHMARK} [default: {SHARED_DATA}, if it is there]", show_default=False
    ),
]


@app.callback(invoke_without_command=True)
def train(context: typer.Context) -> None:
    """Trains the router and its edge adapters."""
    if context.invoked_subcommand is None:
        misused(context)


@app.command()
def router(
    data: _Data = None,
    out_folder: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FOLDER", help="The router folder to make [default: the shipped one]", show_default=False
        ),
    ] = None,
    work: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Checkpoints; a run that was stopped goes on from here.")
    ] = Path("build/router"),
    base: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The base model [default: the embedded one]", show_default=False)
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Trains functional tokens and LoRA on the base, calibrates them, and measures them on what they have not seen.

    What was in --out stays until the new router is finished.
    """
    folder = _data(data)
    commands = _commands()
    from octopus_graph.router import SHIPPED
    from octopus_graph.weights import EMBEDDED

    place = out_folder or SHIPPED
    commands.train_router(folder, place, work, base=base or EMBEDDED, say=_say(as_json=as_json))
    _finish(place, as_json=as_json)


@app.command()
def edges(
    data: _Data = None,
    router: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="The router they are put on [default: the shipped one]", show_default=False
        ),
    ] = None,
    work: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Finished adapters; a run that was stopped goes on from here.")
    ] = Path("build/edges"),
    expert: options.Experts = None,
    as_json: options.Json = False,
) -> None:
    """Trains one small adapter per expert, which decides after its answer where the run goes next."""
    folder = _data(data)
    commands = _commands()
    from octopus_graph.router import SHIPPED

    place = router or SHIPPED
    commands.train_edges(folder, place, work, experts=expert, say=_say(as_json=as_json))
    _finish(place, as_json=as_json)


def _commands() -> ModuleType:
    try:
        from octopus_graph.training import commands
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "octopus_graph":
            raise
        raise MissingExtraError("train", "Training") from error
    return commands


def _data(chosen: Path | None) -> Path:
    folder = chosen or SHARED_DATA
    if not (folder / BENCHMARK).is_file():
        problem = f"give the folder that holds {BENCHMARK}"
        if chosen:
            problem = f"{printable(str(folder))!r} holds no {BENCHMARK}"
        raise typer.BadParameter(problem, param_hint="--data")
    return folder


def _say(*, as_json: bool) -> Callable[[str], None]:
    console = err() if as_json else out()

    def say(text: str) -> None:
        console.print(printable(text))

    return say


def _finish(place: Path, *, as_json: bool) -> None:
    if as_json:
        figures = place / "figures.json"
        measured: Any = json.loads(figures.read_text(encoding="utf-8")) if figures.is_file() else {}
        emit({"router": str(place), "figures": measured})
