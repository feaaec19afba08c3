"""Where results go: stdout as they come, or a file that appears whole or not at all."""

import os
import stat
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TextIO

import typer

from octopus_graph.cli.output import clip

__all__ = ["open_sink", "refuse_path"]


@contextmanager
def open_sink(target: str | None) -> Generator[Callable[[str], object]]:
    """Opens what `--out` names.

    Args:
        target: The file; `None` or `-` for stdout.

    Yields:
        What writes a text.

    Raises:
        typer.BadParameter: If the file cannot be written.
    """
    if target is None or target == "-":
        yield _to_stdout
        return
    with _opened(target) as stream:
        yield stream.write


def refuse_path(option: str, path: str, error: Exception) -> NoReturn:
    """Says that a path cannot be used.

    Raises:
        typer.BadParameter: Always.
    """
    reason = error.strerror if isinstance(error, OSError) else str(error)
    raise typer.BadParameter(f"{clip(path)!r} cannot be used: {reason}", param_hint=option) from error


def _to_stdout(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


@contextmanager
def _opened(target: str) -> Generator[TextIO]:
    fresh: Path | None = None
    try:
        place = Path(target).resolve()  # through a link, to keep it
        mode = _mode(place)
        if mode is not None and not stat.S_ISREG(mode):
            # A device or a pipe cannot be replaced; opening a folder fails, as it should.
            stream = place.open("w", encoding="utf-8")
        else:
            handle, name = tempfile.mkstemp(prefix=f".{place.name[:80]}-", suffix=".part", dir=place.parent)
            fresh = Path(name)
            stream = open(handle, "w", encoding="utf-8", newline="\n")  # noqa: PTH123, SIM115 - a descriptor
    except (OSError, ValueError) as error:
        refuse_path("--out", target, error)
    try:
        with stream:
            yield stream
            if fresh:
                stream.flush()
                os.fsync(stream.fileno())
        if fresh:
            fresh.chmod(0o666 & ~_umask() if mode is None else stat.S_IMODE(mode))
            fresh.replace(place)
    except BaseException:
        if fresh:
            fresh.unlink(missing_ok=True)
        raise


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
