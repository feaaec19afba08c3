"""Training rows from threads: a request as it was asked, and the expert it should have gone to."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from octopus_graph.codec import clean
from octopus_graph.errors import InputError, TrainingError, UnknownExpertError
from octopus_graph.training.data import Multipart, Request, examples

__all__ = ["append_row", "row_from"]


def row_from(
    messages: Sequence[AnyMessage],
    expert: str,
    experts: Iterable[str],
    *,
    turn: int | None = None,
    follow_up: bool = False,
    rewrite: str | None = None,
) -> Request:
    """Makes a row of a turn.

    Args:
        messages: The thread's.
        expert: Who should have been asked.
        experts: All there are.
        turn: Which request it is, counted from 1; the last by default.
        follow_up: Whether the request cannot be routed without the turn before it.
        rewrite: The request as one sends it to that expert.

    Raises:
        UnknownExpertError: If there is no such expert.
        InputError: If the thread has no such turn, or the one before went to nobody.
    """
    known = list(experts)
    if expert not in known:
        raise UnknownExpertError(expert, known, where="--expert")
    places = [at for at, message in enumerate(messages) if isinstance(message, HumanMessage)]
    if not places:
        raise InputError("The thread holds no request: name one in which somebody asked something.")
    number = len(places) if turn is None else turn
    if not 1 <= number <= len(places):
        raise InputError(f"The thread has {len(places)} requests and no {number}th: count from 1.")
    request = clean(str(messages[places[number - 1]].text))
    previous: list[dict[str, str]] = []
    if follow_up:
        if number == 1:
            raise InputError("The first request of a thread follows no other: leave out --follow-up.")
        before, here = places[number - 2], places[number - 1]
        asked = clean(str(messages[before].text))
        previous = [{"request": asked, "expert": _first_asked(messages[before:here], known)}]
    digest = hashlib.sha256(_folded(request).encode()).hexdigest()[:8]
    return Request.model_validate(
        {"id": f"thread-{digest}", "request": request, "expert": expert, "previous": previous, "rewrite": rewrite}
    )


def append_row(row: Request, path: Path) -> int:
    """Writes a row at the end of a JSONL file, which is made where there is none.

    Returns:
        How many rows the file has now.

    Raises:
        TrainingError: If the file is broken, cannot be written, or holds the request already.
    """
    rows = examples([path]) if path.exists() else []
    wanted = (_folded(row.request), [_folded(turn.request) for turn in row.previous])
    for number, held in enumerate(rows, start=1):
        turns = [_folded(turn.request) for turn in held.previous] if isinstance(held, Request) else []
        if (_folded(held.request), turns) == wanted:
            experts = held.expert if isinstance(held, Request) else _path(held)
            raise TrainingError(
                f"Row {number} of {path.name} is this request already, for {experts}: change that row instead."
            )
    written: dict[str, Any] = row.model_dump(exclude_defaults=True)
    line = json.dumps(written, ensure_ascii=False) + "\n"
    try:
        whole = not path.exists() or path.read_bytes()[-1:] in (b"", b"\n")
        with path.open("a", encoding="utf-8") as file:
            file.write(line if whole else f"\n{line}")
    except OSError as error:
        raise TrainingError(f"{path.name} cannot be written ({error.strerror}): name another file.") from error
    return len(rows) + 1


def _path(row: Any) -> str:
    return " and ".join(row.experts) if isinstance(row, Multipart) else "nobody"


def _first_asked(messages: Sequence[AnyMessage], known: Sequence[str]) -> str:
    for message in messages:
        for call in message.tool_calls if isinstance(message, AIMessage) else ():
            if call["name"] in known:
                return call["name"]
    raise InputError("The turn before went to no expert of this graph: leave out --follow-up.")


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
