"""Options that several commands share, so that they mean the same everywhere."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

__all__ = ["Batch", "Experts", "Field", "Graph", "Json", "Out", "Query", "Redis", "Since", "moment"]

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
Redis = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where threads are kept [default: what the graph file or OCTOPUS_REDIS_URL names, else embedded]",
        show_default=False,
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Only what came since: 90m, 24h, 7d, or a time such as 2026-11-24 or 2026-11-24T08:00.",
        show_default=False,
    ),
]

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(since: str | None) -> datetime | None:
    """Reads a `Since`.

    Example:
        >>> moment("2026-11-24T08:00+00:00").isoformat()
        '2026-11-24T08:00:00+00:00'

    Raises:
        typer.BadParameter: If it is neither an age nor a time.
    """
    if since is None:
        return None
    try:
        if age := re.fullmatch(r"(\d{1,6})([mhdw])", since.strip()):
            return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
        return datetime.fromisoformat(since.strip()).astimezone()
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            "write an age such as 24h or a time such as 2026-11-24", param_hint="--since"
        ) from None
