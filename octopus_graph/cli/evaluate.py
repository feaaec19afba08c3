"""`octopus-graph evaluate`: what a router is worth, beside baselines trained on the same rows."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from octopus_graph.cli import options
from octopus_graph.cli.opening import asking
from octopus_graph.cli.output import emit, err, out, percent, printable
from octopus_graph.errors import MissingExtraError

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
            help="JSONL of cases [default: the project's validation sets, and what training held out]",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Holds mmlu_dev.jsonl; without it MMLU is left out.", show_default=False),
    ] = None,
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
            help="answers: ask this graph's experts the cases that carry an answer, 5-shot.",
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
    as_json: options.Json = False,
) -> None:
    """Measures a router: JSON and one page of HTML with the plots.

    A case is a JSON object with request (or question) and expert, or hops; without either it is one that no expert
    fits. With choices and answer it is a question of multiple choice.
    """
    try:
        from octopus_graph.engines.embedding import Encoder
        from octopus_graph.evaluation import tasks
        from octopus_graph.evaluation.answers import read_outcomes
        from octopus_graph.evaluation.report import write_report
        from octopus_graph.training.commands import rows_of
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "octopus_graph":
            raise
        raise MissingExtraError("train", "Evaluation") from error
    from octopus_graph.router import OctopusRouter
    from octopus_graph.weights import minilm

    console = err()
    opened = OctopusRouter.from_pretrained(router)
    if semantic_router is None and SEMANTIC_ROUTER.exists():
        semantic_router = SEMANTIC_ROUTER
    learned, unseen = rows_of(data)
    cases = (
        tasks.files_cases(files, opened.experts, choices=choices or bool(graph))
        if files
        else [*tasks.own_cases(opened.experts), *tasks.held_out_cases(unseen)]
    )
    run = tasks.Evaluation(
        router=opened,
        cases=cases,
        learned=learned if baselines else None,
        unseen_paragraphs=unseen.paragraphs,
        embed=Encoder(minilm.prepare()) if baselines else None,
        outcomes=read_outcomes(data) if data else (),
        ask=asking(graph, opened) if graph else None,
        semantic_router=semantic_router,
        say=lambda text: console.print(printable(text)),
    )
    figures = run.run(list(tasks.TASKS) if task is Task.ALL else [task.value])
    page = write_report(figures, out_folder)
    if as_json:
        emit(figures)
        return
    for name, standing in figures.get("routing", {}).get("contenders", {}).items():
        for source, rates in standing["sources"].items():
            out().print(f"{name}, {source}: {percent(rates['accuracy']['value'])} of {rates['rows']:,}")
    if five := figures.get("answers", {}).get("five_shot"):
        out().print(f"experts, 5-shot: {percent(five['right']['value'])} of {five['questions']:,}")
    out().print(f"The report is {page}")
