"""`octopus-graph evaluate`: what a router is worth, beside baselines trained on the same rows."""

from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from octopus_graph.cli import options
from octopus_graph.cli.opening import asking
from octopus_graph.cli.output import emit, err, out, printable
from octopus_graph.cli.train import BENCHMARK, SHARED_DATA
from octopus_graph.errors import MissingExtraError

if TYPE_CHECKING:
    from octopus_graph.evaluation.tables import Table
    from octopus_graph.evaluation.tasks import Evaluation
    from octopus_graph.router import OctopusRouter
    from octopus_graph.training.mixture import Rows

__all__ = ["evaluate"]

SEMANTIC_ROUTER = Path("build/semantic-router/bin/python")  # make semantic-router


class Task(StrEnum):
    """What can be measured."""

    ROUTING = "routing"
    PATHS = "paths"
    REWRITE = "rewrite"
    CALIBRATION = "calibration"
    ROBUSTNESS = "robustness"
    ANSWERS = "answers"
    SPEED = "speed"
    ALL = "all"


def evaluate(
    task: Annotated[Task, typer.Argument(help="What to measure.", show_default=False)],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="JSONL of cases [default: the project's validation and test sets, and what training held out]",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help=f"Holds {BENCHMARK}; without it MMLU is left out [default: {SHARED_DATA}, if it is there]",
            show_default=False,
        ),
    ] = None,
    examples: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="The rows your router learned from: baselines learn from them too, and without a FILE of cases it is"
            " measured on those of them that training held out. May be given more than once.",
            show_default=False,
        ),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="At most so many cases of each source, evenly taken [default: all; with the task all, 250 of what"
            " training held out]",
            show_default=False,
        ),
    ] = None,
    max_error: Annotated[
        float,
        typer.Option(
            help="calibration: the largest share of wrong answers, whose threshold is shown for every source."
        ),
    ] = 0.05,
    router: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The router to measure [default: the shipped one]", show_default=False),
    ] = None,
    out_folder: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Where evaluation.json and evaluation.html go.")
    ] = Path("build/evaluation"),
    choices: Annotated[bool, typer.Option("--choices", help="Put the choices of a row below its question.")] = False,
    baselines: Annotated[bool, typer.Option(help="Train the baselines and measure them too.")] = True,
    graph: Annotated[
        str | None,
        typer.Option(
            "--graph",
            "-g",
            metavar="FILE|NAME",
            help="answers: ask this graph's experts, 5-shot. Needs a FILE whose rows have choices and answer.",
            show_default=False,
        ),
    ] = None,
    semantic_router: Annotated[
        Path | None,
        typer.Option(
            metavar="PYTHON",
            help=f"A Python that has semantic-router, a further baseline [default: {SEMANTIC_ROUTER}, if it is there]",
            show_default=False,
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget what an earlier run has kept in --out, and measure it all anew.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Measures a router: tables, JSON, and one page of HTML with the plots.

    A case is a JSON object with request (or question) and expert, or hops; without either it is one that no expert
    fits. With choices and answer it is a question of multiple choice. The task all takes fewer cases of each source,
    evenly, than a task by itself; how many, its tables say. Each task is printed and written when it is finished, and
    the same command goes on from there when it was stopped.
    """
    if not 0 < max_error < 1:
        raise typer.BadParameter("a share between 0 and 1, such as 0.05", param_hint="--max-error")
    folder = _folder(data)
    with _extra():
        from octopus_graph.engines.embedding import Encoder
        from octopus_graph.evaluation import samples, tasks
        from octopus_graph.evaluation.answers import read_outcomes
        from octopus_graph.evaluation.cases import fresh_paragraphs
        from octopus_graph.evaluation.vectors import Vectors
    from octopus_graph.router import OctopusRouter
    from octopus_graph.weights import minilm
    from octopus_graph.weights.store import cache_folder

    console = err()

    def say(text: str) -> None:
        console.print(printable(text))

    limits = samples.QUICK if task is Task.ALL else samples.THOROUGH
    opened = OctopusRouter.from_pretrained(router)
    rows = _rows(opened, folder, examples) if baselines or not files else None
    if baselines and rows is None:
        say("No baselines: they would learn the project's rows, whose experts this router has not. Give --examples.")
        baselines = False
    if files:
        cases, left_out = samples.thinned(
            samples.files_cases(files, opened.experts, choices=choices or bool(graph)), most
        )
    elif rows:
        cases, left_out = samples.thinned(samples.held_out_cases(rows[1]), most or limits.held_out)
        cases = cases if examples else [*samples.own_cases(opened.experts), *cases]
    else:
        raise typer.BadParameter("this router has experts of its own: give a FILE of cases, or --examples")
    embed = None
    if baselines:
        embed = Vectors(Encoder(minilm.prepare()), cache_folder() / "embeddings" / minilm.WHEEL.member_sha256[:16], say)
    run = tasks.Evaluation(
        router=opened,
        cases=cases,
        learned=rows[0] if rows and baselines else None,
        unseen_paragraphs=fresh_paragraphs(),
        embed=embed,
        outcomes=read_outcomes(folder) if folder and task in {Task.ANSWERS, Task.ALL} else (),
        ask=asking(graph, opened) if graph else None,
        graph=_content(graph) if graph else "",
        semantic_router=semantic_router or (SEMANTIC_ROUTER if SEMANTIC_ROUTER.exists() else None),
        max_error=max_error,
        fitted=samples.fitted_on(rows[1]) if rows else (),
        limits=limits,
        left_out=left_out,
        say=say,
        out=out_folder,
        fresh=fresh,
    )
    _report(run, list(tasks.TASKS) if task is Task.ALL else [task.value], out_folder, as_json=as_json)


def _report(run: "Evaluation", names: list[str], folder: Path, *, as_json: bool) -> None:
    """Prints and writes each task when it is finished: whoever stops the run has what is there."""
    from octopus_graph.evaluation.report import write_report
    from octopus_graph.evaluation.tables import task_tables, times

    figures, page = run.heading(), folder
    for name in names:
        figures |= run.measure(name, figures["measured"])
        page = write_report(figures, folder)
        for table in () if as_json else task_tables(name, figures):
            _show(table)
    if as_json:
        emit(figures)
        return
    _show(times(figures))
    out().print(f"The report is {page}")


@contextmanager
def _extra() -> Generator[None]:
    """Says which extra is missing where a package of it is."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "octopus_graph":
            raise
        raise MissingExtraError("train", "Evaluation") from error


def _content(graph: str) -> str:
    """Names a graph by its file's text where it is one."""
    return f"{graph} {Path(graph).read_text(encoding='utf-8') if Path(graph).is_file() else ''}"


def _folder(data: Path | None) -> Path | None:
    if data and not (data / BENCHMARK).is_file():
        raise typer.BadParameter(f"{printable(str(data))!r} holds no {BENCHMARK}", param_hint="--data")
    return data or (SHARED_DATA if (SHARED_DATA / BENCHMARK).is_file() else None)


def _rows(router: "OctopusRouter", folder: Path | None, examples: list[Path] | None) -> "tuple[Rows, Rows] | None":
    """Returns what the router learned from and what was kept out of that; `None` where nobody says what it was."""
    from octopus_graph.tokens import PAPER_EXPERTS
    from octopus_graph.training.commands import own_lessons, rows_of

    if examples:
        lessons = own_lessons(examples, router.experts)
        return lessons.learn, lessons.unseen
    return rows_of(folder) if set(router.experts) == set(PAPER_EXPERTS) else None


def _show(table: "Table") -> None:
    from rich import table as rich

    console = out()
    console.print(printable(table.title), style="bold")
    if table.rows:
        shown = rich.Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for place, name in enumerate(table.head):
            shown.add_column(printable(name), overflow="fold", no_wrap=place == 0)
        for row in table.rows:
            shown.add_row(*map(printable, row))
        console.print(shown)
    for note in table.notes:
        console.print(printable(note))
    console.print()
