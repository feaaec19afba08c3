"""The one place where an exception becomes a line on stderr and an exit code."""

import os
import sys
import traceback
from contextlib import redirect_stdout
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from octopus_graph.cli.output import err, line
from octopus_graph.errors import OctopusError

__all__ = ["FAILED", "INTERRUPTED", "MISUSED", "TERMINATED", "Guard", "misused"]

FAILED = 1
MISUSED = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
TERMINATED = 143  # 128 + SIGTERM
_PIPE_CLOSED = 141  # 128 + SIGPIPE: whoever read our output has gone, which is no error of ours


class Guard(TyperGroup):
    """A group of commands that ends with an exit code whatever happens, and never with a traceback."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Runs the command line and exits."""
        extra["standalone_mode"] = False
        try:
            result = super().main(*args, **extra)
        except (Exception, typer.Abort) as error:  # noqa: BLE001 - the last stop: whatever comes here becomes a line
            sys.exit(_report(error))
        sys.exit(result if isinstance(result, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was chosen; results still in a buffer count as part of it."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _drop_stdout()
            raise typer.Exit(_PIPE_CLOSED) from None
        except KeyboardInterrupt as stop:
            err().print(f"\nInterrupted: {stop}." if str(stop) else "\nInterrupted.")
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, typer.Abort, TyperException):
            raise
        except Exception:
            if ctx.params.get("debug"):
                traceback.print_exc()
            raise
        return result


def misused(context: typer.Context) -> NoReturn:
    """Shows the help of a group that was called without a command, where errors are shown.

    Raises:
        typer.Exit: Always.
    """
    with redirect_stdout(sys.stderr):  # Typer writes its help to stdout itself
        typer.echo(context.get_help().rstrip())
    raise typer.Exit(MISUSED)


def _report(error: BaseException) -> int:
    """Writes the line and returns the exit code."""
    code = FAILED
    if isinstance(error, OctopusError):
        code, message = error.exit_code, str(error)
    elif isinstance(error, TyperException):
        code, message = error.exit_code, _usage(error)
    elif isinstance(error, OSError) and error.strerror:
        message = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    elif isinstance(error, typer.Abort):
        message = "Stopped before the end of the input."
    else:
        name, text = type(error).__name__, str(error)
        message = f"This should not happen ({name}: {text}): run `octopus-graph --debug …` and report what it shows."
    console = err()
    console.print(f"[red]Error:[/red] {_escaped(line(message))}", markup=True)
    return code


def _usage(error: TyperException) -> str:
    message = error.format_message()
    if message.startswith("No such option: -") and "--" not in message:
        message += " (a question that begins with a dash goes after --)"
    context: Any = getattr(error, "ctx", None)
    return f"{message.rstrip('.')}; see `{context.command_path} --help`." if context else message


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _drop_stdout() -> None:
    """Points stdout at nothing, so that the interpreter's own flush at exit fails no more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
