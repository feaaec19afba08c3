"""The report: every figure as JSON, and one page of HTML that holds its plots itself."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
# matplotlib ships partial types.

import io
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from octopus_graph.evaluation.tables import tables

__all__ = ["write_report"]


def write_report(figures: Mapping[str, Any], folder: Path) -> Path:
    """Writes `evaluation.json` and `evaluation.html`.

    Args:
        figures: What was measured, by task; plain JSON values.
        folder: Where they go; made where it is missing.

    Returns:
        The page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "evaluation.html"
    environment = Environment(
        loader=PackageLoader("octopus_graph", "data"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    text = environment.get_template("evaluation.html.j2").render(
        figures=figures, tables=tables(figures), plots=_plots(figures)
    )
    for file, content in (
        (folder / "evaluation.json", json.dumps(figures, indent=2, ensure_ascii=False) + "\n"),
        (page, text),
    ):
        fresh = file.with_name(f".{file.name}.fresh")
        fresh.write_text(content, encoding="utf-8")
        fresh.replace(file)
    return page


def _plots(figures: Mapping[str, Any]) -> dict[str, Markup]:
    contenders: Mapping[str, Any] = figures.get("routing", {}).get("contenders", {})
    return _drawn(json.dumps([contenders, figures["experts"]])) if contenders else {}


@lru_cache(maxsize=1)  # the page is written after each task, and takes seconds to draw
def _drawn(routing: str) -> dict[str, Markup]:
    contenders, experts = json.loads(routing)
    plots = {"reliability": _reliability(contenders), "risk_coverage": _risk_coverage(contenders)}
    first = next(iter(contenders.values()))
    for source, rates in first["sources"].items():
        plots[f"confusion: {source}"] = _confusion(rates["confusion"], experts)
    return plots


def _reliability(contenders: Mapping[str, Any]) -> Markup:
    figure = Figure(figsize=(5, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="confidence", ylabel="share right", xlim=(0, 1), ylim=(0, 1))
    axes.plot([0, 1], [0, 1], color="#999", linewidth=1, linestyle="--")
    for name, standing in contenders.items():
        bins: Sequence[Sequence[float]] = standing["reliability"]
        axes.plot([each[0] for each in bins], [each[1] for each in bins], marker="o", markersize=4, label=name)
    axes.legend()
    return _svg(figure)


def _risk_coverage(contenders: Mapping[str, Any]) -> Markup:
    figure = Figure(figsize=(5, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="share of requests answered", ylabel="share wrong among them", xlim=(0, 1))
    for name, standing in contenders.items():
        points: Sequence[Sequence[float]] = standing["risk_coverage"]
        axes.plot([each[1] for each in points], [each[2] for each in points], label=name)
    axes.legend()
    return _svg(figure)


def _confusion(counts: Sequence[Sequence[int]], experts: Sequence[str]) -> Markup:
    figure = Figure(figsize=(7.5, 7), layout="constrained")
    axes = figure.add_subplot(xlabel="decided", ylabel="right")
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(experts)), experts, rotation=90)
    axes.set_yticks(range(len(experts)), experts)
    for y, row in enumerate(counts):
        for x, count in enumerate(row):
            if count:
                axes.text(
                    x, y, str(count), ha="center", va="center", fontsize=7, color="w" if shares[y][x] > 0.5 else "k"
                )
    return _svg(figure)


def _svg(figure: Figure) -> Markup:
    with mpl.rc_context({"svg.hashsalt": "octopus", "svg.fonttype": "none"}):
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    return Markup(text[text.index("<svg") :])  # noqa: S704 - drawn here, and matplotlib escapes labels
