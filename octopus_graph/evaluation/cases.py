"""Cases: requests with the expert or the path that is right, read from any JSONL of the documented shapes."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from octopus_graph.errors import TrainingError
from octopus_graph.training.data import PathHop, Previous

__all__ = ["Case", "by_source", "read_cases"]

_LETTERS = "ABCDEFGHIJ"


class Case(BaseModel):
    """One request and what is right for it.

    Attributes:
        request: What is asked; a row may call it `question` or `query`, and add `choices`.
        expert: Who should answer; `None` where no expert fits, or where `hops` say it.
        hops: The experts in order, of a request with several parts.
        previous: The turns before it.
        source: Where it comes from; the file's name unless the row says it.
        style: The slice it counts in beside its source.
        rewrite: A good rewrite, where there is one.
        subject: Of a multiple-choice question: those of one subject are asked alike.
        answer: Its right choice: a letter, or (as MMLU has it) a number from 0.
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
        for name in ("question", "query"):
            if "request" not in found and name in found:
                found["request"] = found.pop(name)
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
        for expert in case.path:
            if expert not in known:
                raise TrainingError(f"{path.name}, line {number}: unknown expert {expert!r}.")
        text = f"{case.request}\n{case.choices}" if choices and case.choices else case.request
        cases.append(case.model_copy(update={"request": text, "source": case.source or path.stem}))
    if not cases:
        raise TrainingError(f"{path.name} has no rows.")
    return cases


def by_source(cases: Sequence[Case]) -> dict[str, list[Case]]:
    """Groups cases by where they come from, in the order they came."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.source, []).append(case)
    return groups
