"""`octopus-graph train`: the router's adapter, and the experts' edge adapters on top of it."""

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from octopus_graph.cli import options
from octopus_graph.cli.guard import misused
from octopus_graph.cli.output import emit, err, out, printable
from octopus_graph.errors import MissingExtraError

__all__ = ["app"]

SHARED_DATA = Path("../shared/data")  # where the development machines keep it, beside the repository
BENCHMARK = "mmlu_dev.jsonl"

app = typer.Typer(help="Trains a router and its edge adapters (the extra `train`).")

_Data = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help=f"Holds {BENCHMARK} [default: {SHARED_DATA}, if it is there]", show_default=False
    ),
]
_Examples = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Your own examples, JSONL with request and expert (or hops): trains a router of your experts, without the"
        " project's. May be given more than once.",
        show_default=False,
    ),
]
_Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="How to train, YAML [default: the shipped training.yaml]", show_default=False),
]
_Out = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FOLDER", help="The router folder to make [default: the shipped one]", show_default=False
    ),
]
_Base = Annotated[
    str | None, typer.Option(metavar="MODEL", help="The base model [default: the embedded one]", show_default=False)
]
_Start = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="A router of the same experts to go on from, such as the shipped one [default: none]",
        show_default=False,
    ),
]
_Work = Annotated[Path, typer.Option(metavar="FOLDER", help="Checkpoints; a run that was stopped goes on from here.")]


@app.callback(invoke_without_command=True)
def train(context: typer.Context) -> None:
    """Trains a router and its edge adapters."""
    if context.invoked_subcommand is None:
        misused(context)


@app.command()
def router(
    data: _Data = None,
    examples: _Examples = None,
    config: _Config = None,
    out_folder: _Out = None,
    work: _Work = Path("build/router"),
    base: _Base = None,
    start: _Start = None,
    as_json: options.Json = False,
) -> None:
    """Trains functional tokens and LoRA on the base, calibrates them, and measures them on what they have not seen.

    What was in --out stays until the new router is finished.
    """
    with _resumable():
        run = _run(data, examples, config, out_folder, as_json=as_json)
        run.router(work, base, start)
        run.finish(as_json=as_json)


@app.command()
def edges(
    data: _Data = None,
    examples: _Examples = None,
    config: _Config = None,
    router: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="The router they are put on [default: the shipped one]", show_default=False
        ),
    ] = None,
    work: _Work = Path("build/edges"),
    expert: options.Experts = None,
    as_json: options.Json = False,
) -> None:
    """Trains one small adapter per expert, which decides after its answer where the run goes next."""
    with _resumable():
        run = _run(data, examples, config, router, as_json=as_json)
        run.edges(work, expert)
        run.finish(as_json=as_json)


@app.command(name="all")
def everything(
    data: _Data = None,
    examples: _Examples = None,
    config: _Config = None,
    out_folder: _Out = None,
    work: _Work = Path("build/training"),
    base: _Base = None,
    start: _Start = None,
    as_json: options.Json = False,
) -> None:
    """Trains a router, then its edges.

    What was in --out stays until both are finished.
    """
    with _resumable():
        run = _run(data, examples, config, out_folder, as_json=as_json)
        run.everything(work, base, start)
        run.finish(as_json=as_json)


@app.command()
def calibration(
    data: _Data = None,
    examples: _Examples = None,
    router: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The router [default: the shipped one]", show_default=False),
    ] = None,
    work: Annotated[Path, typer.Option(metavar="FOLDER", help="Holds a copy meanwhile.")] = Path("build/calibration"),
    as_json: options.Json = False,
) -> None:
    """Calibrates and measures a finished router again, on the rows that its training kept out.

    The adapters stay as they are, the lexicon is learned anew; the folder is replaced when all of it is done.
    """
    run = _run(data, examples, None, router, as_json=as_json)
    run.calibration(work)
    run.finish(as_json=as_json)


@contextmanager
def _resumable() -> Generator[None]:
    """Has Ctrl-C say what it costs."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command goes on from the last checkpoint") from None


@dataclass(frozen=True)
class _Run:
    commands: Any
    lessons: Any
    plan: Any
    place: Path
    say: Callable[[str], None]

    def router(self, work: Path, base: str | None, start: Path | None) -> None:
        self._train(self.commands.train_router, work, base, start)

    def everything(self, work: Path, base: str | None, start: Path | None) -> None:
        self._train(self.commands.train_all, work, base, start)

    def _train(self, command: Callable[..., None], work: Path, base: str | None, start: Path | None) -> None:
        from octopus_graph.weights import EMBEDDED

        command(self.lessons, self.plan, self.place, work, base=base or EMBEDDED, start=start, say=self.say)

    def edges(self, work: Path, experts: list[str] | None) -> None:
        self.commands.train_edges(self.lessons, self.plan, self.place, work, experts=experts, say=self.say)

    def calibration(self, work: Path) -> None:
        self.commands.calibrate_router(self.lessons, self.place, work, say=self.say)

    def finish(self, *, as_json: bool) -> None:
        if as_json:
            figures = self.place / "figures.json"
            measured: Any = json.loads(figures.read_text(encoding="utf-8")) if figures.is_file() else {}
            emit({"router": str(self.place), "figures": measured})


def _run(
    data: Path | None, examples: list[Path] | None, config: Path | None, place: Path | None, *, as_json: bool
) -> _Run:
    if examples and data:
        raise typer.BadParameter("--examples trains on your rows alone: leave --data out", param_hint="--data")
    if examples and place is None:
        raise typer.BadParameter("say where your router is to go", param_hint="--out or --router")
    folder = None if examples else _data(data)
    try:
        from octopus_graph.training import commands
        from octopus_graph.training.recipe import PLAN, read_plan
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "octopus_graph":
            raise
        raise MissingExtraError("train", "Training") from error
    from octopus_graph.router import SHIPPED

    console = err() if as_json else out()
    lessons = commands.own_lessons(examples) if examples else commands.shipped_lessons(folder or SHARED_DATA)

    def say(text: str) -> None:
        console.print(printable(text))

    return _Run(commands, lessons, read_plan(config or PLAN), place or SHIPPED, say)


def _data(chosen: Path | None) -> Path:
    folder = chosen or SHARED_DATA
    if not (folder / BENCHMARK).is_file():
        problem = f"give the folder that holds {BENCHMARK}"
        if chosen:
            problem = f"{printable(str(folder))!r} holds no {BENCHMARK}"
        raise typer.BadParameter(problem, param_hint="--data")
    return folder
