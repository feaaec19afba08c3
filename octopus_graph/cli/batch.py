"""Files of requests: JSON Lines in, JSON Lines out, a few rows in memory at a time.

A row keeps its keys and gains those of the command. A value of its own under such a key moves to `given`, so a labelled
file keeps its labels. A row that cannot be used gains `error`; the others are still done, and the command ends with
exit code 1.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import typer

from octopus_graph.cli.guard import FAILED
from octopus_graph.cli.output import clip, dump, emit, err
from octopus_graph.cli.sink import open_sink, refuse_path
from octopus_graph.errors import ExpertError, InputError, ParseError

__all__ = ["ROW_ERRORS", "Row", "run"]

ROW_ERRORS = (InputError, ExpertError, ParseError)  # the fault of one row; any other would meet the next row too

FIELDS = ("request", "query", "question")
DISPLACED = "given"

T = TypeVar("T")


@dataclass
class Row:
    """One line of the input.

    Attributes:
        line: Its number, from 1.
        value: Its keys as they came; empty where the line could not be read.
        request: What to ask, checked and cleaned.
        gained: What the command found out, or `error`.
    """

    line: int
    value: Mapping[str, Any]
    request: str = ""
    gained: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def failed(self) -> bool:
        """Whether the row could not be used."""
        return "error" in self.gained

    def fail(self, reason: str) -> None:
        """Marks the row as one that could not be used."""
        self.gained = {"error": reason} if self.value else {"line": self.line, "error": reason}

    def merged(self) -> dict[str, Any]:
        """Returns the row as it is written."""
        taken = {**self.gained, "error": None}  # the error of an earlier run must not stand beside a result of this one
        own = {key: value for key, value in self.value.items() if key not in taken}
        displaced = {key: value for key, value in self.value.items() if key in taken}
        if displaced:
            before = own.get(
                DISPLACED, {}
            )  # of a file that went through a command twice, the first values are the labels
            own[DISPLACED] = displaced | (before if isinstance(before, dict) else {DISPLACED: before})
        return own | self.gained


def run(
    source: str,
    target: str | None,
    answer: Callable[[Sequence[Row]], None],
    *,
    prepare: Callable[[], None],
    window: int,
    field_name: str | None,
    as_json: bool,
) -> None:
    """Sends every row of a file through a command.

    Args:
        source: The file, `-` for stdin.
        target: The file to write, whole or not at all; `None` or `-` for stdout.
        answer: Fills in `gained` of some rows, or fails them.
        prepare: Loads what `answer` needs, once both files are known to be usable.
        window: How many rows `answer` gets at a time.
        field_name: The key of the request; `None` for the first of `request`, `query`, `question` that is there.
        as_json: Write a summary to stdout where the rows go to a file.

    Raises:
        typer.Exit: With code 1, if a row could not be used.
    """
    count = failed = 0
    with ExitStack() as stack:
        lines = stack.enter_context(_lines(source))
        write = stack.enter_context(open_sink(target))
        prepare()
        started = time.perf_counter()
        advance = stack.enter_context(_bar(source))
        for rows in _windows(_rows(lines, field_name, advance), window):
            usable = [row for row in rows if not row.failed]
            if usable:
                answer(usable)
            for row in rows:
                write(dump(row.merged()) + "\n")
            count, failed = count + len(rows), failed + sum(row.failed for row in rows)
            advance(0, count)
    seconds = time.perf_counter() - started
    if target not in (None, "-"):
        summary = {"rows": count, "failed": failed, "seconds": round(seconds, 3), "out": target}
        if as_json:
            emit(summary)
    rate = f", {count / seconds:.1f} a second" if count and seconds > 0 else ""
    err().print(f"{count:,} rows in {seconds:.1f} s{rate}; {f'{failed:,} failed' if failed else 'none failed'}.")
    if failed:
        raise typer.Exit(FAILED)


# ---------------------------------------------------------------- reading


@contextmanager
def _lines(source: str) -> Generator[BinaryIO]:
    if source == "-":
        yield sys.stdin.buffer
        return
    with _opened(source) as stream:
        yield stream


def _opened(source: str) -> BinaryIO:
    try:
        return Path(source).open("rb")
    except (OSError, ValueError) as error:
        refuse_path("--batch", source, error)


def _rows(lines: Iterable[bytes], name: str | None, advance: Callable[[int, int | None], None]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        advance(len(line), None)
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")  # noqa: PLW2901 - the byte order mark of some editors
        if line.strip():
            yield _row(number, line, name)


def _row(number: int, line: bytes, name: str | None) -> Row:
    from octopus_graph.codec import clean

    row = Row(number, {})
    try:
        value: Any = json.loads(line.decode("utf-8"), parse_float=_number, parse_constant=_number)
    except UnicodeDecodeError:
        row.fail("The line is not UTF-8 text.")
    except RecursionError:
        row.fail("The line is JSON nested too deeply.")
    except ValueError as error:
        row.fail(f"The line is not JSON: {clip(str(error))}.")
    else:
        if not isinstance(value, dict):
            row.fail(f"The line is not a JSON object but {_kind(value)}.")
            return row
        row.value = cast(dict[str, Any], value)
        try:
            row.request = clean(_request(row.value, name))
        except InputError as error:
            row.fail(str(error))
    return row


def _request(value: Mapping[str, Any], name: str | None) -> str:
    names = [name] if name else [each for each in FIELDS if each in value]
    if not names or names[0] not in value:
        wanted = repr(name) if name else ", ".join(map(repr, FIELDS))
        raise InputError(f"The row has no key {wanted}: name the key of its request with --field.")
    request = value[names[0]]
    if not isinstance(request, str):
        raise InputError(f"The row's {names[0]!r} is not text but {_kind(request)}.")
    return request


def _number(text: str) -> float:
    """Reads a number, and refuses what JSON cannot write again: NaN, Infinity and 1e999."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{clip(text, 40)} is no JSON number")
    return value


def _kind(value: object) -> str:
    names: dict[type, str] = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "a truth value",
        type(None): "null",
    }
    return names.get(type(value), "a number")


def _windows(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while window := list(islice(items, size)):
        yield window


# ---------------------------------------------------------------- progress


@contextmanager
def _bar(source: str) -> Generator[Callable[[int, int | None], None]]:
    """Shows on a terminal's stderr how much of the file is read (by bytes: counting lines would read it twice)."""
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = err()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    size = None if source == "-" else Path(source).stat().st_size or None
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("0 rows", total=size)

        def advance(read: int, rows: int | None) -> None:
            progress.update(task, advance=read)
            if rows is not None:
                progress.update(task, description=f"{rows:,} rows")

        yield advance
