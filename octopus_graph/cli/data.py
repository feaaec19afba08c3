"""`octopus-graph data`: what the examples are, and whether they are fit to train on."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from octopus_graph.cli import options
from octopus_graph.cli.guard import misused
from octopus_graph.cli.harvest import add
from octopus_graph.cli.output import clip, emit, out, percent, printable
from octopus_graph.cli.train import BENCHMARK, SHARED_DATA
from octopus_graph.errors import MissingExtraError

if TYPE_CHECKING:
    from octopus_graph.training.check import Findings
    from octopus_graph.training.data import Example

__all__ = ["app"]

SHOWN = 10  # pairs of each kind; --json has them all

app = typer.Typer(help="Counts and checks the examples routers are trained on, and adds to them.")
app.command("add")(add)

_Files = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FILE]...", help="JSONL of requests [default: the project's own]", show_default=False),
]


@app.callback(invoke_without_command=True)
def data(context: typer.Context) -> None:
    """Counts and checks the examples routers are trained on."""
    if context.invoked_subcommand is None:
        misused(context)


@app.command()
def stats(files: _Files = None, as_json: options.Json = False) -> None:
    """Counts requests by expert and by style, and those for several experts or none."""
    from octopus_graph.training.data import Multipart, Request, Unroutable

    found = _rows(files)
    rows = [row for row in found if isinstance(row, Request)]
    lengths = Counter(str(len(row.hops)) for row in found if isinstance(row, Multipart))
    paths, none = dict(sorted(lengths.items())), sum(isinstance(row, Unroutable) for row in found)
    experts, styles = (
        dict(sorted(Counter(names).items()))
        for names in ([row.expert for row in rows], [row.style or "-" for row in rows])
    )
    rewritten = sum(bool(row.rewrite) for row in rows)
    if as_json:
        emit(
            {
                "rows": len(rows),
                "experts": experts,
                "styles": styles,
                "rewritten": rewritten,
                "paths": paths,
                "none": none,
            }
        )
        return
    out().print(f"{len(rows):,} requests, {rewritten:,} with a rewrite")
    if paths or none:
        counted = ", ".join(f"{count:,} of {length}" for length, count in paths.items()) or "none"
        out().print(f"paths by their hops: {counted}; {none:,} requests no expert fits")
    for kind, counts in (("experts", experts), ("styles", styles)):
        out().print(f"{kind}: " + ", ".join(f"{name} {count}" for name, count in counts.items()))


@app.command()
def check(
    files: _Files = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="An evaluation set no request may stand in; may be repeated."),
    ] = None,
    benchmark: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="FOLDER",
            help=f"Holds {BENCHMARK}: the questions of it that training holds out are an evaluation set [default:"
            f" {SHARED_DATA}, if it is there]",
            show_default=False,
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Looks for near-duplicates, label conflicts, templates and overlap with evaluation sets.

    The project's own requests are compared with its validation and test sets too. Exit code 1 where something stands
    against training: a conflict, an overlap, or more than 15% of an expert's requests with one opening or closing.
    """
    if benchmark and not (benchmark / BENCHMARK).is_file():
        raise typer.BadParameter(f"{printable(str(benchmark))!r} holds no {BENCHMARK}", param_hint="--data")
    rows = _rows(files)
    try:
        from octopus_graph.evaluation.cases import fresh_paragraphs, own_sets
        from octopus_graph.training import check as checking
        from octopus_graph.training.data import held_out, questions
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "octopus_graph":
            raise
        raise MissingExtraError("train", "Checking data") from error

    evaluation = [text for path in against or () for text in checking.evaluation_texts(path)]
    if not files:
        evaluation += [text for path in own_sets() for text in checking.evaluation_texts(path)] + fresh_paragraphs()
        rows = [*rows, *_pasted()]
        benchmark = benchmark or (SHARED_DATA if (SHARED_DATA / BENCHMARK).is_file() else None)
    if benchmark:
        evaluation += [row.question for row in questions(benchmark) if held_out(row.question)]
    findings = checking.check(rows, evaluation)
    if as_json:
        emit({"clean": findings.clean, **asdict(findings)})
    else:
        _show(findings, checking.TEMPLATE_LIMIT)
    if not findings.clean:
        raise typer.Exit(1)


def _rows(files: list[Path] | None) -> "list[Example]":
    from octopus_graph.training.data import examples, own_examples

    return examples(files) if files else own_examples()


def _pasted() -> "list[Example]":
    """Returns the paragraphs that training pastes in front of requests; the sets may not hold them either."""
    from octopus_graph.training.data import Unroutable, own_paragraphs

    return [Unroutable(id=f"paragraph {at}", request=text) for at, text in enumerate(own_paragraphs(), start=1)]


def _show(findings: "Findings", limit: float) -> None:
    console = out()
    console.print(f"{findings.rows:,} rows")
    pairs = {
        "near-duplicates": findings.near_duplicates,
        "label conflicts": findings.conflicts,
        "overlap with evaluation sets": findings.overlap,
    }
    for name, found in pairs.items():
        console.print(f"{name}: {len(found)}")
        for one, other in found[:SHOWN]:
            console.print(f"  {clip(one)}  {clip(other, 100)}")
    for place, shares in (("opening", findings.templates), ("closing", findings.closings)):
        if shares:
            expert, (words, share) = max(shares.items(), key=lambda item: item[1][1])
            console.print(f"commonest {place}: {clip(words)!r}, {percent(share)} of {expert} (limit {percent(limit)})")
