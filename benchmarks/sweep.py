"""A sweep over training recipes: the same part of the rows, one pass, and what each recipe scores on what is kept out.

    python -m benchmarks.sweep --data ../shared/data --work build/sweep recipe-a.yaml recipe-b.yaml

What is finished is not trained again, and a run that was stopped goes on; rows of the table are in the order given.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from octopus_graph import weights
from octopus_graph.codec import CHATML
from octopus_graph.engines.hf import HFEngine
from octopus_graph.router import OctopusRouter
from octopus_graph.tokens import FunctionalTokens
from octopus_graph.training.adapters import Material, train_router_adapter
from octopus_graph.training.commands import shipped_lessons
from octopus_graph.training.heldout import measure_routes, scored_rows
from octopus_graph.training.mixture import Rows
from octopus_graph.training.recipe import read_plan


def sweep(
    recipes: Annotated[list[Path], typer.Argument(help="Training files.")],
    data: Annotated[Path, typer.Option(help="Holds mmlu_dev.jsonl")],
    work: Annotated[Path, typer.Option(help="Checkpoints and adapters")] = Path("build/sweep"),
    share: Annotated[float, typer.Option(help="The share of the rows that are learned from")] = 0.4,
) -> None:
    """Trains and measures each recipe."""
    lessons = shipped_lessons(data)
    tokens = FunctionalTokens(lessons.experts)
    part = _part(lessons.learn, share)
    table = Table("recipe", "MMLU", "own", *lessons.validation, "seconds")
    console = Console(stderr=True)
    for path in recipes:
        plan = read_plan(path)
        plan = plan.model_copy(update={"router": plan.router.model_copy(update={"evaluations": 0})})
        folder = train_router_adapter(Material(weights.EMBEDDED, tokens, part, plan), work, say=console.print)
        router = OctopusRouter(
            HFEngine(weights.resolve(weights.EMBEDDED), tokens=tokens, adapter=folder), tokens, CHATML
        )
        routes = measure_routes(router, scored_rows(router, lessons.unseen))
        cells = [routes["mmlu"].accuracy, routes["own_requests"].accuracy]
        for rows in lessons.validation.values():
            decisions = router.decide_many([row.request for row in rows])
            cells.append(sum(a.expert == b.expert for a, b in zip(decisions, rows, strict=True)) / len(rows))
        seconds = json.loads((folder / "training.json").read_text(encoding="utf-8"))["train_runtime"]
        table.add_row(path.stem, *(f"{cell:.1%}" for cell in cells), f"{seconds:.0f}")
        Console().print(table)


def _part(rows: Rows, share: float) -> Rows:
    """Returns a share of the rows, chosen by a hash of the text: the same for each recipe."""

    def inside(text: str) -> bool:
        return hashlib.sha256(f"sweep {text}".encode()).digest()[0] < 256 * share

    return Rows(
        [row for row in rows.requests if inside(row.request)],
        [row for row in rows.paths if inside(row.request)],
        [row for row in rows.questions if inside(row.question)],
        [row for row in rows.unroutable if inside(row.request)],
        rows.paragraphs,
    )


if __name__ == "__main__":
    typer.run(sweep)
