"""The README.md of a router folder, written by the training commands: no figure and no date in it is typed by hand."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from octopus_graph.lexicon import LEXICON
from octopus_graph.router import CALIBRATION, RouterCard, read_calibration, read_card
from octopus_graph.tokens import PAPER_EXPERTS
from octopus_graph.training.disk import write_text
from octopus_graph.training.heldout import UNSEEN_HALF

__all__ = ["FIGURES", "write_card"]

FIGURES = "figures.json"

_SHIPPED_DATA = """\
**Data.** Nine tenths of the project's own requests (many typed another way, some with a paragraph in front), of its
multi-part requests and of those no expert fits, requests joined from single ones, and MMLU questions (MIT, Hendrycks et
al. 2020; labels of the Octopus v4 subject table) with and without their choices. What no expert fits is trained towards
every expert alike. Three validation sets by another hand say when a run has learned enough."""
_OWN_DATA = """\
**Data.** Nine tenths of the examples it was given, requests joined from single ones, and the project's requests that no
expert fits, which are trained towards every expert alike. When it has learned enough say rows that are kept out of
training and count in no figure."""
_SHIPPED_LIMITS = """\
**Limits.** English only. Accounting, tax and trivia go to `general`, religions to `philosophy`, as the subject table
has it. """
_LIMITS = """\
Its confidence is calibrated on requests like those it has seen. Rewrites are those of a small model: one
that the router's own check does not trust is not sent, and what that check cannot see is not noticed."""
_ROUTES = {
    "mmlu": "MMLU, question only",
    "own_requests": "own requests, all styles",
    "first_hops": "multi-part requests, first hop",
}
_HOPS = {"first_hop": "first hop", "later_hop": "later hops", "end": "end", "path": "whole path"}
_PATHS = {"with_edge_adapters": "with edge adapters", "router_alone": "the router in their place"}


def write_card(folder: Path) -> None:
    """Writes the README.md of a router folder.

    Args:
        folder: Holds `router.json`, and whatever there is of `figures.json`, `calibration.json` and edges.

    Raises:
        AdapterError: If `router.json` or `calibration.json` is broken.
        TrainingError: If the card cannot be written.
    """
    card = read_card(folder)
    figures = _json(folder / FIGURES)
    # Figures of before they said so: the shipped router is the one of the paper's experts.
    shipped = figures.get("data", {}).get("shipped", card.experts == PAPER_EXPERTS)
    edges = sorted(path.parent for path in folder.glob("edges/*/adapter_config.json"))
    parts = [
        "# The shipped router" if shipped else f"# A router of {len(card.experts)} experts",
        _what(card, edges, shipped=shipped),
        _made(folder, edges, figures),
        *([_SHIPPED_DATA] if shipped else [_OWN_DATA]),
        _counts(figures.get("data", {})),
        _kept_out(folder),
        _routes(figures.get("routes", {})),
        _hops(figures.get("paths", {})),
        f"{_SHIPPED_LIMITS if shipped else '**Limits.** '}{_LIMITS}",
    ]
    write_text(folder / "README.md", "\n\n".join(part for part in parts if part) + "\n")


def _what(card: RouterCard, edges: Sequence[Path], *, shipped: bool) -> str:
    text = f"Functional tokens and a LoRA for {card.base}"
    if edges:
        text += f", and in `edges/` the edge adapters of {len(edges)} of its {len(card.experts)} experts"
    text += f": {', '.join(card.experts)}."
    return f"{text} Apache-2.0, like its base and the project." if shipped else text


def _made(folder: Path, edges: Sequence[Path], figures: Mapping[str, Any]) -> str:
    training = figures.get("training", {})
    text = f"**Made by** `octopus-graph train`: {_lora(folder)}, and the rows of the functional tokens"
    facts = [
        *_told(training, "start", "going on from {}"),
        *_told(training, "samples", "{:,} samples"),
        *_told(training, "tokens", "{:,} tokens"),
        *_told(training, "passes", "rows drawn anew in {} passes"),
        *_told(training, "batch", "batch {}"),
        *_told(training, "steps", "{:,} steps"),
        *_told(training, "train_runtime", "{}", _time),
        *_told(training, "merged", "then merged: {}"),
        *_told(training, "finished", "finished on {}"),
    ]
    text += f"; {', '.join(facts)}." if facts else "."
    if edges:
        runs = list(figures.get("edges", {}).values())
        facts = [_lora(edges[0])]
        if len(runs) == len(edges):  # a sum over some of them would pass for the whole
            facts.append(f"{sum(run['samples'] for run in runs):,} samples in all")
            facts.append(_time(sum(run["train_runtime"] for run in runs)))
            facts.append(f"finished on {max(run['finished'] for run in runs)}")
        text += f" Each edge: {', '.join(facts)}."
    return f"{text} One softmax over the experts where a token is chosen, language-model loss on the rewrites."


def _told(figures: Mapping[str, Any], name: str, text: str, shown: Callable[[Any], object] | None = None) -> list[str]:
    return [text.format(shown(figures[name]) if shown else figures[name])] if name in figures else []


def _time(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"


def _lora(folder: Path) -> str:
    config = _json(folder / "adapter_config.json")
    modules = ", ".join(f"`{name}`" for name in sorted(config.get("target_modules") or ()))
    layers = config.get("layers_to_transform") or ()
    where = f" of layers {min(layers)} to {max(layers)}" if layers else ""
    return f"LoRA of rank {config.get('r', '?')} on {modules}{where}"


def _counts(data: Mapping[str, Any]) -> str:
    names = {
        "requests": "requests",
        "paths": "multi-part requests",
        "questions": "questions",
        "unroutable": "requests no expert fits",
        "paragraphs": "paragraphs to paste",
    }
    told = [f"{data[key]:,} {name}" for key, name in names.items() if data.get(key)]
    return f"Rows it was drawn from: {', '.join(told)}." if told else ""


def _kept_out(folder: Path) -> str:
    text = (
        "The other tenth, by a hash of its text, was kept out: one half of it to fit the temperature in `router.json`"
        f" and how much `{LEXICON}` counts"
    )
    calibration = read_calibration(folder)
    if calibration is None:
        return f"{text}."
    text += f", and on the other the router decided what `{CALIBRATION}` holds: {len(calibration.hop):,} first hops"
    return f"{text} and {len(calibration.path):,} whole paths." if calibration.path else f"{text}."


def _routes(routes: Mapping[str, Mapping[str, Any]]) -> str:
    if not routes:
        return ""
    lines = [
        f"**Figures** (`{FIGURES}`), of the tenth kept out:\n",
        "| | rows | accuracy | macro-F1 | calibration error |",
        "|---|---|---|---|---|",
    ]
    for name, score in routes.items():
        kind = name.removesuffix(UNSEEN_HALF)
        label = _ROUTES.get(kind, kind) + (", the half no temperature was fitted on" if kind != name else "")
        shares = f"{score['accuracy']:.1%} | {score['macro_f1']:.1%} | {score['calibration_error']:.3f}"
        lines.append(f"| {label} | {score['rows']:,} | {shares} |")
    return "\n".join(lines)


def _hops(paths: Mapping[str, Any]) -> str:
    if not paths:
        return ""
    lines = [
        f"| {paths['rows']:,} multi-part requests, each decision after the right ones | {' | '.join(_HOPS.values())} |",
        "|---" * (len(_HOPS) + 1) + "|",
    ]
    for name, label in _PATHS.items():
        shares = paths[name]
        lines.append(f"| {label} | {' | '.join(f'{shares[kind]:.1%}' if kind in shares else '-' for kind in _HOPS)} |")
    return "\n".join(lines)


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
