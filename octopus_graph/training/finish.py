"""How every training run ends: the finished folder's router is calibrated, and measured on what it has not seen."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from octopus_graph.lexicon import LEXICON
from octopus_graph.risk import Calibration
from octopus_graph.router import CALIBRATION, CARD, OctopusRouter, read_calibration, read_card
from octopus_graph.training.card import FIGURES
from octopus_graph.training.disk import write_text
from octopus_graph.training.heldout import (
    calibrate_lexicon,
    hop_outcomes,
    measure_hops,
    measure_routes,
    path_outcomes,
    right_shares,
    scored_rows,
    walk_paths,
)
from octopus_graph.training.lexicon import learn_lexicon, write_lexicon
from octopus_graph.training.mixture import Rows

__all__ = ["finish_edges", "finish_router", "read_figures", "write_json"]

SEED = 17


def finish_router(folder: Path, learn: Rows, unseen: Rows, *, say: Callable[[str], None]) -> None:
    """Learns the lexicon, fits it and the temperature, and keeps what first hops are worth with both.

    Args:
        folder: Holds the router; `router.json`, the lexicon, `calibration.json` (without whole paths) and the figures
            of first hops are written.
        learn: Rows of its training.
        unseen: Rows kept out of it.
        say: Hears the figures.
    """
    router = OctopusRouter.from_pretrained(folder)
    scored = scored_rows(router, unseen)
    (folder / LEXICON).unlink(missing_ok=True)
    router.temperature, router.lexicon = 1.0, None
    if fitted := calibrate_lexicon(router, scored, learn_lexicon(learn, router.experts, seed=SEED)):
        router.temperature, router.lexicon = round(fitted[0], 4), fitted[1]
        write_lexicon(folder, router.lexicon)
    else:
        say("Too few rows are kept out of training to calibrate on: confidence is as it comes.")
    card = read_card(folder).model_copy(update={"temperature": router.temperature})
    write_json(folder / CARD, card.model_dump())
    (folder / CALIBRATION).unlink(missing_ok=True)
    if outcomes := hop_outcomes(router, scored):
        calibration = Calibration(hop=tuple(outcomes), truth=tuple(right_shares(router, scored)))
        write_json(folder / CALIBRATION, calibration.model_dump(mode="json"), indent=None)
        say(f"max_error has {len(outcomes)} rows to go by: it can be kept from {1 / (len(outcomes) + 1):.1%} upwards.")
    routes = {name: asdict(score) for name, score in measure_routes(router, scored).items()}
    older = {name: value for name, value in read_figures(folder).items() if name != "paths"}
    write_json(folder / FIGURES, {**older, "routes": routes})
    for name, score in routes.items():
        say(
            f"{name}: accuracy {score['accuracy']:.1%}, macro-F1 {score['macro_f1']:.1%}, calibration error"
            f" {score['calibration_error']:.3f} on {score['rows']} rows."
        )


def finish_edges(folder: Path, unseen: Rows, *, say: Callable[[str], None]) -> None:
    """Keeps what whole paths are worth, with the edge adapters and with the router in their place.

    Args:
        folder: Holds the router, finished, and its edges; whole paths of `calibration.json` and figures are written.
        unseen: Rows kept out of their training.
        say: Hears the figures.
    """
    router = OctopusRouter.from_pretrained(folder)
    walked = walk_paths(router, unseen.paths)
    outcomes = tuple(path_outcomes(router, unseen, walked))
    if outcomes and (calibration := read_calibration(folder)):
        whole = calibration.model_copy(update={"path": outcomes})
        write_json(folder / CALIBRATION, whole.model_dump(mode="json"), indent=None)
    if not walked:
        return
    alone = walk_paths(router, unseen.paths, edges=False)
    shares = {"with_edge_adapters": measure_hops(walked), "router_alone": measure_hops(alone)}
    write_json(folder / FIGURES, {**read_figures(folder), "paths": {"rows": len(walked), **shares}})
    for name, kinds in shares.items():
        say(f"{name}: " + ", ".join(f"{kind} {share:.1%}" for kind, share in kinds.items()))


def read_figures(folder: Path) -> dict[str, Any]:
    """Reads a router folder's `figures.json`; empty where there is none."""
    file = folder / FIGURES
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def write_json(path: Path, value: object, indent: int | None = 2) -> None:
    """Writes a file that is never half there.

    Raises:
        TrainingError: If it cannot be written; what was there stays.
    """
    write_text(path, json.dumps(value, indent=indent) + "\n")
