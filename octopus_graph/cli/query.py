"""The question of `ask` and `route`: from the command line, stdin or the environment."""

import os
import sys

import typer

from octopus_graph.errors import InputError

__all__ = ["VARIABLE", "one_of", "optional_question", "question"]

VARIABLE = "OCTOPUS_QUERY"


def one_of(query: str | None, batch: str | None, out: str | None, field: str | None) -> None:
    """Refuses options that do not go together.

    Raises:
        typer.BadParameter: If there is a question beside a batch, or an option of batches without one.
    """
    if batch is not None and query is not None:
        raise typer.BadParameter("a question and a file of them do not go together", param_hint="--batch")
    if batch is None:
        for option, value in (("--out", out), ("--field", field)):
            if value is not None:
                raise typer.BadParameter("goes with --batch only", param_hint=option)


def question(query: str | None) -> str:
    """Returns what is asked, as `optional_question` does, where something has to be.

    Raises:
        typer.BadParameter: If nothing is asked.
        InputError: If what is asked cannot be used; the model is not loaded for it.
    """
    text = optional_question(query)
    if text is None:
        raise typer.BadParameter(f"give a question, - to read it from stdin, or set {VARIABLE}", param_hint="QUERY")
    return text


def optional_question(query: str | None) -> str | None:
    """Returns what is asked, `None` where nothing is.

    Args:
        query: The argument: `-` reads stdin, `None` looks at the environment variable OCTOPUS_QUERY.

    Raises:
        InputError: If what is asked cannot be used; the model is not loaded for it.
    """
    from octopus_graph.codec import clean

    text = os.environ.get(VARIABLE) if query is None else query
    if text is None:
        return None
    if query == "-":
        try:
            text = sys.stdin.buffer.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"The question on stdin is not UTF-8 text: byte {error.start} is not.") from None
    return clean(text)
