"""What the router is measured beside: each learns from the same rows in the same run.

svm     a linear support vector machine over TF-IDF of words and pairs of words
minilm  the 20 nearest neighbours among embeddings by all-MiniLM-L6-v2
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportUnknownParameterType=false
# scikit-learn ships no types.

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from octopus_graph.router import OctopusRouter
from octopus_graph.training.mixture import Rows

__all__ = ["Contender", "Embed", "Guess", "Knn", "Router", "Svm", "examples"]

Embed = Callable[[Sequence[str]], Any]
"""Texts in, an array of shape (texts, dimensions) out."""

NEIGHBOURS = 20


@dataclass(frozen=True)
class Guess:
    """An expert and how sure one is of it."""

    expert: str
    confidence: float


class Contender(Protocol):
    """Whoever names an expert for a request."""

    @property
    def name(self) -> str:
        """What the report calls it."""
        ...

    def guess(self, requests: Sequence[str]) -> list[Guess]:
        """Names the expert of each request."""
        ...


def examples(rows: Rows) -> tuple[list[str], list[str]]:
    """Returns the texts a baseline learns from, and their experts: what the router learned from, one part each."""
    pairs = [(row.request, row.expert) for row in rows.requests if not row.previous]
    pairs += [(row.question, row.expert) for row in rows.questions]
    pairs += [(f"{row.question}\n{row.choices}", row.expert) for row in rows.questions if row.choices]
    return [text for text, _ in pairs], [expert for _, expert in pairs]


class Router:
    """The router itself."""

    name = "octopus"

    def __init__(self, router: OctopusRouter) -> None:
        """Takes it as it is."""
        self._router = router

    def guess(self, requests: Sequence[str]) -> list[Guess]:
        """Names the expert of each request."""
        return [Guess(each.expert or "", each.confidence) for each in self._router.decide_many(requests)]


class Svm:
    """TF-IDF and a linear SVM, whose softmax of margins is its confidence."""

    name = "svm"

    def __init__(self, texts: Sequence[str], experts: Sequence[str]) -> None:
        """Learns from texts and their experts."""
        words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
        self._model: Any = make_pipeline(words, LinearSVC(C=0.5)).fit(list(texts), list(experts))

    def guess(self, requests: Sequence[str]) -> list[Guess]:
        """Names the expert of each request."""
        margins = np.asarray(self._model.decision_function(list(requests)))
        if margins.ndim == 1:  # of two classes there is one margin, that of the second
            margins = np.stack([-margins, margins], axis=1)
        odds = np.exp(margins - margins.max(axis=1, keepdims=True))
        return _likeliest(odds / odds.sum(axis=1, keepdims=True), self._model.classes_)


class Knn:
    """The nearest neighbours in a space of embeddings; the share of their votes is its confidence."""

    name = "minilm"

    def __init__(self, texts: Sequence[str], experts: Sequence[str], embed: Embed) -> None:
        """Remembers texts and their experts."""
        self._embed = embed
        count = min(NEIGHBOURS, len(texts))
        model = KNeighborsClassifier(n_neighbors=count, metric="cosine", weights="distance")
        self._model: Any = model.fit(embed(texts), list(experts))

    def guess(self, requests: Sequence[str]) -> list[Guess]:
        """Names the expert of each request."""
        return _likeliest(np.asarray(self._model.predict_proba(self._embed(requests))), self._model.classes_)


def _likeliest(shares: Any, classes: Sequence[str]) -> list[Guess]:
    best = shares.argmax(axis=1)
    return [Guess(str(classes[place]), float(row[place])) for place, row in zip(best, shares, strict=True)]
