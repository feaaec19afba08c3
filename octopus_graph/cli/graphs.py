"""`octopus-graph graph`: what a graph file says, drawn and checked. No model is loaded."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from octopus_graph.cli import opening, options
from octopus_graph.cli.guard import misused
from octopus_graph.cli.output import clip, emit, out, printable

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
        misused(context)


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
        table.add_column(head, style="bold" if head == "expert" else "", overflow="fold", no_wrap=head == "expert")
    for expert, said in spec.experts.items():
        after = "any" if said.neighbours == "*" else ", ".join(said.neighbours) or "nobody"
        table.add_row(expert, printable(_model(said)), after, said.fallback or "-", clip(said.description, 70))
    console.print(table)


@app.command()
def draw(
    file: _File = None,
    graph: _Graph = None,
    form: Annotated[
        Literal["mermaid", "ascii"], typer.Option("--format", help="Mermaid source, or a plain list of edges.")
    ] = "mermaid",
    as_json: options.Json = False,
) -> None:
    """Draws the nodes and edges of the graph as LangGraph runs it."""
    spec, compiled = _checked(_chosen(file, graph))
    shape: Any = compiled.get_graph()
    if as_json:
        emit(shape.to_json())
    elif form == "mermaid":
        # Without what is for clients of a stream: it would stand in every box.
        shape.nodes = {name: node._replace(metadata=None) for name, node in shape.nodes.items()}
        out().print(shape.draw_mermaid().rstrip())
    else:
        _draw_plainly(list(spec.experts), shape)


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


def _draw_plainly(experts: list[str], shape: Any) -> None:
    after: dict[str, list[str]] = {}
    for edge in shape.edges:
        after.setdefault(edge.source.strip("_"), []).append(edge.target.strip("_"))
    for node in ("start", "route", *experts, "finish"):
        targets = after[node]
        others = [name for name in experts if name != node]
        if len(others) > 1 and set(others) <= set(targets):
            rest = [name for name in targets if name not in others]
            targets = ["every other expert" if node in experts else "every expert", *rest]
        out().print(f"{node} -> {', '.join(targets)}")


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
    unsure = f", below {said.min_confidence:.0%} {spec.fallback or 'declined'}" if said.min_confidence else ""
    return f"at most {said.max_hops} hops, rewrite {said.rewrite}{unsure}{allowed}"


def _model(expert: "ExpertSpec") -> str:
    model = expert.model
    if isinstance(model, str):
        return model
    described = model.model_dump()
    return f"{described['model']} at {described['url']}" if "url" in described else described["huggingface"]
