"""Options that several commands share, so that they mean the same everywhere."""

from typing import Annotated

import typer

__all__ = ["Batch", "Experts", "Field", "Graph", "Json", "Out", "Query"]

Query = Annotated[
    str | None,
    typer.Argument(
        metavar="QUERY", help="The question; - reads it from stdin. Without one: $OCTOPUS_QUERY.", show_default=False
    ),
]
Batch = Annotated[
    str | None,
    typer.Option(
        "--batch",
        metavar="FILE.jsonl",
        help="A file of requests, one JSON object a line; - for stdin.",
        show_default=False,
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out", "-o", metavar="FILE", help="Where the rows of --batch go, instead of stdout.", show_default=False
    ),
]
Field = Annotated[
    str | None,
    typer.Option(
        "--field",
        metavar="KEY",
        help="The key of a row's request [default: request, query or question]",
        show_default=False,
    ),
]
Graph = Annotated[
    str,
    typer.Option(
        "--graph", "-g", metavar="FILE|NAME", help="A graph file, or the name of a shipped one (default, paper)."
    ),
]
Experts = Annotated[
    list[str] | None,
    typer.Option(
        "--expert", "-e", metavar="NAME", help="Only this expert; may be given several times.", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON to stdout, and nothing else.")]
