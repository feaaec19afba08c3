"""From which cosine on two questions mean the same: found from pairs that do, beside pairs that only look it.

    threshold = the smallest cosine at which no more than `max_wrong` of the questions next to a paraphrase, of the same
                expert and different from it, would have been answered from the cache

Literals have to agree besides (`literals.lost`): "radius 3" and "radius 4" are near, and not the same. A threshold is
of one engine: measure again after training.
"""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from octopus_graph.caching.differing import differ
from octopus_graph.engines.base import Embeds
from octopus_graph.errors import ConfigurationError, InputError
from octopus_graph.router import OctopusRouter

__all__ = ["Measured", "Pair", "measure", "read_pairs", "threshold_of"]

SHIPPED = Path(__file__).parent.parent / "data" / "requests"
REPHRASED = ("terse", "chatty", "typo", "nonnative", "formal")  # styles whose rewrite says the same in other words
BATCH = 16


class Pair(BaseModel):
    """A question, and the same in other words.

    Attributes:
        request: The question.
        rewrite: The same.
        expert: Whose it is: it is compared with the other questions of that expert.
        style: How it is put; that of the shipped requests.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    request: Annotated[str, Field(min_length=1)]
    rewrite: str = ""
    expert: Annotated[str, Field(min_length=1)]
    style: str = ""


@dataclass(frozen=True)
class Measured:
    """What a threshold is worth.

    Attributes:
        threshold: The cosine.
        recall: The share of paraphrases that reach it.
        wrong: The share of paraphrases for which some other question of the expert reaches it.
        pairs: How many paraphrases there were.
    """

    threshold: float
    recall: float
    wrong: float
    pairs: int


def read_pairs(path: Path | None = None, limit: int | None = None) -> list[Pair]:
    """Reads pairs from a JSONL file.

    Args:
        path: The file; `None` for the requests that come with this package.
        limit: The most of one expert.

    Raises:
        InputError: If the file cannot be read, or a line is no pair.
    """
    files = sorted(SHIPPED.glob("*.jsonl")) if path is None else [path]
    found: dict[str, list[Pair]] = defaultdict(list)
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file} cannot be read as UTF-8 text ({type(error).__name__}).") from None
        for number, line in enumerate(lines, start=1):
            try:
                pair = Pair.model_validate(json.loads(line))
            except ValidationError as error:
                raise InputError(f"{file.name}, line {number}: {error.errors()[0]['msg']}.") from None
            except ValueError:
                raise InputError(f"{file.name}, line {number}: this is no JSON object.") from None
            if pair.rewrite and (path is not None or pair.style in REPHRASED):
                found[pair.expert].append(pair)
    return [pair for pairs in found.values() for pair in _evenly(pairs, limit)]


def measure(router: OctopusRouter, pairs: Sequence[Pair], *, max_wrong: float = 0.01) -> Measured:
    """Finds the threshold of a router's engine.

    Args:
        router: Its engine makes the vectors.
        pairs: Paraphrases of many experts, several of each: those of one expert are the different questions.
        max_wrong: The share of different questions that may be taken for the same.

    Raises:
        ConfigurationError: If the engine makes no vectors, or there are too few pairs to find a threshold from.
    """
    if not isinstance(router.engine, Embeds):
        raise ConfigurationError("This router's engine makes no vectors of questions, so no two can mean the same.")
    texts = [pair.request for pair in pairs] + [pair.rewrite for pair in pairs]
    rows: list[list[float]] = []
    for start in range(0, len(texts), BATCH):
        rows += cast(Embeds, router.engine).embed(texts[start : start + BATCH])
    vectors = np.asarray(rows, np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    asked, said = vectors[: len(pairs)], vectors[len(pairs) :]
    same, other = _same(pairs, asked, said), _others(pairs, asked, said)
    return threshold_of(same, other, max_wrong=max_wrong)


def threshold_of(same: Sequence[float], other: Sequence[float], *, max_wrong: float = 0.01) -> Measured:
    """Finds the threshold between two lists of cosines.

    Example:
        >>> threshold_of([0.9, 0.8, 0.7], [0.75, 0.5, 0.4], max_wrong=0.0).threshold
        0.751

    Args:
        same: Of pairs that mean the same; -1 where their literals differ.
        other: Of each question with the nearest different one.
        max_wrong: The share of `other` that may reach the threshold.

    Raises:
        ConfigurationError: If there are too few pairs.
    """
    if not same or len(other) < len(same) or not other:
        raise ConfigurationError("A threshold is found from pairs of questions, two of each expert at least: add some.")
    allowed = math.floor(max_wrong * len(other))
    highest = sorted(other, reverse=True)
    threshold = 0.001
    if allowed < len(highest):  # the next one must stay below
        threshold = min(1.0, math.floor(highest[allowed] * 1000 + 1) / 1000)
    recall = sum(cosine >= threshold for cosine in same) / len(same)
    wrong = sum(cosine >= threshold for cosine in other) / len(other)
    return Measured(max(threshold, 0.001), recall, wrong, len(same))


def _same(pairs: Sequence[Pair], asked: "np.ndarray", said: "np.ndarray") -> list[float]:
    cosines = (asked * said).sum(1)
    return [
        -1.0 if differ(pair.request, pair.rewrite) else float(cosine)
        for pair, cosine in zip(pairs, cosines, strict=True)
    ]


def _others(pairs: Sequence[Pair], asked: "np.ndarray", said: "np.ndarray") -> list[float]:
    """Returns for each paraphrase the cosine of the nearest different question that its literals do not tell apart."""
    cosines = said @ asked.T
    found: list[float] = []
    for place, pair in enumerate(pairs):
        nearest = -1.0
        for at in np.argsort(-cosines[place]):
            other = pairs[int(at)]
            if other.expert != pair.expert or int(at) == place or other.request == pair.request:
                continue
            if not differ(other.request, pair.rewrite):
                nearest = float(cosines[place, at])
                break
        found.append(nearest)
    return found


def _evenly(pairs: list[Pair], most: int | None) -> list[Pair]:
    if most is None or len(pairs) <= most:
        return pairs
    return [pairs[place * len(pairs) // most] for place in range(most)]
