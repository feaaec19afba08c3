"""`octopus-graph threads`: conversations that were kept, looked at, forked and deleted. No model is loaded."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from octopus_graph.cli import opening, options
from octopus_graph.cli.conversation import asked
from octopus_graph.cli.guard import misused
from octopus_graph.cli.output import clip, emit, err, out, percent, printable, size

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

    from octopus_graph.threads import Saver, Size, Step, Thread

__all__ = ["app"]

app = typer.Typer(help="Shows, forks and deletes the conversations that ask --thread keeps; loads no model.")

_Thread = Annotated[str, typer.Argument(metavar="THREAD", help="The thread's id.")]
_Checkpoint = Annotated[
    str | None,
    typer.Option(metavar="ID", help="The thread as it stood at this checkpoint [default: newest]", show_default=False),
]


@app.callback(invoke_without_command=True)
def threads(context: typer.Context) -> None:
    """Shows, forks and deletes the conversations that ask --thread keeps; loads no model."""
    if context.invoked_subcommand is None:
        misused(context)


@app.command("list")
def list_(
    pattern: Annotated[str, typer.Argument(help="What ids look like, as shells have it: 'ada-*'.")] = "*",
    status: Annotated[
        Literal["done", "waiting", "unfinished", "broken"] | None,
        typer.Option(help="Only those that stand so; waiting is for a human.", show_default=False),
    ] = None,
    since: options.Since = None,
    limit: Annotated[int, typer.Option(min=1, help="The most of them, the newest first.")] = 20,
    graph: options.Graph = "default",
    redis: options.Redis = None,
    as_json: options.Json = False,
) -> None:
    """Lists threads, the one that was written to last first."""
    from octopus_graph.threads import list_threads, size_of

    after = options.moment(since)
    with opening.open_store(graph, redis) as saver:
        found = list_threads(saver, pattern, status=status, since=after, limit=limit + 1)
        more, found = len(found) > limit, found[:limit]
        sizes = [None if thread.status == "broken" else size_of(saver, thread.id) for thread in found]
    if as_json:
        emit([_described(thread, taken) for thread, taken in zip(found, sizes, strict=True)])
        return
    table = _table("thread", "updated", "status", "turns", "checkpoints", "size", "last request")
    for thread, taken in zip(found, sizes, strict=True):
        counts = (str(taken.checkpoints), size(taken.bytes)) if taken else ("-", "-")
        table.add_row(
            printable(thread.id),
            _when(thread.updated),
            thread.status,
            str(thread.turns),
            *counts,
            clip(_last(thread) or thread.trouble, 60),
        )
    out().print(table)
    if more:
        err().print(f"There are more than these {limit}: raise --limit, or give a pattern.")


@app.command()
def show(
    thread: _Thread,
    checkpoint: _Checkpoint = None,
    graph: options.Graph = "default",
    redis: options.Redis = None,
    as_json: options.Json = False,
) -> None:
    """Shows the messages of a thread and the hops of its last turn."""
    from octopus_graph import threads

    with opening.open_store(graph, redis) as saver:
        found = threads.show(saver, thread, checkpoint)
        taken = threads.size_of(saver, thread)
    if as_json:
        emit(_described(found, taken) | {"messages": _messages(found.messages), "hops": found.values.get("hops", [])})
        return
    console = out()
    console.print(
        f"{printable(found.id)}: {found.status}, {_when(found.updated)}, checkpoint {found.checkpoint}", style="bold"
    )
    for message in found.messages:
        calls = [f"{call['name']}({call['args'].get('query', '')})" for call in getattr(message, "tool_calls", [])]
        said = printable(str(message.text)) or "→ " + printable(", ".join(calls))
        console.print(f"{message.name or message.type}: ", style="cyan", end="")
        console.print(said)
    for hop in found.values.get("hops", []):
        console.print(
            f"hop: {hop['expert']} {hop['token']}  {percent(hop['confidence'])}  {hop['expert_ms']:.0f} ms", style="dim"
        )
    if found.question is not None:
        console.print(f"? {printable(asked(found.question))}", style="bold yellow")
    elif found.next:
        console.print(f"next: {', '.join(found.next)}", style="yellow")


@app.command()
def history(
    thread: _Thread,
    limit: Annotated[int | None, typer.Option(min=1, help="The most of them.", show_default=False)] = None,
    graph: options.Graph = "default",
    redis: options.Redis = None,
    as_json: options.Json = False,
) -> None:
    """Lists the checkpoints of a thread, the newest first: what ran, what was decided, what came next."""
    from octopus_graph.threads import steps

    with opening.open_store(graph, redis) as saver:
        found = steps(saver, thread, limit=limit)
    if as_json:
        emit([_step(step) for step in found])
        return
    table = _table("checkpoint", "at", "step", "ran", "decided", "next")
    for step in found:
        after = "asks its human" if step.question is not None else ", ".join(step.next) or "end"
        number = "-" if step.step is None else str(step.step)
        ran = ", ".join(step.ran) or step.source
        table.add_row(step.checkpoint, _when(step.at), number, ran, _decided(step), after)
    out().print(table)


@app.command()
def fork(
    thread: _Thread,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The id of the new thread.")],
    checkpoint: _Checkpoint = None,
    message: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Ask this in place of the last request.", show_default=False)
    ] = None,
    replaced: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=JSON", help="A value of the state in place of its own.", show_default=False),
    ] = None,
    graph: options.Graph = "default",
    redis: options.Redis = None,
    as_json: options.Json = False,
) -> None:
    """Makes a new thread of an old one, as it stood at a checkpoint; ask --thread NEW goes on with it."""
    from octopus_graph import threads
    from octopus_graph.codec import clean

    if message is not None and replaced:
        raise typer.BadParameter("goes without --set", param_hint="--message")
    values = _values(replaced or [])
    with opening.open_store(graph, redis) as saver:
        if message is None:
            threads.fork(saver, thread, new, checkpoint=checkpoint, values=values)
        else:
            _fork_before(saver, graph, (thread, checkpoint, new), clean(message))
        made = threads.show(saver, new)
    if as_json:
        emit(_described(made, None))
    else:
        goes_on = "" if made.status == "done" else f": octopus-graph ask --thread {printable(new)} goes on with it"
        out().print(f"{printable(new)} is {made.status}{goes_on}.")


@app.command()
def delete(
    thread: Annotated[list[str], typer.Argument(metavar="THREAD...", help="The threads' ids.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    graph: options.Graph = "default",
    redis: options.Redis = None,
    as_json: options.Json = False,
) -> None:
    """Deletes threads for good."""
    from octopus_graph import threads

    with opening.open_store(graph, redis) as saver:
        for one in thread:
            threads.snapshot(saver, one)
        if not yes:
            names = ", ".join(printable(one) for one in thread)
            typer.confirm(f"Delete {names}? There is no way back.", abort=True, err=True)
        for one in dict.fromkeys(thread):
            threads.delete(saver, one)
    if as_json:
        emit({"deleted": list(dict.fromkeys(thread))})
    else:
        out().print(f"Deleted {len(set(thread))}.")


def _fork_before(saver: "Saver", graph: str, names: tuple[str, str | None, str], message: str) -> None:
    """Forks a thread where its last request had not been asked yet, and puts another in its place."""
    from octopus_graph import threads
    from octopus_graph.errors import InputError
    from octopus_graph.spec import load_spec

    source, checkpoint, new = names
    before = threads.before_request(saver, source, checkpoint)
    if before is not None:
        threads.fork(saver, source, new, checkpoint=before)
    elif threads.exists(saver, new):
        raise InputError(f"There is a thread {new!r} already: fork into a new one.")
    builder: Any = opening.shape(load_spec(graph)).graph
    compiled = builder.compile(checkpointer=saver)
    config = {"configurable": {"thread_id": new}}
    compiled.update_state(config, {"messages": [("user", message)]}, as_node="__input__")


def _values(given: Sequence[str]) -> dict[str, Any]:
    """Reads `--set KEY=JSON`."""
    from langchain_core.messages import convert_to_messages

    values: dict[str, Any] = {}
    for text in given:
        key, _, value = text.partition("=")
        try:
            values[key] = convert_to_messages(json.loads(value)) if key == "messages" else json.loads(value)
        except (ValueError, NotImplementedError, TypeError):
            raise typer.BadParameter(f"write KEY=JSON, not {clip(text, 60)!r}", param_hint="--set") from None
    return values


def _table(*heads: str) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in heads:
        table.add_column(head, overflow="fold", no_wrap=head in {"checkpoint", "updated", "at"})
    return table


def _described(thread: "Thread", taken: "Size | None") -> dict[str, Any]:
    described: dict[str, Any] = {
        "thread": thread.id,
        "status": thread.status,
        "updated": thread.updated.isoformat() if thread.updated else None,
        "checkpoint": thread.checkpoint or None,
        "turns": thread.turns,
        "last_request": _last(thread) or None,
        "next": list(thread.next),
        "question": thread.question,
    }
    if taken is not None:
        described |= {"checkpoints": taken.checkpoints, "bytes": taken.bytes}
    return described | ({"trouble": thread.trouble} if thread.trouble else {})


def _messages(messages: "Sequence[AnyMessage]") -> list[dict[str, Any]]:
    return [
        {"type": message.type, "name": message.name, "text": str(message.text)}
        | ({"calls": calls} if (calls := getattr(message, "tool_calls", [])) else {})
        for message in messages
    ]


def _step(step: "Step") -> dict[str, Any]:
    return {
        "checkpoint": step.checkpoint,
        "parent": step.parent,
        "at": step.at.isoformat(),
        "step": step.step,
        "source": step.source,
        "ran": list(step.ran),
        "decision": step.decision,
        "next": list(step.next),
        "question": step.question,
    }


def _decided(step: "Step") -> str:
    if step.decision is None:
        return ""
    chosen = [step.decision["expert"] or "end", *step.decision["also"]]
    return f"{' + '.join(chosen)} {percent(step.decision['confidence'])}"


def _last(thread: "Thread") -> str:
    return next((str(message.text) for message in reversed(thread.messages) if message.type == "human"), "")


def _when(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else "-"
