"""What `octopus-graph data check` looks for in rows before anything is trained on them.

near-duplicates   requests that are nearly the same text, for the same expert
conflicts         the same or nearly the same text, for different experts
templates         how many of an expert's requests, and of those for several, open or close with the same three words
overlap           requests that stand in an evaluation set too
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
# scikit-learn ships no types.

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError
from sklearn.feature_extraction.text import TfidfVectorizer

from octopus_graph.errors import TrainingError
from octopus_graph.training.data import Example, Request, Unroutable

__all__ = ["TEMPLATE_LIMIT", "Findings", "check", "evaluation_texts"]

NEAR = 0.9  # cosine of character 3- to 5-grams, TF-IDF
TEMPLATE_LIMIT = 0.15
PATHS = "multi-part requests"  # among the experts' names, none of which holds a space


@dataclass(frozen=True)
class Findings:
    """What was found; ids of rows, an evaluation text in the second place of an overlap.

    Attributes:
        rows: How many rows were looked at.
        near_duplicates: Pairs of ids.
        conflicts: Pairs of ids.
        overlap: Pairs of an id and the evaluation text it repeats.
        templates: For each expert, and for multi-part requests, the commonest opening and its share of the requests.
        closings: The same of how they end.
    """

    rows: int
    near_duplicates: list[tuple[str, str]]
    conflicts: list[tuple[str, str]]
    overlap: list[tuple[str, str]]
    templates: dict[str, tuple[str, float]]
    closings: dict[str, tuple[str, float]]

    @property
    def clean(self) -> bool:
        """Whether nothing stands against training on the rows; near-duplicates alone do not."""
        spun = any(share > TEMPLATE_LIMIT for _, share in (*self.templates.values(), *self.closings.values()))
        return not (self.conflicts or self.overlap or spun)


def check(rows: Sequence[Example], evaluation: Sequence[str] = ()) -> Findings:
    """Looks through rows.

    Args:
        rows: Requests of any kind; those that need an earlier turn are compared together with it.
        evaluation: Texts no row may repeat.

    Raises:
        TrainingError: If there are no rows.
    """
    if not rows:
        raise TrainingError("There are no rows to check.")
    texts = [_text(row) for row in rows]
    duplicates: list[tuple[str, str]] = []
    conflicts: list[tuple[str, str]] = []
    overlap: list[tuple[str, str]] = []
    for a, b in _near([*texts, *map(_fold, evaluation)], len(texts)):
        if b >= len(texts):
            overlap.append((rows[a].id, evaluation[b - len(texts)]))
        else:
            found = duplicates if _label(rows[a]) == _label(rows[b]) else conflicts
            found.append((rows[a].id, rows[b].id))
    openings, closings = _templates(rows, _opening), _templates(rows, _closing)
    return Findings(len(rows), duplicates, conflicts, overlap, openings, closings)


def evaluation_texts(path: Path) -> list[str]:
    """Reads the `question` or `request` of each row of an evaluation set.

    Raises:
        TrainingError: If the file cannot be read, or a line is no such row; the message names file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: cannot be read as UTF-8 text ({error.__class__.__name__}).") from None
    texts: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = _Evaluation.model_validate_json(line)
        except ValidationError:
            row = _Evaluation()
        text = row.question or row.request
        if not text.strip():
            raise TrainingError(f"{path.name}, line {number}: no `question` or `request` with a text in it.")
        texts.append(text)
    return texts


class _Evaluation(BaseModel):
    question: str = ""
    request: str = ""


def _text(row: Example) -> str:
    earlier = [turn.request for turn in row.previous] if isinstance(row, Request) else []
    return " ".join(_fold(text) for text in (*earlier, row.request))


def _label(row: Example) -> tuple[str, ...]:
    return (row.expert,) if isinstance(row, Request) else row.experts


def _fold(text: str) -> str:
    return " ".join(text.lower().split())


def _near(texts: Sequence[str], own: int) -> list[tuple[int, int]]:
    """Pairs of places whose texts are nearly the same, the first among the `own` first ones."""
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True).fit_transform(
        [text or " " for text in texts]
    )
    pairs: list[tuple[int, int]] = []
    block = 512  # rows compared at a time: the whole product of thousands of rows would not fit
    for start in range(0, own, block):
        close = (vectors[start : min(own, start + block)] @ vectors.T).tocoo()
        keep = (close.data >= NEAR) & (start + close.row < close.col)  # here, as there are millions in a block
        pairs += [(start + int(a), int(b)) for a, b in zip(close.row[keep], close.col[keep], strict=True)]
    # Texts too short for any n-gram have no vector; the same text is always a pair.
    places: dict[str, int] = {}
    for place, text in enumerate(texts):
        first = places.setdefault(text, place)
        if first < min(place, own):
            pairs.append((first, place))
    return sorted(set(pairs))


def _opening(request: str) -> str:
    return " ".join(_fold(request).split(" ")[:3])


def _closing(request: str) -> str:
    return " ".join(_fold(request).rstrip(" .,;:!?…").split(" ")[-3:])


def _templates(rows: Sequence[Example], part: Callable[[str], str]) -> dict[str, tuple[str, float]]:
    parts: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        if not isinstance(row, Unroutable):
            parts[row.expert if isinstance(row, Request) else PATHS].append(part(row.request))
    commonest = {name: Counter(texts).most_common(1)[0] for name, texts in parts.items()}
    return {name: (text, count / len(parts[name])) for name, (text, count) in sorted(commonest.items()) if count > 1}
