"""`octopus-graph data add`: a wrong route becomes a training row."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from octopus_graph.cli import opening, options
from octopus_graph.cli.output import clip, emit, out
from octopus_graph.errors import StoreError, UnknownThreadError

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

__all__ = ["add"]


def add(
    from_thread: Annotated[str, typer.Option(metavar="THREAD", help="The thread in which it was asked.")],
    expert: Annotated[str, typer.Option("--expert", "-e", metavar="NAME", help="Who should have been asked.")],
    to: Annotated[Path, typer.Option(metavar="FILE", help="The JSONL file of your own examples.")] = Path(
        "my-requests.jsonl"
    ),
    turn: Annotated[
        int | None, typer.Option(min=1, help="Which request of the thread [default: the last]", show_default=False)
    ] = None,
    follow_up: Annotated[
        bool, typer.Option("--follow-up", help="It cannot be routed without the request before it.")
    ] = False,
    rewrite: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The request as one sends it to that expert.", show_default=False)
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Where the thread is: langgraph dev or octopus-graph serve.", show_default=False
        ),
    ] = None,
    graph: options.Graph = "default",
    redis: options.Redis = None,
    as_json: options.Json = False,
) -> None:
    """Adds a request that went astray to your own examples, with the expert it should have gone to."""
    from octopus_graph.spec import load_spec
    from octopus_graph.training.harvest import append_row, row_from

    experts = list(load_spec(graph).experts)
    messages = _kept(from_thread, graph, redis) if server is None else _served(server, from_thread)
    row = row_from(messages, expert, experts, turn=turn, follow_up=follow_up, rewrite=rewrite)
    count = append_row(row, to)
    if as_json:
        emit({**row.model_dump(exclude_defaults=True), "file": str(to), "rows": count})
        return
    out().print(f"{clip(row.request, 80)!r} -> {expert}: row {count:,} of {to}")


def _kept(thread: str, graph: str, redis: str | None) -> "Sequence[AnyMessage]":
    from octopus_graph.threads import show

    with opening.open_store(graph, redis) as saver:
        return show(saver, thread).messages


def _served(server: str, thread: str) -> "Sequence[AnyMessage]":
    """Asks a server that speaks LangGraph's protocol."""
    import httpx
    from langchain_core.messages import convert_to_messages
    from langgraph_sdk import get_sync_client
    from langgraph_sdk.errors import LangGraphError, NotFoundError, UnprocessableEntityError

    try:
        with get_sync_client(url=server) as client:
            values = cast("Any", client).threads.get_state(thread)["values"]
    except (NotFoundError, UnprocessableEntityError):  # the latter: no UUID, so no thread of its
        raise UnknownThreadError(thread) from None
    except (httpx.HTTPError, LangGraphError, httpx.InvalidURL) as error:
        reason = type(error).__name__
        raise StoreError(f"The server did not give the thread ({reason}): look whether --server is right.") from error
    found: Any = cast("dict[str, Any]", values or {}).get("messages", [])
    return cast("Sequence[AnyMessage]", convert_to_messages(found))
