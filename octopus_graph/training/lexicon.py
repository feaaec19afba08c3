"""The lexicon's training: seconds of logistic regression over the rows that the router's adapter learns from."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
# scikit-learn and scipy ship no types.

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from sklearn.linear_model import SGDClassifier
from sklearn.preprocessing import normalize

from octopus_graph.errors import TrainingError
from octopus_graph.lexicon import BUCKETS, LEXICON, Lexicon, buckets_of
from octopus_graph.training.disk import disk_errors
from octopus_graph.training.mixture import Rows

__all__ = ["fit_trust", "learn_lexicon", "write_lexicon"]

ALPHA = 2e-6  # of the L2 penalty; from 5e-7 to 1e-5 the held-out figures differ by less than a point (docs/log.md)
UNTRIED = (0.0, -0.5)
BOUNDS = ((-1.6, 1.6), (-8.0, 3.0), (-2.0, 0.0))  # of log temperature and trust: rows that are all right would run away


def learn_lexicon(rows: Rows, experts: Sequence[str], *, seed: int) -> Lexicon:
    """Learns which words speak for which expert; how far to trust that is for `fit_trust` to find.

    Args:
        rows: What to learn from: requests that stand alone, and questions with and without their choices.
        experts: In token order.
        seed: Of the order in which rows are seen.

    Raises:
        TrainingError: If only one expert has rows.
    """
    pairs = [(row.request, row.expert) for row in rows.requests if not row.previous]
    for row in rows.questions:
        pairs.append((row.question, row.expert))
        if row.choices:
            pairs.append((f"{row.question}\n{row.choices}", row.expert))
    if len({expert for _, expert in pairs}) < 2:
        raise TrainingError("Words tell experts apart only where two of them have requests: add some of another.")
    found = [buckets_of(text)[0] for text, _ in pairs]
    ends = np.cumsum([0, *map(len, found)])
    flat = np.concatenate([np.asarray(each, dtype=np.int64) for each in found])
    seen: Any = csr_matrix((np.ones(len(flat), np.float32), flat, ends), shape=(len(pairs), BUCKETS))
    often = np.bincount(flat, minlength=BUCKETS)
    rarity = (np.log((1 + len(pairs)) / (1 + often)) + 1).astype(np.float16)
    features = normalize(seen.multiply(rarity.astype(np.float32)).tocsr())
    never: Any = None  # stops before all rounds are done
    model = SGDClassifier(loss="log_loss", alpha=ALPHA, max_iter=12, tol=never, average=True, random_state=seed)
    model.fit(features, np.array([experts.index(expert) for _, expert in pairs]))
    weights, bias = _each_expert(model, len(experts))
    scale = np.maximum(np.abs(weights).max(1) / 127, 1e-12).astype(np.float32)
    table = np.round(weights / scale[:, None]).astype(np.int8)
    return Lexicon(np.ascontiguousarray(table.T), scale, bias.astype(np.float32), rarity, UNTRIED)


def _each_expert(model: Any, experts: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Returns a row of weights for each expert: of two, scikit-learn keeps the second's, and none of who has no row."""
    found, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        found, intercept = np.concatenate([-found, found]), np.concatenate([-intercept, intercept])
    weights, bias = np.zeros((experts, BUCKETS)), np.full(experts, intercept.min())
    weights[model.classes_], bias[model.classes_] = found, intercept
    return weights, bias


def fit_trust(
    lexicon: Lexicon, texts: Sequence[str], logits: Sequence[Sequence[float]], labels: Sequence[int]
) -> tuple[float, tuple[float, float]]:
    """Fits the temperature and the lexicon's weight together, for the least negative log-likelihood.

    Few rows can say little: a prior of the weight of one row keeps what is found near to where it began.

    Args:
        lexicon: As it was learned.
        texts: Requests that neither the lexicon nor the adapter has learned from.
        logits: What the engine scores for each, in token order.
        labels: The place of the right expert of each.

    Returns:
        The temperature, and the lexicon's `trust`.
    """
    said = [lexicon.likely(text) for text in texts]
    likely = np.array([each for each, _ in said])
    words = np.log(np.array([count for _, count in said]) + 3.0)
    start = np.array([0.0, *UNTRIED])
    scored, right = np.asarray(logits), (np.arange(len(labels)), np.asarray(labels))

    def loss(point: NDArray[np.float64]) -> float:
        weight = np.exp(point[1] + point[2] * words)[:, None]
        rows = (scored + weight * likely) / np.exp(point[0])
        rows = rows - rows.max(1, keepdims=True)
        prior = 0.5 * np.square(point - start).sum() / len(labels)
        return float((np.log(np.exp(rows).sum(1)) - rows[right]).mean() + prior)

    best = cast(Any, minimize(loss, start, method="Nelder-Mead", bounds=BOUNDS, options={"maxiter": 600})).x
    return float(np.exp(best[0])), (float(best[1]), float(best[2]))


def write_lexicon(folder: Path, lexicon: Lexicon) -> None:
    """Writes a lexicon into a router folder.

    Raises:
        TrainingError: If it cannot be written.
    """
    kept = {
        "table": lexicon.table,
        "scale": lexicon.scale,
        "bias": lexicon.bias,
        "rarity": lexicon.rarity,
        "trust": np.array(lexicon.trust, np.float32),
    }
    fresh = folder / f".{LEXICON}"
    with disk_errors("The lexicon"):
        fresh.write_bytes(save(kept))
        fresh.replace(folder / LEXICON)
