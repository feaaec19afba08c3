"""What `octopus-graph train` runs: train, calibrate, measure in a work folder, and only then replace the old router."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from octopus_graph import weights
from octopus_graph.engines.hf import HFEngine
from octopus_graph.errors import TrainingError, UnknownExpertError
from octopus_graph.risk import Calibration
from octopus_graph.router import CALIBRATION, CARD, SHIPPED, OctopusRouter, RouterCard, read_calibration, read_card
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
from octopus_graph.training.disk import copy_folder, publish, restore, write_text
from octopus_graph.training.heldout import calibrate, hop_outcomes, measure_hops, measure_routes, path_outcomes
from octopus_graph.training.mixture import Rows, split
from octopus_graph.training.recipe import Plan

__all__ = ["Lessons", "own_lessons", "rows_of", "shipped_lessons", "train_all", "train_edges", "train_router"]

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
    _write(fresh / CARD, card.model_dump())
    temperature = calibrate(OctopusRouter.from_pretrained(fresh), lessons.unseen)
    if temperature is None:
        say("Too few rows are kept out of training to calibrate on: confidence is as it comes.")
    else:
        _write(fresh / CARD, card.model_copy(update={"temperature": round(temperature, 4)}).model_dump())
    router = OctopusRouter.from_pretrained(fresh)
    if outcomes := hop_outcomes(router, lessons.unseen):
        _write(fresh / CALIBRATION, Calibration(hop=tuple(outcomes)).model_dump(mode="json"), indent=None)
        say(f"max_error has {len(outcomes)} rows to go by: it can be kept from {1 / (len(outcomes) + 1):.1%} upwards.")
    figures = {name: asdict(score) for name, score in measure_routes(router, lessons.unseen).items()}
    training = json.loads((finished / TRAINING).read_text(encoding="utf-8"))
    _write(fresh / FIGURES, {"training": training, "data": _counted(lessons), "routes": figures})
    for name, score in figures.items():
        say(f"{name}: accuracy {score['accuracy']:.1%}, macro-F1 {score['macro_f1']:.1%} on {score['rows']} rows.")
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
    for expert in (*(experts or ()), *lessons.experts):
        if expert not in card.experts:
            raise UnknownExpertError(expert, list(card.experts))
    material = Material(card.base, FunctionalTokens(card.experts), lessons.learn, plan)
    # Adapters fit one router only: those of another do not count as finished.
    place = work / cast(HFEngine, OctopusRouter.from_pretrained(router).engine).trunk_revision
    made = dict(train_edge_adapters(material, router, list(experts or card.experts), place, say=say))
    fresh = place / "fresh"
    copy_folder(router, fresh)
    for expert, finished in made.items():
        copy_folder(finished, fresh / "edges" / expert, without=TRAINING)
    figures: dict[str, Any] = {}
    if (fresh / FIGURES).exists():
        figures = json.loads((fresh / FIGURES).read_text(encoding="utf-8"))
    trained = OctopusRouter.from_pretrained(fresh)
    others = {expert: run for expert, run in figures.get("edges", {}).items() if expert not in made}
    figures["edges"] = {**others, **_runs(made)}
    outcomes = tuple(path_outcomes(trained, lessons.unseen))
    if outcomes and (calibration := read_calibration(fresh)):
        whole = calibration.model_copy(update={"path": outcomes})
        _write(fresh / CALIBRATION, whole.model_dump(mode="json"), indent=None)
    if lessons.unseen.paths:
        paths = {
            "with_edge_adapters": measure_hops(trained, lessons.unseen.paths),
            "router_alone": measure_hops(trained, lessons.unseen.paths, edges=False),
        }
        figures["paths"] = {"rows": len(lessons.unseen.paths), **paths}
        for name, shares in paths.items():
            say(f"{name}: " + ", ".join(f"{kind} {share:.1%}" for kind, share in shares.items()))
    _write(fresh / FIGURES, figures)
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


def _write(path: Path, value: object, indent: int | None = 2) -> None:
    write_text(path, json.dumps(value, indent=indent) + "\n")
