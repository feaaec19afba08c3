import errno
import subprocess
import sys
from collections.abc import Callable

import pytest
import typer
from typer.testing import CliRunner

from octopus_graph.cli.guard import Guard
from octopus_graph.errors import ConfigurationError, InputError, ModelNotFoundError


def app_that(act: Callable[[], object]) -> typer.Typer:
    app = typer.Typer(cls=Guard, pretty_exceptions_enable=False)

    @app.callback()
    def main(debug: bool = False) -> None:
        pass

    @app.command()
    def act_(number: int = 1) -> None:
        act()

    app.command("other")(lambda: None)
    return app


def raising(error: BaseException) -> typer.Typer:
    def act() -> None:
        raise error

    return app_that(act)


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (InputError("The request is empty: ask something."), 2, "Error: The request is empty: ask something."),
        (ConfigurationError("No."), 2, "Error: No."),
        (ModelNotFoundError("It is not here."), 1, "Error: It is not here."),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "a.yaml"),
            1,
            "No such file or directory: a.yaml",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "Error: No space left on device"),
        (OSError("no errno"), 1, "This should not happen (OSError: no errno)"),
        (ZeroDivisionError("division by zero"), 1, "This should not happen (ZeroDivisionError: division by zero)"),
        (RecursionError(), 1, "RecursionError"),
        (MemoryError(), 1, "MemoryError"),
        (typer.BadParameter("must be one", param_hint="--number"), 2, "Invalid value for --number: must be one"),
        (typer.Abort(), 1, "Stopped before the end of the input"),
    ],
)
def test_every_error_is_one_line_and_an_exit_code(error: BaseException, code: int, says: str) -> None:
    result = CliRunner().invoke(raising(error), ["act-"])

    assert result.exit_code == code
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_message_of_several_lines_or_of_escapes_is_made_one_harmless_line() -> None:
    result = CliRunner().invoke(raising(InputError("one\ntwo \x1b[31mred \ud800 [bold]x[/bold]")), ["act-"])

    assert result.stderr == "Error: one two \ufffd[31mred ? [bold]x[/bold]\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["act-", "--number", "x"], "--number"),
        (["act-", "--nothing"], "No such option: --nothing"),
        (["act-", "-3"], "No such option: -3 (a question that begins with a dash goes after --)"),
        (["act-", "extra"], "extra"),
        (["akt-"], "No such command"),
    ],
)
def test_misuse_is_one_line_that_names_the_help(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(raising(AssertionError()), arguments)

    assert result.exit_code == 2
    assert says in result.stderr
    assert "--help`." in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_interrupt_exits_as_shells_have_it() -> None:
    result = CliRunner().invoke(raising(KeyboardInterrupt()), ["act-"])

    assert (result.exit_code, result.stderr) == (130, "\nInterrupted.\n")


def test_an_exit_code_that_a_command_chose_is_kept() -> None:
    assert CliRunner().invoke(raising(typer.Exit(1)), ["act-"]).exit_code == 1
    assert CliRunner().invoke(raising(typer.Exit(0)), ["act-"]).exit_code == 0


def test_the_traceback_shows_with_debug_only() -> None:
    app = raising(ModelNotFoundError("It is not here."))

    assert "Traceback" not in CliRunner().invoke(app, ["act-"]).stderr
    result = CliRunner().invoke(app, ["--debug", "act-"])
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("Error: It is not here.\n")
    assert result.exit_code == 1


def test_a_reader_that_goes_away_ends_the_command_quietly() -> None:
    code = (
        "import sys, typer; from octopus_graph.cli.guard import Guard\n"
        "app = typer.Typer(cls=Guard)\n"
        "@app.command()\n"
        "def one(): [print('x' * 1000) for _ in range(10000)]\n"
        "@app.command()\n"
        "def two(): pass\n"
        "app(['one'])"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141
