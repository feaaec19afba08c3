"""What `octopus-graph train` runs: train, calibrate, measure, and only then replace the old files by the new."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from octopus_graph import weights
from octopus_graph.errors import UnknownExpertError
from octopus_graph.router import CARD, SHIPPED, OctopusRouter, RouterCard, read_card
from octopus_graph.tokens import PAPER_EXPERTS, FunctionalTokens
from octopus_graph.training.adapters import Material, publish, train_edge_adapters, train_router_adapter
from octopus_graph.training.data import own_paragraphs, own_paths, own_requests, own_unroutable, questions
from octopus_graph.training.heldout import calibrate, measure_hops, measure_routes
from octopus_graph.training.mixture import Rows, split

__all__ = ["rows_of", "train_edges", "train_router"]

FIGURES = "figures.json"


def rows_of(data: Path | None) -> tuple[Rows, Rows]:
    """Returns the rows to learn from and those kept out: the project's own, and MMLU where there is a folder of it."""
    asked = questions(data) if data else []
    return split(Rows(own_requests(), own_paths(), asked, own_unroutable(), own_paragraphs()))


def train_router(
    data: Path,
    out: Path = SHIPPED,
    work: Path = Path("build/router"),
    *,
    base: str = weights.EMBEDDED,
    say: Callable[[str], None] = print,
) -> None:
    """Trains the router on the project's own examples and MMLU, calibrates it, and measures it on what it has not seen.

    Args:
        data: The folder with `mmlu_dev.jsonl`.
        out: The router folder to make; edge adapters of an older router are removed, as they fit only the router they
            were trained on.
        work: Checkpoints and results; a run that was stopped is taken up again from here.
        base: The base model.
        say: Hears what goes on, a line at a time.

    Raises:
        TrainingError: If the data is missing or malformed, or the loss is no number.
    """
    learn, unseen = rows_of(data)
    tokens = FunctionalTokens(PAPER_EXPERTS)
    finished = train_router_adapter(Material(base, tokens, learn), work, say=say)
    fresh = work / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(finished, fresh)
    card = RouterCard(base=base, format="chatml", experts=PAPER_EXPERTS, temperature=1.0)
    _write(fresh / CARD, card.model_dump())
    temperature = calibrate(OctopusRouter.from_pretrained(fresh), unseen)
    _write(fresh / CARD, card.model_copy(update={"temperature": round(temperature, 4)}).model_dump())
    figures = {
        name: asdict(score) for name, score in measure_routes(OctopusRouter.from_pretrained(fresh), unseen).items()
    }
    _write(fresh / FIGURES, {"routes": figures})
    for name, score in figures.items():
        say(f"{name}: accuracy {score['accuracy']:.1%}, macro-F1 {score['macro_f1']:.1%} on {score['rows']} rows.")
    if (out / "README.md").exists():
        shutil.copy(out / "README.md", fresh)
    publish(fresh, out)
    say(f"The router is in {out.name}; train its edges next.")


def train_edges(
    data: Path,
    router: Path = SHIPPED,
    work: Path = Path("build/edges"),
    *,
    experts: Sequence[str] | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Trains the edge adapter of each expert on top of a router, and measures paths with and without them.

    Args:
        data: The folder with `mmlu_dev.jsonl`.
        router: The router folder; the adapters go into its `edges/`.
        work: Finished adapters; a run that was stopped is taken up again from here.
        experts: Those to train, `None` for all.
        say: Hears what goes on, a line at a time.

    Raises:
        UnknownExpertError: If the router does not know an expert.
        TrainingError: If the data is missing or malformed.
    """
    learn, unseen = rows_of(data)
    card = read_card(router)
    for expert in experts or ():
        if expert not in card.experts:
            raise UnknownExpertError(expert, list(card.experts))
    material = Material(card.base, FunctionalTokens(card.experts), learn)
    chosen = list(experts or card.experts)
    # Adapters fit one router only: those of another do not count as finished.
    place = work / OctopusRouter.from_pretrained(router).engine.revision
    for expert, finished in train_edge_adapters(material, router, chosen, place, say=say):
        fresh = router / "edges" / f".{expert}.fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(finished, fresh)
        publish(fresh, router / "edges" / expert)
    trained = OctopusRouter.from_pretrained(router)
    paths = {
        "with_edge_adapters": measure_hops(trained, unseen.paths),
        "router_alone": measure_hops(trained, unseen.paths, edges=False),
    }
    figures: dict[str, object] = {}
    if (router / FIGURES).exists():
        figures = json.loads((router / FIGURES).read_text(encoding="utf-8"))
    _write(router / FIGURES, figures | {"paths": {"rows": len(unseen.paths), **paths}})
    for name, shares in paths.items():
        say(f"{name}: " + ", ".join(f"{kind} {share:.1%}" for kind, share in shares.items()))


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
