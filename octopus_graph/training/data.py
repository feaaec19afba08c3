"""Rows: the project's own examples and MMLU, read with their line numbers and split by a hash of their text.

The shapes are documented in `octopus_graph/data/README.md`. What is held out is decided by the text alone, so the same
question is on
the same side in every file and in every run.
"""

import hashlib
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from octopus_graph.errors import TrainingError
from octopus_graph.tokens import PAPER_EXPERTS

__all__ = [
    "OWN_DATA",
    "Example",
    "Multipart",
    "Question",
    "Request",
    "Unroutable",
    "examples",
    "held_out",
    "own_examples",
    "own_paragraphs",
    "own_paths",
    "own_requests",
    "own_unroutable",
    "own_validation",
    "questions",
    "read_json_lines",
    "read_rows",
]

EXPERT_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
OWN_DATA = Path(__file__).parent.parent / "data"
HELD_OUT_SHARE = 10  # one in ten


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    @property
    @abstractmethod
    def experts(self) -> tuple[str, ...]:
        """Every expert the row names."""


Row = TypeVar("Row", bound=_Row)
Model = TypeVar("Model", bound=BaseModel)


class Previous(BaseModel):
    """An earlier turn that a request cannot be routed without."""

    request: str = Field(min_length=1)
    expert: str


class Request(_Row):
    """One request for one expert.

    Attributes:
        rewrite: The request as one sends it to a specialist; empty where it already is that, `None` where nobody wrote
            one: such a row teaches who is asked and not how.
        targets: How often each expert answers such a request right, where that is known: the router then learns these
            shares in the place of the one expert, and so who is competent and not only who is on topic. `expert` may
            then be left out: it is the one with the largest share.
    """

    id: str
    request: str = Field(min_length=1)
    previous: tuple[Previous, ...] = ()
    expert: str
    rewrite: str | None = None
    answer: str = ""
    style: str = ""
    targets: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}

    @field_validator("targets")
    @classmethod
    def _some_target(cls, targets: dict[str, float]) -> dict[str, float]:
        if targets and not any(targets.values()):
            raise ValueError("at least one target must be above 0")
        return targets

    @model_validator(mode="before")
    @classmethod
    def _expert_of_targets(cls, raw: Any) -> Any:
        """Names the expert with the largest share where the row names none."""
        row = cast("dict[str, Any]", raw) if isinstance(raw, dict) else {"expert": None}
        shares = row.get("targets")
        if "expert" in row or not isinstance(shares, dict) or not shares:
            return cast("Any", raw)
        known = {
            name: share for name, share in cast("dict[str, Any]", shares).items() if isinstance(share, int | float)
        }
        return {**row, "expert": max(known, key=lambda name: known[name], default="")}

    @property
    def experts(self) -> tuple[str, ...]:
        """Every expert the row names."""
        return (self.expert, *(turn.expert for turn in self.previous), *self.targets)


class PathHop(BaseModel):
    """One part of a multi-part request."""

    expert: str
    query: str = Field(min_length=1)
    answer: str = ""


class Multipart(_Row):
    """One request for experts in order: several, or one where it only looks like several."""

    id: str
    request: str = Field(min_length=1)
    hops: tuple[PathHop, ...] = Field(min_length=1)
    style: str = ""

    @property
    def experts(self) -> tuple[str, ...]:
        """Every expert the row names."""
        return tuple(hop.expert for hop in self.hops)


class Unroutable(_Row):
    """What no expert fits: small talk, gibberish, commands for a device. The router should be unsure of it."""

    id: str
    request: str = Field(min_length=1)
    style: str = ""

    @property
    def experts(self) -> tuple[str, ...]:
        """None."""
        return ()


class _Paragraph(_Row):
    id: str
    text: str = Field(min_length=1)

    @property
    def experts(self) -> tuple[str, ...]:
        return ()


class Question(_Row):
    """A benchmark question; `choices` is one string of lettered lines."""

    question: str = Field(min_length=1)
    choices: str = ""
    expert: str
    subject: str = ""

    @property
    def experts(self) -> tuple[str, ...]:
        """Every expert the row names."""
        return (self.expert,)


class _Outcome(BaseModel):
    """A row of `mmlu_pro_outcomes_dev.jsonl`; what the recorded models answered is no matter of training."""

    source: str
    question: str = Field(min_length=1)
    choices: str


_OBJECT = TypeAdapter(dict[str, object])
_BARE = ("id", "request", "style", "source")

Example = Request | Multipart | Unroutable


def examples(files: Iterable[Path]) -> list[Example]:
    """Reads somebody's own examples, whose experts may have any name.

    A row with `hops` is a request for several experts, one with `expert` or `targets` for one, one with neither for
    none. `id` may be left out.

    Raises:
        TrainingError: If a file cannot be read or a line is malformed; the message names file and line.
    """
    rows: list[Example] = []
    for path in files:
        for number, line in _lines(path):
            try:
                raw = _OBJECT.validate_json(line)
            except ValidationError:
                raise TrainingError(f"{path.name}, line {number}: this is no JSON object.") from None
            row = _validated(_kind(raw, path, number), {"id": f"{path.stem}-{number}", **raw}, path, number)
            for expert in row.experts:
                if not EXPERT_NAME.fullmatch(expert):
                    raise TrainingError(
                        f"{path.name}, line {number}: {expert[:80]!r} is no name for an expert: use letters, digits, _"
                        " and -, 64 at most."
                    )
            rows.append(row)
    return rows


