"""What goes to stdout and what to stderr, and how it is made fit for them.

stdout   results: text for people, or with --json one document (JSON Lines for batches) and nothing else
stderr   errors, one line each; progress and notes
"""

import json
import re
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["clip", "dump", "emit", "err", "line", "out", "percent", "printable", "size", "spinner"]

WIDTH = 160  # of tables where no terminal says how wide it is

# All but tab and line feed. A model's answer, or a file's text, must not drive the terminal it is shown on.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def out() -> "Console":
    """Makes the console for results; without colours where stdout is no terminal or NO_COLOR is set."""
    from rich.console import Console

    wide = None if sys.stdout.isatty() else WIDTH
    return Console(width=wide, highlight=False, markup=False, emoji=False, soft_wrap=True)


def err() -> "Console":
    """Makes the console for everything that is not a result."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def printable(text: str) -> str:
    """Takes out of a text what a terminal would obey or an encoder refuse; lines and tabs stay."""
    return _CONTROL.sub("\ufffd", text.replace("\r\n", "\n")).encode("utf-8", "replace").decode("utf-8")


def line(text: str) -> str:
    """Makes a text one line."""
    return printable(" ".join(text.split()))


def clip(text: str, width: int = 200) -> str:
    """Makes a text one line of at most `width` characters."""
    text = line(text[: 4 * width])
    return text if len(text) <= width else text[: width - 1] + "…"


def percent(probability: float) -> str:
    """Writes a probability as people read it."""
    return f"{100 * probability:.1f}%"


def dump(value: Any, *, indent: int | None = None) -> str:
    r"""Writes JSON that any stream can carry: lone surrogates, and what an ASCII stdout lacks, become \u escapes."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text


def emit(value: Any) -> None:
    """Writes the one JSON document of a command to stdout."""
    sys.stdout.write(dump(value, indent=2) + "\n")
    sys.stdout.flush()


@contextmanager
def spinner(doing: str) -> Generator[None]:
    """Shows on a terminal's stderr that something takes its time."""
    console = err()
    if not console.is_terminal:
        yield
        return
    with console.status(doing):
        yield


def size(number: float) -> str:
    """Writes a number of bytes as people read it."""
    for unit in ("B", "kB", "MB"):
        if number < 999.5:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"
