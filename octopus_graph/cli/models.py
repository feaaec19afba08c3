"""`octopus-graph models`: the model files of this machine."""

from typing import Annotated, Any

import typer

from octopus_graph.cli import options
from octopus_graph.cli.guard import misused
from octopus_graph.cli.output import emit, out, printable, size

__all__ = ["app"]

app = typer.Typer(help="Lists and fetches model files.")


@app.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    """Lists and fetches model files."""
    if context.invoked_subcommand is None:
        misused(context)


@app.command("list")
def list_command(as_json: options.Json = False) -> None:
    """Lists the embedded model and the language models in the hub's cache."""
    from octopus_graph.weights import list_models

    found = list_models()
    if as_json:
        emit([vars(model) | {"path": str(model.path)} for model in found])
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("model", "state", "size", "licence", "source"):
        table.add_column(head, style="bold" if head == "model" else "")
    for model in found:
        shown = size(model.size) if model.size else "-"
        table.add_row(model.name, model.state, shown, printable(model.licence), model.source)
    out().print(table)


@app.command()
def pull(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="A hub id such as org/name, or a folder [default: the embedded model]",
            show_default=False,
        ),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="REV", help="A branch, tag or commit of a hub id.", show_default=False)
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Fetches a model, reads every byte against its checksums, and makes a damaged embedded copy again."""
    from octopus_graph import weights

    name = name or weights.EMBEDDED
    folder = weights.pull(name, revision=revision)
    found: dict[str, Any] = {"name": name, "path": str(folder), "state": "ready"}
    if as_json:
        emit(found)
    else:
        out().print(f"{printable(name)} is ready in {folder}")
