"""The tasks by name: what `octopus-graph evaluate` runs. What an earlier run has kept is taken from there."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from octopus_graph.evaluation.answers import OUTCOMES, Outcome, measure_answers, small
from octopus_graph.evaluation.calibration import measure_calibration
from octopus_graph.evaluation.cases import Case, by_source, evenly
from octopus_graph.evaluation.contenders import Contender, Knn, Router, SemanticRouter, Svm, examples
from octopus_graph.evaluation.fewshot import Ask, measure_few_shot
from octopus_graph.evaluation.kept import Journal, Kept, digest, measuring_code
from octopus_graph.evaluation.paths import PathFigures, measure_paths
from octopus_graph.evaluation.rewrites import measure_rewrites
from octopus_graph.evaluation.robustness import measure_robustness
from octopus_graph.evaluation.routing import measure_routing
from octopus_graph.evaluation.samples import QUICK, Limits
from octopus_graph.evaluation.speed import measure_speed
from octopus_graph.evaluation.vectors import Embed
from octopus_graph.router import OctopusRouter
from octopus_graph.training.data import held_out
from octopus_graph.training.mixture import Rows

__all__ = ["TASKS", "Evaluation"]

Row = TypeVar("Row")
RISKS = (0.01, 0.02, 0.05, 0.1, 0.2)
NO_SINGLE = "no case has one expert and stands alone"
# Of other styles a rewrite leaves things out on purpose, such as what was pasted in front.
REPHRASED = ("", "terse", "chatty", "typo", "nonnative", "formal")


@dataclass(frozen=True)
class Evaluation:
    """One run over some tasks; what several of them need is made once.

    Attributes:
        router: What is measured.
        cases: What it is measured on.
        learned: The rows baselines learn from; `None` for no baselines.
        unseen_paragraphs: For pasting in front of requests.
        max_error: The share of wrong answers whose threshold the task `calibration` breaks down by source.
        fitted: Requests among the cases that the router's temperature was fitted on.
        limits: How many cases tasks take.
        left_out: For each source that was thinned out (cases used, cases there were).
        embed: The sentence encoder, where there is one; it should remember what it has embedded.
        say: Hears what goes on, a line at a time.
        outcomes: Recorded answers of models, for the task `answers`.
        ask: Asks an expert of a graph, for the task `answers`; `None` for recorded outcomes alone.
        graph: Names that graph by its content: another one's answers are measured anew.
        semantic_router: The Python of an environment that has semantic-router, for that baseline.
        out: The folder in which it is kept what was measured and decided; `None` keeps nothing.
        fresh: Forget what an earlier run has kept there.
    """

    router: OctopusRouter
    cases: Sequence[Case]
    learned: Rows | None
    unseen_paragraphs: Sequence[str]
    embed: Embed | None
    say: Callable[[str], None]
    outcomes: Sequence[Outcome] = ()
    ask: Ask | None = None
    graph: str = ""
    semantic_router: Path | None = None
    max_error: float = 0.05
    fitted: Collection[str] = ()
    limits: Limits = QUICK
    left_out: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    out: Path | None = None
    fresh: bool = False

    def run(self, tasks: Sequence[str]) -> dict[str, Any]:
        """Measures, and returns the figures as plain JSON values."""
        figures = self.heading()
        for task in tasks:
            figures |= self.measure(task, figures["measured"])
        return figures

    def heading(self) -> dict[str, Any]:
        """Returns what figures are of, before there are any."""
        return {"router": self.router.revision, "experts": list(self.router.experts), "measured": {}}

    def measure(self, task: str, measured: dict[str, Any]) -> dict[str, Any]:
        """Measures one task, or finds what an earlier run has measured.

        Args:
            task: Its name.
            measured: Takes a note of when that was, how many seconds it took, and which sources were sampled.

        Returns:
            The figures by the task's name.
        """
        found = self._kept.figures(task) if self._kept else None
        if found:
            self.say(
                f"{task}: measured {found['at']}, with the same router, cases and limits; --fresh measures it again."
            )
        else:
            self.say(f"{task} …")
            started = time.monotonic()
            self._sampled.clear()
            figures = TASKS[task](self)
            found = {
                "at": datetime.now(UTC).isoformat(sep=" ", timespec="minutes"),
                "seconds": round(time.monotonic() - started, 1),
                "sampled": dict(self._sampled),
                "figures": figures,
            }
            if self._kept:
                self._kept.keep(task, found)
        measured[task] = {key: value for key, value in found.items() if key != "figures"}
        return {task: found["figures"]}

    @cached_property
    def fingerprint(self) -> str:
        """Names everything that figures depend on."""
        rows = self.learned
        return digest(
            [version("octopus-graph"), measuring_code()],
            [self.router.revision, list(self.router.experts)],
            self.router.calibration and self.router.calibration.model_dump(),
            [case.model_dump() for case in self.cases],
            rows and [[row.model_dump() for row in part] for part in (rows.requests, rows.questions)],
            [outcome.model_dump() for outcome in self.outcomes],
            [list(self.unseen_paragraphs), sorted(self.fitted), self.max_error, asdict(self.limits), self.graph],
            [bool(self.embed), bool(self.semantic_router), bool(self.ask)],
        )

    @cached_property
    def _kept(self) -> Kept | None:
        if self.out is None:
            return None
        return Kept(self.out, self.router.revision, self.fingerprint, fresh=self.fresh)

    @cached_property
    def _journal(self) -> Journal:
        return self._kept.journal if self._kept else Journal()

    def _taken(self, name: str, rows: Sequence[Row], most: int | None) -> Sequence[Row]:
        """Takes a sample evenly, and notes of how many."""
        kept = evenly(rows, len(rows) if most is None else most)
        _, there = self.left_out.get(name, (0, len(rows)))
        if len(kept) < there:
            self._sampled[name] = (len(kept), there)
        return kept

    @cached_property
    def _sampled(self) -> dict[str, tuple[int, int]]:
        """Of the task that is measured now, by source: (rows taken, rows there were)."""
        return {}

    @cached_property
    def octopus(self) -> Router:
        """The router, with a memory."""
        return Router(self.router, self._journal, self.say)

    @cached_property
    def contenders(self) -> list[Contender]:
        """The router and its baselines."""
        found: list[Contender] = [self.octopus]
        if self.learned:
            texts, experts = examples(self.learned)
            found.append(Svm(texts, experts))
            if self.embed:
                found.append(Knn(texts, experts, self.embed))
                if self.semantic_router:
                    found.append(SemanticRouter(texts, experts, self.embed, self.semantic_router))
        return found

    @cached_property
    def single(self) -> list[Case]:
        """The cases of one expert that stand alone."""
        return [case for case in self.cases if case.expert and not case.hops and not case.previous]

    @cached_property
    def walked(self) -> dict[str, PathFigures]:
        """What paths score, by source."""
        return {
            source: measure_paths(self.router, cases, journal=self._journal)
            for source, cases in self._to_walk().items()
        }

    def _to_walk(self) -> dict[str, Sequence[Case]]:
        several = by_source([case for case in self.cases if case.hops])
        return {source: self._taken(source, cases, self.limits.walked) for source, cases in several.items()}

    def routing(self) -> dict[str, Any]:
        """One request, one expert."""
        if not self.single:
            return _skipped(NO_SINGLE)
        for source, cases in by_source([case for case in self.cases if not case.hops]).items():
            self._taken(source, cases, None)
        standings = {each.name: measure_routing(each, self.cases, self.router.experts) for each in self.contenders}
        return {"contenders": {name: asdict(standing) for name, standing in standings.items()}}

    def paths(self) -> dict[str, Any]:
        """Several experts, in order."""
        if not self.walked:
            return _skipped("no case has hops")
        return {
            source: {key: value for key, value in asdict(figures).items() if key != "walked"}
            for source, figures in self.walked.items()
        }

    def rewrite(self) -> dict[str, Any]:
        """What is sent in the place of what was typed."""
        groups = by_source([case for case in self.cases if case.path])
        if not groups:
            return _skipped("no case has an expert or hops")
        most = max(1, self.limits.rewrites // len(groups))
        return {
            source: asdict(measure_rewrites(self.router, self._taken(source, group, most), self.embed))
            for source, group in groups.items()
        }

    def calibration(self) -> dict[str, Any]:
        """Confidence, and what the router's own thresholds bring on a hop and on a whole path."""
        if not self.single and not self.walked:
            return _skipped("no case has an expert or hops")
        for source, cases in by_source(self.single).items():
            self._taken(source, cases, None)
        self._to_walk()
        guesses = self.octopus.guess([case.request for case in self.single])
        outcomes = {
            id(case): (guess.confidence, guess.expert == case.expert)
            for case, guess in zip(self.single, guesses, strict=True)
        }
        return measure_calibration(
            self.router.calibration,
            {source: [outcomes[id(case)] for case in group] for source, group in by_source(self.single).items()},
            {
                source: [(sure, wanted == path) for wanted, path, sure in figures.walked]
                for source, figures in self.walked.items()
            },
            {
                name: [outcomes[id(case)] for case in self.single if (case.request in self.fitted) is seen]
                for name, seen in (("the_temperature_saw_these", True), ("it_did_not_see_these", False))
            },
            max_error=self.max_error,
            bounds=RISKS,
        )

    def robustness(self) -> dict[str, Any]:
        """The same request, typed another way."""
        if not self.single:
            return _skipped(NO_SINGLE)
        most = self.limits.retyped
        requests = [case.request for case in self._taken("requests of one expert", self.single, most)]
        pairs = [(case.request, case.rewrite) for case in self.single if case.rewrite and case.style in REPHRASED]
        pairs = self._taken("paraphrases", pairs, most)
        figures = {
            each.name: measure_robustness(each, requests, self.unseen_paragraphs, pairs) for each in self.contenders
        }
        return {name: {way: asdict(kept) for way, kept in ways.items()} for name, ways in figures.items()}

    def answers(self) -> dict[str, Any]:
        """The right expert asked: by recorded outcomes of models, and by what the graph's own experts answer."""

        def decide(questions: Sequence[str]) -> list[str | None]:
            return [guess.expert for guess in self.octopus.guess(questions)]

        figures: dict[str, Any] = {}
        if self.outcomes:
            learned = [row for row in self.outcomes if not held_out(row.question)]
            unseen = [row for row in self.outcomes if held_out(row.question)]
            unseen = self._taken("questions with recorded outcomes", unseen, self.limits.outcomes)
            models = list(self.outcomes[0].correct)
            for name, pool in (("all_models", models), ("up_to_9b", small(models))):
                if pool and unseen:
                    figures[name] = asdict(measure_answers(decide, learned, unseen, pool))
        else:
            figures["skipped"] = f"--data names no folder with {OUTCOMES}"
        asked = [case for case in self.cases if len(case.answer) == 1]  # the letter of a choice
        if self.ask and asked:
            figures["five_shot"] = asdict(measure_few_shot(decide, self.ask, asked))
        elif self.ask:
            figures["five_shot_skipped"] = "no case has choices and an `answer`: MMLU here has none, so give a FILE"
        return figures

    def speed(self) -> dict[str, Any]:
        """What a decision costs."""
        if not self.single:
            return _skipped(NO_SINGLE)
        cases = self._taken("requests of one expert", self.single, self.limits.timed)
        return asdict(measure_speed(self.router, [case.request for case in cases]))


def _skipped(why: str) -> dict[str, Any]:
    return {"skipped": why}


TASKS: dict[str, Callable[[Evaluation], dict[str, Any]]] = {
    "routing": Evaluation.routing,
    "paths": Evaluation.paths,
    "rewrite": Evaluation.rewrite,
    "calibration": Evaluation.calibration,
    "robustness": Evaluation.robustness,
    "answers": Evaluation.answers,
    "speed": Evaluation.speed,
}
