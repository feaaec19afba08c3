"""Cases: requests with the expert or the path that is right, read from any JSONL of the documented shapes."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from octopus_graph.errors import TrainingError
from octopus_graph.training.data import OWN_DATA, PathHop, Previous, read_json_lines

__all__ = ["Case", "by_source", "evenly", "fresh_paragraphs", "own_sets", "read_cases"]

PARAGRAPHS = "paragraphs"
Row = TypeVar("Row")
_LETTERS = "ABCDEFGHIJ"
_NAMES = ("request", "question", "query")
_OF_NONE = frozenset({*_NAMES, "id", "style", "source"})


class Case(BaseModel):
    """One request and what is right for it.

    Attributes:
        request: What is asked; a row may call it `question` or `query`, and add `choices`.
        expert: Who should answer; `None` where no expert fits, or where `hops` say it. A row may carry `targets` in its
            place: the expert that most often answers such a request right.
        hops: The experts in order, of a request with several parts.
        previous: The turns before it.
        source: Where it comes from; the file's name unless the row says it.
        style: The slice it counts in beside its source.
        rewrite: A good rewrite, where there is one.
        subject: Of a multiple-choice question: those of one subject are asked alike.
        answer: Its right choice: a letter, or (as MMLU has it) a number from 0. Of other requests, how a good answer
            begins.
        choices: Its choices, a line each with its letter; a list of them is written so.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    request: Annotated[str, Field(min_length=1)]
    expert: str | None = None
    hops: tuple[PathHop, ...] = ()
    previous: tuple[Previous, ...] = ()
    source: str = ""
    style: str = ""
    rewrite: str = ""
    subject: str = ""
    answer: str = ""
    choices: str = ""

    @model_validator(mode="before")
    @classmethod
    def _other_names(cls, row: Any) -> Any:
        """Takes the names that benchmarks use for the request."""
        if not isinstance(row, dict):
            return row
        found: dict[str, Any] = dict(row)  # pyright: ignore[reportUnknownArgumentType]
        for name in _NAMES:
            if "request" not in found and name in found:
                found["request"] = found.pop(name)
        targets: Any = found.get("targets")
        if targets and isinstance(targets, dict) and not found.get("expert"):
            shares: dict[str, Any] = targets  # pyright: ignore[reportUnknownVariableType]
            if all(isinstance(value, int | float) for value in shares.values()):
                found["expert"] = max(shares, key=shares.__getitem__)
        if not found.get("expert") and not found.get("hops"):
            # A slip such as "exprt" must not turn a request into one that no expert fits.
            more = sorted(str(key) for key, value in found.items() if key not in _OF_NONE and value)
            if more:
                raise ValueError(f"a row without expert and hops is one that no expert fits, and has no {more[0]!r}")
        if isinstance(number := found.get("answer"), int) and 0 <= number < len(_LETTERS):
            found["answer"] = _LETTERS[number]
        if isinstance(choices := found.get("choices"), list):
            listed: list[Any] = choices  # pyright: ignore[reportUnknownVariableType]
            found["choices"] = "\n".join(f"{letter}. {each}" for letter, each in zip(_LETTERS, listed, strict=False))
        return found

    @property
    def path(self) -> tuple[str, ...]:
        """The experts in order."""
        return tuple(hop.expert for hop in self.hops) or ((self.expert,) if self.expert else ())


def read_cases(path: Path, experts: Iterable[str], *, choices: bool = False) -> list[Case]:
    """Reads a JSONL file of cases.

    Args:
        path: The file.
        experts: The experts a row may name.
        choices: Put a row's `choices` below its question.

    Raises:
        TrainingError: If the file cannot be read, or a line is malformed or names an unknown expert; the message names
            the line.
    """
    known = set(experts)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: cannot be read as UTF-8 text ({error.__class__.__name__}).") from None
    cases: list[Case] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
            case = Case.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "the line"
            raise TrainingError(f"{path.name}, line {number}: {field}: {first['msg']}.") from None
        except ValueError:
            raise TrainingError(f"{path.name}, line {number}: this is no JSON object.") from None
        for expert in (*case.path, *(turn.expert for turn in case.previous)):
            if expert not in known:
                raise TrainingError(f"{path.name}, line {number}: unknown expert {expert!r}.")
        text = f"{case.request}\n{case.choices}" if choices and case.choices else case.request
        cases.append(case.model_copy(update={"request": text, "source": case.source or path.stem}))
    if not cases:
        raise TrainingError(f"{path.name} has no rows.")
    return cases


def own_sets() -> list[Path]:
    """Returns the files of the project's validation and test sets: by other hands, and never trained on."""
    found = [path for name in ("validation", "test") for path in sorted((OWN_DATA / name).glob("*.jsonl"))]
    return [path for path in found if path.stem != PARAGRAPHS]


def fresh_paragraphs() -> list[str]:
    """Returns the project's paragraphs that are pasted in front of requests in evaluation alone."""
    return [row.text for row in read_json_lines(OWN_DATA / "test" / f"{PARAGRAPHS}.jsonl", _Paragraph)]


class _Paragraph(BaseModel):
    text: Annotated[str, Field(min_length=1)]


def evenly(cases: Sequence[Row], most: int) -> Sequence[Row]:
    """Returns at most so many, taken evenly from all of them: files are sorted by expert."""
    return cases if len(cases) <= most else [cases[place * len(cases) // most] for place in range(most)]


def by_source(cases: Sequence[Case]) -> dict[str, list[Case]]:
    """Groups cases by where they come from, in the order they came."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.source, []).append(case)
    return groups
