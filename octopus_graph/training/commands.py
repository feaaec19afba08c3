"""What `octopus-graph train` runs: train, calibrate, measure, and only then replace the old files by the new."""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from octopus_graph import weights
from octopus_graph.errors import TrainingError, UnknownExpertError
from octopus_graph.risk import Calibration
from octopus_graph.router import CALIBRATION, CARD, SHIPPED, OctopusRouter, RouterCard, read_calibration, read_card
from octopus_graph.tokens import PAPER_EXPERTS, FunctionalTokens
from octopus_graph.training.adapters import Material, publish, train_edge_adapters, train_router_adapter
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
from octopus_graph.training.heldout import calibrate, hop_outcomes, measure_hops, measure_routes, path_outcomes
from octopus_graph.training.mixture import Rows, split
from octopus_graph.training.recipe import Plan

__all__ = ["Lessons", "own_lessons", "rows_of", "shipped_lessons", "train_edges", "train_router"]

FIGURES = "figures.json"
FEWEST_EXPERTS = 2


@dataclass(frozen=True)
class Lessons:
    """What is to be learned.

    Attributes:
        experts: In token order.
        learn: The rows to learn from.
        unseen: Those kept out of training, for calibration and figures.
        validation: Requests by source that say when a run has learned enough.
    """

    experts: tuple[str, ...]
    learn: Rows
    unseen: Rows
    validation: Mapping[str, Sequence[Request]]


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
    return Lessons(PAPER_EXPERTS, learn, unseen, own_validation())


def own_lessons(files: Iterable[Path], experts: Sequence[str] = ()) -> Lessons:
    """Returns what a router of somebody's own experts learns.

    The project's paragraphs and its requests that no expert fits are added: they tell nothing of any expert.

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
            [*own_unroutable(), *(row for row in rows if isinstance(row, Unroutable))],
            own_paragraphs(),
        )
    )
    return Lessons(chosen, learn, unseen, {"examples": [row for row in unseen.requests if not row.previous]})


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
        TrainingError: If an expert has no row, the loss is no number, or a checkpoint cannot be written.
    """
    material = Material(base, FunctionalTokens(lessons.experts), lessons.learn, plan, lessons.validation, start)
    finished = train_router_adapter(material, work, say=say)
    fresh = finished.with_name("fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(finished, fresh)
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
    figures = {name: asdict(score) for name, score in measure_routes(router, lessons.unseen).items()}
    training = json.loads((finished / "training.json").read_text(encoding="utf-8"))
    _write(fresh / FIGURES, {"training": training, "routes": figures})
    (fresh / "training.json").unlink()
    for name, score in figures.items():
        say(f"{name}: accuracy {score['accuracy']:.1%}, macro-F1 {score['macro_f1']:.1%} on {score['rows']} rows.")
    if (out / "README.md").exists():
        shutil.copy(out / "README.md", fresh)
    out.parent.mkdir(parents=True, exist_ok=True)
    publish(fresh, out)
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

    Args:
        lessons: What to learn; of the router's experts.
        plan: How.
        router: The router folder; the adapters go into its `edges/`.
        work: Finished adapters; a run that was stopped is taken up again from here.
        experts: Those to train, `None` for all.
        say: Hears what goes on, a line at a time.

    Raises:
        UnknownExpertError: If the router does not know an expert.
        TrainingError: If there are no rows for it.
    """
    card = read_card(router)
    for expert in (*(experts or ()), *lessons.experts):
        if expert not in card.experts:
            raise UnknownExpertError(expert, list(card.experts))
    material = Material(card.base, FunctionalTokens(card.experts), lessons.learn, plan)
    chosen = list(experts or card.experts)
    # Adapters fit one router only: those of another do not count as finished.
    place = work / OctopusRouter.from_pretrained(router).engine.revision
    for expert, finished in train_edge_adapters(material, router, chosen, place, say=say):
        fresh = router / "edges" / f".{expert}.fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(finished, fresh)
        publish(fresh, router / "edges" / expert)
    if not lessons.unseen.paths:
        return
    trained = OctopusRouter.from_pretrained(router)
    if calibration := read_calibration(router):
        outcomes = tuple(path_outcomes(trained, lessons.unseen))
        _write(
            router / CALIBRATION, calibration.model_copy(update={"path": outcomes}).model_dump(mode="json"), indent=None
        )
    paths = {
        "with_edge_adapters": measure_hops(trained, lessons.unseen.paths),
        "router_alone": measure_hops(trained, lessons.unseen.paths, edges=False),
    }
    figures: dict[str, object] = {}
    if (router / FIGURES).exists():
        figures = json.loads((router / FIGURES).read_text(encoding="utf-8"))
    _write(router / FIGURES, figures | {"paths": {"rows": len(lessons.unseen.paths), **paths}})
    for name, shares in paths.items():
        say(f"{name}: " + ", ".join(f"{kind} {share:.1%}" for kind, share in shares.items()))


def _write(path: Path, value: object, indent: int | None = 2) -> None:
    path.write_text(json.dumps(value, indent=indent) + "\n", encoding="utf-8")