def _kind(raw: Mapping[str, object], path: Path, number: int) -> type[Request] | type[Multipart] | type[Unroutable]:
    if "hops" in raw:
        return Multipart
    if "expert" in raw or "targets" in raw:
        return Request
    # A slip in the name of a key must not make a good request one that no expert fits.
    if odd := next((key for key in raw if key not in _BARE), None):
        raise TrainingError(
            f"{path.name}, line {number}: there is neither `expert` nor `hops`, but {odd[:40]!r}: a request that no"
            f" expert fits has {', '.join(_BARE)} alone."
        )
    return Unroutable


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # not splitlines: rows may hold U+2028
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: cannot be read as UTF-8 text ({error.__class__.__name__}).") from None
    return ((number, line) for number, line in enumerate(lines, start=1) if line.strip())


def _validated(kind: type[Model], raw: str | dict[str, object], path: Path, number: int) -> Model:
    try:
        return kind.model_validate_json(raw) if isinstance(raw, str) else kind.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the line"
        raise TrainingError(f"{path.name}, line {number}: {field}: {first['msg']}.") from None


def read_rows(path: Path, kind: type[Row], experts: Iterable[str] = PAPER_EXPERTS) -> Iterator[Row]:
    """Reads a JSONL file row by row.

    Raises:
        TrainingError: If the file is missing, or a line is not JSON, misses a key, or names an unknown expert; the
        message names
            file and line.
    """
    known = set(experts)
    for number, row in _numbered(path, kind):
        for expert in row.experts:
            if expert not in known:
                raise TrainingError(f"{path.name}, line {number}: unknown expert {expert!r}.")
        yield row


def read_json_lines(path: Path, kind: type[Model]) -> Iterator[Model]:
    """Reads a JSONL file of any shape row by row.

    Raises:
        TrainingError: If the file is missing or a line does not have the shape; the message names file and line.
    """
    return (row for _, row in _numbered(path, kind))


def _numbered(path: Path, kind: type[Model]) -> Iterator[tuple[int, Model]]:
    return ((number, _validated(kind, line, path, number)) for number, line in _lines(path))


def held_out(text: str) -> bool:
    """Says whether a text belongs to the tenth that no training sees."""
    folded = " ".join(text.lower().split())
    return int.from_bytes(hashlib.sha256(folded.encode()).digest()[:8]) % HELD_OUT_SHARE == 0


def own_requests(experts: Iterable[str] = PAPER_EXPERTS) -> list[Request]:
    """Returns the project's single requests."""
    return [
        row for path in sorted((OWN_DATA / "requests").glob("*.jsonl")) for row in read_rows(path, Request, experts)
    ]


def own_paths(experts: Iterable[str] = PAPER_EXPERTS) -> list[Multipart]:
    """Returns the project's multi-part requests."""
    return [row for path in sorted((OWN_DATA / "paths").glob("*.jsonl")) for row in read_rows(path, Multipart, experts)]


def own_unroutable() -> list[Unroutable]:
    """Returns the project's requests that no expert fits."""
    return list(read_rows(OWN_DATA / "none.jsonl", Unroutable))


def own_validation() -> dict[str, list[Request]]:
    """Returns the single requests of the validation sets by source: by another hand, and never trained on."""
    return {
        name: list(read_rows(OWN_DATA / "validation" / f"{name}.jsonl", Request))
        for name in ("words", "facts", "problems")
    }


def own_examples() -> list["Example"]:
    """Returns all the project's requests: for one expert, for several, and for none."""
    return [*own_requests(), *own_paths(), *own_unroutable()]


def own_paragraphs() -> list[str]:
    """Returns the project's paragraphs to be pasted in front of requests."""
    return [row.text for row in read_rows(OWN_DATA / "paragraphs.jsonl", _Paragraph)]


def questions(folder: Path) -> list[Question]:
    """Returns the MMLU questions of a data folder, each text once.

    `mmlu_pro_outcomes_dev.jsonl` files some subjects under other experts than the graph does; its questions count by
    the subject table that `mmlu_dev.jsonl` carries.

    Raises:
        TrainingError: If the folder has no `mmlu_dev.jsonl`, or a line of either file is malformed.
    """
    rows = list(read_rows(folder / "mmlu_dev.jsonl", Question))
    table = {row.subject: row.expert for row in rows}
    more = folder / "mmlu_pro_outcomes_dev.jsonl"
    for row in read_json_lines(more, _Outcome) if more.exists() else ():
        subject = row.source.removeprefix("ori_mmlu-")
        if subject in table:
            rows.append(Question(question=row.question, choices=row.choices, subject=subject, expert=table[subject]))
    seen: dict[str, Question] = {}
    for row in rows:
        seen.setdefault(" ".join(row.question.lower().split()), row)
    return list(seen.values())
