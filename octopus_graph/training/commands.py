"""What `octopus-graph train` runs: train, calibrate, measure in a work folder, and only then replace the old router."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from octopus_graph import weights
from octopus_graph.engines.hf import HFEngine
from octopus_graph.errors import TrainingError, UnknownExpertError
from octopus_graph.router import CARD, SHIPPED, OctopusRouter, RouterCard, read_card
from octopus_graph.tokens import PAPER_EXPERTS, FunctionalTokens
from octopus_graph.training.adapters import TRAINING, Material, train_edge_adapters, train_router_adapter
from octopus_graph.training.card import FIGURES, write_card
from octopus_graph.training.data import (
    Multipart,
    Request,
    Unroutable,
    examples,
    own_paragraphs,
    own_paths,
    own_requests,
    own_unroutable,
    own_validation,
    questions,
)
from octopus_graph.training.disk import copy_folder, publish, restore
from octopus_graph.training.finish import finish_edges, finish_router, read_figures, write_json
from octopus_graph.training.mixture import Rows, split
from octopus_graph.training.recipe import Plan

__all__ = [
    "Lessons",
    "calibrate_router",
    "own_lessons",
    "rows_of",
    "shipped_lessons",
    "train_all",
    "train_edges",
    "train_router",
]

FEWEST_EXPERTS = 2


@dataclass(frozen=True)
class Lessons:
    """What is to be learned.

    Attributes:
        experts: In token order.
        learn: The rows to learn from.
        unseen: Those kept out of training, for calibration and figures.
        validation: Requests by source that say when a run has learned enough; none of them is in the other two.
        shipped: Whether they are those of the shipped router.
    """

    experts: tuple[str, ...]
    learn: Rows
    unseen: Rows
    validation: Mapping[str, Sequence[Request]]
    shipped: bool = False


def rows_of(data: Path | None) -> tuple[Rows, Rows]:
    """Returns the rows to learn from and those kept out: the project's own, and MMLU where there is a folder of it."""
    asked = questions(data) if data else []
    return split(Rows(own_requests(), own_paths(), asked, own_unroutable(), own_paragraphs()))


def shipped_lessons(data: Path) -> Lessons:
    """Returns what the shipped router learns: the project's own examples, and MMLU.

    Raises:
        TrainingError: If the data is missing or malformed.
    """
    learn, unseen = rows_of(data)
    return Lessons(PAPER_EXPERTS, learn, unseen, own_validation(), shipped=True)


def own_lessons(files: Iterable[Path], experts: Sequence[str] = ()) -> Lessons:
    """Returns what a router of somebody's own experts learns.

    The project's paragraphs and its requests that no expert fits are added: they tell nothing of any expert. Its
    commands ("cancel my subscription") are not: somebody's support expert may be there for just these.

    Args:
        files: JSONL of examples.
        experts: The experts in token order; in the order the files name them where there are none.

    Raises:
        TrainingError: If a line is malformed or names an unknown expert, or there are fewer than two experts.
    """
    rows = examples(files)
    named = tuple(dict.fromkeys(name for row in rows for name in row.experts))
    chosen = tuple(experts) or named
    for name in named:
        if name not in chosen:
            raise TrainingError(f"The examples name the expert {name!r}, which is none of {', '.join(chosen)}.")
    if len(chosen) < FEWEST_EXPERTS:
        found = f"There is only {chosen[0]}: a router needs two experts." if chosen else ""
        raise TrainingError(found or "There are no experts in the rows: a router needs two.")
    learn, unseen = split(
        Rows(
            [row for row in rows if isinstance(row, Request)],
            [row for row in rows if isinstance(row, Multipart)],
            [],
            [
                *(row for row in own_unroutable() if row.style != "command"),
                *(row for row in rows if isinstance(row, Unroutable)),
            ],
            own_paragraphs(),
        )
    )
    # A run that ends by these rows has seen them: neither temperature nor figures may come from them.
    looked_at = [row for row in unseen.requests if not row.previous and _third(row.request)]
    rest = [row for row in unseen.requests if row.previous or not _third(row.request)]
    return Lessons(chosen, learn, replace(unseen, requests=rest), {"examples": looked_at})


def _third(text: str) -> bool:
    # A byte of its own: the last one splits the rest between temperature and bound.
    return hashlib.sha256(text.encode()).digest()[-2] % 3 == 0


