"""What the router is measured beside: each learns from the same rows in the same run.

svm     a linear support vector machine over TF-IDF of words and pairs of words
minilm  the 20 nearest neighbours among embeddings by all-MiniLM-L6-v2
semantic-router  the package of that name over the same embeddings, in a process and an environment of its own
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportUnknownParameterType=false
# scikit-learn ships no types.

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from octopus_graph.codec import Turn
from octopus_graph.errors import ConfigurationError
from octopus_graph.evaluation.cases import Case
from octopus_graph.evaluation.kept import Journal, digest
from octopus_graph.evaluation.vectors import Embed
from octopus_graph.router import OctopusRouter
from octopus_graph.training.mixture import Rows

__all__ = ["Contender", "Guess", "Knn", "Router", "SemanticRouter", "Svm", "examples"]

NEIGHBOURS = 20
CHUNK = 128  # decisions that a run which is killed loses at most


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

    def __init__(
        self, router: OctopusRouter, journal: Journal | None = None, say: Callable[[str], None] = lambda _: None
    ) -> None:
        """Takes it as it is.

        Args:
            router: The router.
            journal: What it has decided before, and where it writes what it decides: several tasks ask the same.
            say: Hears how far it is.
        """
        self._router = router
        self._journal = Journal() if journal is None else journal
        self._say = say

    def guess(self, requests: Sequence[str]) -> list[Guess]:
        """Names the expert of each request, and decides each once."""
        keys = {request: digest("guess", request) for request in requests}
        todo = sorted((request for request in keys if keys[request] not in self._journal), key=len)
        for start in range(0, len(todo), CHUNK):
            if start:
                self._say(f"  decisions: {start:,} of {len(todo):,}")
            some = todo[start : start + CHUNK]
            decided = self._router.decide_many(some)
            self._journal.add(
                (keys[request], [each.expert or "", each.confidence])
                for request, each in zip(some, decided, strict=True)
            )
        return [Guess(*self._journal[keys[request]]) for request in requests]

    def guess_after(self, case: Case) -> Guess:
        """Names the expert of a request that needs the turns before it."""
        key = digest("guess after", case.request, [turn.model_dump() for turn in case.previous])
        if key not in self._journal:
            turns = [Turn(turn.request, self._router.tokens.token(turn.expert)) for turn in case.previous]
            decided = self._router.decide(case.request, previous=turns, rewrite="never")
            self._journal.add([(key, [decided.expert or "", decided.confidence])])
        return Guess(*self._journal[key])


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


class SemanticRouter:
    """The package semantic-router, whose similarity is its confidence."""

    name = "semantic-router"

    def __init__(self, texts: Sequence[str], experts: Sequence[str], embed: Embed, python: Path) -> None:
        """Remembers texts and their experts.

        Args:
            texts: The examples.
            experts: Who they belong to.
            embed: The sentence encoder.
            python: The Python that can import semantic-router.
        """
        self._known: Any = embed(texts)
        self._experts = np.asarray(experts)
        self._embed = embed
        self._python = python

    def guess(self, requests: Sequence[str]) -> list[Guess]:
        """Names the expert of each request.

        Raises:
            ConfigurationError: If the other Python fails.
        """
        with tempfile.TemporaryDirectory() as folder:
            given, wanted = Path(folder, "given.npz"), Path(folder, "wanted.npz")
            np.savez(given, known=self._known, experts=self._experts, asked=self._embed(requests))
            command = [str(self._python), str(Path(__file__).with_name("semantic_router.py")), str(given), str(wanted)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
            if done.returncode:
                reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
                raise ConfigurationError(f"semantic-router cannot be run by {self._python}: {reason}")
            with np.load(wanted, allow_pickle=False) as found:
                return [
                    Guess(str(expert), float(np.clip(score, 0, 1)))
                    for expert, score in zip(found["experts"], found["scores"], strict=True)
                ]


def _likeliest(shares: Any, classes: Sequence[str]) -> list[Guess]:
    best = shares.argmax(axis=1)
    return [Guess(str(classes[place]), float(row[place])) for place, row in zip(best, shares, strict=True)]
