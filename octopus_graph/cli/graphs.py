"""`octopus-graph graph`: what a graph file says, drawn and checked. No model is loaded."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from octopus_graph.cli import opening, options
from octopus_graph.cli.guard import MISUSED
from octopus_graph.cli.output import emit, out, printable

if TYPE_CHECKING:
    from octopus_graph.spec import ExpertSpec, GraphSpec

__all__ = ["app"]

app = typer.Typer(help="Shows, draws and checks graph files; loads no model.")

_File = Annotated[
    str | None,
    typer.Argument(metavar="FILE|NAME", help="The same as --graph.", show_default=False),
]
_Graph = Annotated[
    str | None,
    typer.Option(
        "--graph",
        "-g",
        metavar="FILE|NAME",
        help="A graph file, or default, or paper [default: default]",
        show_default=False,
    ),
]


@app.callback(invoke_without_command=True)
def graph(context: typer.Context) -> None:
    """Shows, draws and checks graph files; loads no model."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(MISUSED)


@app.command()
def show(file: _File = None, graph: _Graph = None, as_json: options.Json = False) -> None:
    """Lists the experts of a graph, what they are made of and who may be asked after them."""
    name = _chosen(file, graph)
    spec, _ = _checked(name)
    if as_json:
        emit(spec.model_dump(mode="json"))
        return
    from rich.table import Table

    console = out()
    console.print(f"{printable(name)}: router {printable(spec.router.model)}, {_defaults(spec)}")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("expert", "model", "then", "if it fails", "takes"):
        table.add_column(head, style="bold" if head == "expert" else "", overflow="fold")
    for expert, said in spec.experts.items():
        after = "any" if said.neighbours == "*" else ", ".join(said.neighbours) or "nobody"
        table.add_row(expert, printable(_model(said)), after, said.fallback or "-", printable(said.description))
    console.print(table)


@app.command()
def draw(
    file: _File = None,
    graph: _Graph = None,
    form: Annotated[
        Literal["mermaid", "text"], typer.Option("--format", help="Mermaid source, or plain text.")
    ] = "mermaid",
    as_json: options.Json = False,
) -> None:
    """Draws the nodes and edges of the graph as LangGraph runs it."""
    _, compiled = _checked(_chosen(file, graph))
    shape: Any = compiled.get_graph()
    if as_json:
        emit(shape.to_json())
    elif form == "mermaid":
        out().print(shape.draw_mermaid().rstrip())
    else:
        after: dict[str, list[str]] = {}
        for edge in shape.edges:
            after.setdefault(edge.source, []).append(edge.target)
        for node, targets in after.items():
            out().print(f"{node.strip('_')} → {', '.join(target.strip('_') for target in targets)}")


@app.command()
def validate(file: _File = None, graph: _Graph = None, as_json: options.Json = False) -> None:
    """Checks a graph file: its fields, every name in it, and that the router knows its experts."""
    name = _chosen(file, graph)
    spec, _ = _checked(name)
    if as_json:
        emit({"graph": name, "valid": True, "experts": list(spec.experts)})
    else:
        out().print(f"{printable(name)} is valid: {len(spec.experts)} experts.")


@app.command()
def schema() -> None:
    """Writes the JSON Schema of graph files, for editors."""
    from octopus_graph.spec import json_schema

    emit(json_schema())


def _chosen(file: str | None, graph: str | None) -> str:
    if file is not None and graph is not None:
        raise typer.BadParameter("name the graph once", param_hint="--graph")
    return file or graph or "default"


def _checked(name: str) -> "tuple[GraphSpec, Any]":
    from octopus_graph.spec import load_spec

    spec = load_spec(name)
    return spec, opening.outline(spec)


def _defaults(spec: "GraphSpec") -> str:
    said = spec.defaults
    allowed = f", only {', '.join(said.experts)}" if said.experts is not None else ""
    unsure = f"below {said.min_confidence:.0%} {f'to {spec.fallback}' if spec.fallback else 'declined'}"
    return f"at most {said.max_hops} hops, {unsure}, rewrite {said.rewrite}{allowed}"


def _model(expert: "ExpertSpec") -> str:
    model = expert.model
    if isinstance(model, str):
        return model
    described = model.model_dump()
    return f"{described['model']} at {described['url']}" if "url" in described else described["huggingface"]