def train_router(
    lessons: Lessons,
    plan: Plan,
    out: Path = SHIPPED,
    work: Path = Path("build/router"),
    *,
    base: str = weights.EMBEDDED,
    start: Path | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Trains a router, calibrates it, and measures it on what it has not seen.

    Args:
        lessons: What to learn.
        plan: How.
        out: The router folder to make; edge adapters of an older router are removed, as they fit only the router they
            were trained on.
        work: Checkpoints and results; a run that was stopped is taken up again from here.
        base: The base model.
        start: The folder of a router of the same experts that the run goes on from.
        say: Hears what goes on, a line at a time.

    Raises:
        TrainingError: If an expert has no row, a loss or weight is no number, or something cannot be written.
    """
    _prepare(out, work)
    publish(_make_router(lessons, plan, work, base=base, start=start, say=say), out)
    say(f"The router is in {out.name}; train its edges next.")


def train_edges(
    lessons: Lessons,
    plan: Plan,
    router: Path = SHIPPED,
    work: Path = Path("build/edges"),
    *,
    experts: Sequence[str] | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Trains the edge adapter of each expert on top of a router, and measures paths with and without them.

    The router is as it was until all of it is done.

    Args:
        lessons: What to learn; of the router's experts.
        plan: How.
        router: The router folder; the adapters go into its `edges/`.
        work: Finished adapters; a run that was stopped is taken up again from here.
        experts: Those to train, `None` for all.
        say: Hears what goes on, a line at a time.

    Raises:
        UnknownExpertError: If the router does not know an expert.
        TrainingError: If there are no rows for it, a loss or weight is no number, or something cannot be written.
    """
    _prepare(router, work)
    publish(_make_edges(lessons, plan, router, work, experts=experts, say=say), router)


def train_all(
    lessons: Lessons,
    plan: Plan,
    out: Path = SHIPPED,
    work: Path = Path("build/training"),
    *,
    base: str = weights.EMBEDDED,
    start: Path | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Trains a router and its edges; what was in `out` stays until both are finished.

    Args and errors are those of `train_router`.
    """
    _prepare(out, work)
    alone = _make_router(lessons, plan, work / "router", base=base, start=start, say=say)
    publish(_make_edges(lessons, plan, alone, work / "edges", say=say), out)
    say(f"The router is in {out.name}.")


def calibrate_router(
    lessons: Lessons,
    router: Path = SHIPPED,
    work: Path = Path("build/calibration"),
    *,
    say: Callable[[str], None] = print,
) -> None:
    """Calibrates and measures a finished router again, as training does at its end: the adapters stay as they are.

    Whole paths are measured where the router has edge adapters. What was in the folder stays until all of it is done.

    Args:
        lessons: Those the router learned: the lexicon learns them again, the rest uses the rows kept out of training.
        router: The router folder.
        work: Holds a copy meanwhile.
        say: Hears what goes on, a line at a time.

    Raises:
        AdapterError: If the folder holds no router, or a broken one.
        UnknownExpertError: If the router does not know an expert of the rows.
        TrainingError: If something cannot be written.
    """
    _prepare(router, work)
    _check_experts(read_card(router), lessons.experts)
    fresh = work / "fresh"
    copy_folder(router, fresh)
    say("Scoring the rows kept out of training; two slow cores read some ten of them a second.")
    finish_router(fresh, lessons.learn, lessons.unseen, say=say)
    if any(fresh.glob("edges/*/adapter_config.json")):
        finish_edges(fresh, lessons.unseen, say=say)
    write_card(fresh)
    publish(fresh, router)
    say(f"The router in {router.name} is calibrated.")


def _check_experts(card: RouterCard, experts: Sequence[str]) -> None:
    for expert in experts:
        if expert not in card.experts:
            raise UnknownExpertError(expert, list(card.experts))


def _prepare(out: Path, work: Path) -> None:
    if work.resolve().is_relative_to(out.resolve()):
        raise TrainingError("The work folder lies within the router's, which is replaced as a whole: choose another.")
    restore(out)


def _make_router(
    lessons: Lessons, plan: Plan, work: Path, *, base: str, start: Path | None, say: Callable[[str], None]
) -> Path:
    """Returns the finished router's folder inside `work`."""
    material = Material(base, FunctionalTokens(lessons.experts), lessons.learn, plan, lessons.validation, start)
    finished = train_router_adapter(material, work, say=say)
    fresh = finished.with_name("fresh")
    copy_folder(finished, fresh, without=TRAINING)
    card = RouterCard(base=base, format="chatml", experts=lessons.experts, temperature=1.0)
    write_json(fresh / CARD, card.model_dump())
    training = json.loads((finished / TRAINING).read_text(encoding="utf-8"))
    write_json(fresh / FIGURES, {"training": training, "data": _counted(lessons)})
    finish_router(fresh, lessons.learn, lessons.unseen, say=say)
    write_card(fresh)
    return fresh


def _make_edges(
    lessons: Lessons,
    plan: Plan,
    router: Path,
    work: Path,
    *,
    experts: Sequence[str] | None = None,
    say: Callable[[str], None],
) -> Path:
    """Returns the folder of the router with its edges, inside `work`."""
    card = read_card(router)
    _check_experts(card, (*(experts or ()), *lessons.experts))
    material = Material(card.base, FunctionalTokens(card.experts), lessons.learn, plan)
    # Adapters fit one router only: those of another do not count as finished.
    place = work / cast(HFEngine, OctopusRouter.from_pretrained(router).engine).trunk_revision
    made = dict(train_edge_adapters(material, router, list(experts or card.experts), place, say=say))
    fresh = place / "fresh"
    copy_folder(router, fresh)
    for expert, finished in made.items():
        copy_folder(finished, fresh / "edges" / expert, without=TRAINING)
    figures = read_figures(fresh)
    others = {expert: run for expert, run in figures.get("edges", {}).items() if expert not in made}
    write_json(fresh / FIGURES, {**figures, "edges": {**others, **_runs(made)}})
    finish_edges(fresh, lessons.unseen, say=say)
    write_card(fresh)
    return fresh


def _runs(made: Mapping[str, Path]) -> dict[str, Any]:
    """Returns by expert what each edge's run took, where that was recorded."""
    files = {expert: folder / TRAINING for expert, folder in made.items()}
    return {expert: json.loads(file.read_text(encoding="utf-8")) for expert, file in files.items() if file.exists()}


def _counted(lessons: Lessons) -> dict[str, int | bool]:
    rows = lessons.learn
    return {
        "shipped": lessons.shipped,
        "requests": len(rows.requests),
        "paths": len(rows.paths),
        "questions": len(rows.questions),
        "unroutable": len(rows.unroutable),
        "paragraphs": len(rows.paragraphs),
    }
