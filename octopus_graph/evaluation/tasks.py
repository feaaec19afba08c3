"""The tasks by name: what `octopus-graph evaluate` runs, and on which cases where it is given none."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from octopus_graph.evaluation.answers import OUTCOMES, Outcome, measure_answers, small
from octopus_graph.evaluation.calibration import measure_calibration
from octopus_graph.evaluation.cases import Case, by_source, evenly, own_sets, read_cases
from octopus_graph.evaluation.contenders import Contender, Embed, Knn, Remembered, Router, SemanticRouter, Svm, examples
from octopus_graph.evaluation.fewshot import Ask, measure_few_shot
from octopus_graph.evaluation.paths import PathFigures, measure_paths
from octopus_graph.evaluation.rewrites import measure_rewrites
from octopus_graph.evaluation.robustness import measure_robustness
from octopus_graph.evaluation.routing import Standing, measure_routing
from octopus_graph.evaluation.speed import measure_speed
from octopus_graph.router import OctopusRouter
from octopus_graph.training.data import held_out
from octopus_graph.training.heldout import temperature_half
from octopus_graph.training.mixture import Rows

__all__ = [
    "QUICK",
    "TASKS",
    "THOROUGH",
    "Evaluation",
    "Limits",
    "files_cases",
    "fitted_on",
    "held_out_cases",
    "own_cases",
    "thinned",
]

RISKS = (0.01, 0.02, 0.05, 0.1, 0.2)
NO_SINGLE = "no case has one expert and stands alone"
# Of other styles a rewrite leaves things out on purpose, such as what was pasted in front.
REPHRASED = ("", "terse", "chatty", "typo", "nonnative", "formal")


@dataclass(frozen=True)
class Limits:
    """How many cases a task takes at most, evenly: two slow cores read some 1,000 tokens a second.

    Attributes:
        held_out: Of each source that training held out; `None` for all.
        walked: Paths of each source: three decisions each, one by one.
        rewrites: Of all sources together: a rewrite takes a second.
        retyped: Of all sources together: each is decided five times more.
        timed: Of all sources together.
    """

    held_out: int | None
    walked: int
    rewrites: int
    retyped: int
    timed: int


QUICK = Limits(held_out=300, walked=150, rewrites=200, retyped=200, timed=50)
"""Keeps all tasks together within some twelve minutes."""
THOROUGH = Limits(held_out=None, walked=1000, rewrites=2000, retyped=1000, timed=100)
"""Of one task by itself."""


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
        embed: The sentence encoder, where there is one.
        say: Hears what goes on, a line at a time.
        outcomes: Recorded answers of models, for the task `answers`.
        ask: Asks an expert of a graph, for the task `answers`; `None` for recorded outcomes alone.
        semantic_router: The Python of an environment that has semantic-router, for that baseline.
    """

    router: OctopusRouter
    cases: Sequence[Case]
    learned: Rows | None
    unseen_paragraphs: Sequence[str]
    embed: Embed | None
    say: Callable[[str], None]
    outcomes: Sequence[Outcome] = ()
    ask: Ask | None = None
    semantic_router: Path | None = None
    max_error: float = 0.05
    fitted: Collection[str] = ()
    limits: Limits = QUICK
    left_out: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])

    def run(self, tasks: Sequence[str]) -> dict[str, Any]:
        """Measures, and returns the figures as plain JSON values."""
        figures: dict[str, Any] = {
            "router": self.router.revision,
            "experts": list(self.router.experts),
            "thinned_out": {source: list(counts) for source, counts in self.left_out.items()},
        }
        for task in tasks:
            self.say(f"{task} …")
            figures[task] = TASKS[task](self)
        return figures

    @cached_property
    def contenders(self) -> list[Contender]:
        """The router and its baselines."""
        found: list[Contender] = [Router(self.router)]
        if self.learned:
            texts, experts = examples(self.learned)
            found.append(Svm(texts, experts))
            if self.embed:
                embed = Remembered(self.embed)
                found.append(Knn(texts, experts, embed))
                if self.semantic_router:
                    found.append(SemanticRouter(texts, experts, embed, self.semantic_router))
        return found

    @cached_property
    def single(self) -> list[Case]:
        """The cases of one expert that stand alone."""
        return [case for case in self.cases if case.expert and not case.hops and not case.previous]

    @cached_property
    def standings(self) -> dict[str, Standing]:
        """What each contender scores on single requests."""
        return {
            contender.name: measure_routing(contender, self.cases, self.router.experts) for contender in self.contenders
        }

    @cached_property
    def walked(self) -> dict[str, PathFigures]:
        """What paths score, by source."""
        several = by_source([case for case in self.cases if case.hops])
        return {
            source: measure_paths(self.router, evenly(part, self.limits.walked)) for source, part in several.items()
        }

    def routing(self) -> dict[str, Any]:
        """One request, one expert."""
        if not self.single:
            return _skipped(NO_SINGLE)
        return {"contenders": {name: asdict(standing) for name, standing in self.standings.items()}}

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
            source: asdict(measure_rewrites(self.router, evenly(group, most), self.embed))
            for source, group in groups.items()
        }

    def calibration(self) -> dict[str, Any]:
        """Confidence, and what the router's own thresholds bring on a hop and on a whole path."""
        if not self.single and not self.walked:
            return _skipped("no case has an expert or hops")
        guesses = self.contenders[0].guess([case.request for case in self.single])
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
        requests = [case.request for case in evenly(self.single, self.limits.retyped)]
        pairs = [(case.request, case.rewrite) for case in self.single if case.rewrite and case.style in REPHRASED]
        return {
            contender.name: {
                way: asdict(kept)
                for way, kept in measure_robustness(
                    contender, requests, self.unseen_paragraphs, evenly(pairs, self.limits.retyped)
                ).items()
            }
            for contender in self.contenders
        }

    def answers(self) -> dict[str, Any]:
        """The right expert asked: by recorded outcomes of models, and by what the graph's own experts answer."""

        def decide(questions: Sequence[str]) -> list[str | None]:
            return [guess.expert for guess in self.contenders[0].guess(questions)]

        figures: dict[str, Any] = {}
        if self.outcomes:
            learned = [row for row in self.outcomes if not held_out(row.question)]
            unseen = [row for row in self.outcomes if held_out(row.question)]
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
        return asdict(measure_speed(self.router, [case.request for case in evenly(self.single, self.limits.timed)]))


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


def thinned(cases: Sequence[Case], most: int | None) -> tuple[list[Case], dict[str, tuple[int, int]]]:
    """Leaves at most so many cases of each source, evenly taken, and says where it left some out, and how many."""
    groups = {source: (group, evenly(group, most or len(group))) for source, group in by_source(cases).items()}
    return (
        [case for _, kept in groups.values() for case in kept],
        {source: (len(kept), len(group)) for source, (group, kept) in groups.items() if len(kept) < len(group)},
    )


def held_out_cases(unseen: Rows) -> list[Case]:
    """Returns as cases what training kept out of the rows it draws from."""
    cases = [
        Case(
            request=row.request,
            expert=row.expert,
            previous=row.previous,
            source="own follow-ups" if row.previous else "own",
            style=row.style,
            rewrite=row.rewrite or "",
            answer=row.answer,
        )
        for row in unseen.requests
    ]
    cases += [Case(request=row.question, expert=row.expert, source="mmlu") for row in unseen.questions]
    cases += [
        Case(request=f"{row.question}\n{row.choices}", expert=row.expert, source="mmlu with choices")
        for row in unseen.questions
        if row.choices
    ]
    cases += [Case(request=row.request, hops=row.hops, source="own paths", style=row.style) for row in unseen.paths]
    cases += [Case(request=row.request, source="unroutable", style=row.style) for row in unseen.unroutable]
    return cases


def fitted_on(unseen: Rows) -> frozenset[str]:
    """Returns the requests, kept out of training, on which the temperature of the project's router was fitted."""
    texts = {row.request for row in unseen.requests if temperature_half(row.request)}
    asked = [row for row in unseen.questions if temperature_half(row.question)]
    return frozenset(texts | {row.question for row in asked} | {f"{row.question}\n{row.choices}" for row in asked})


def own_cases(experts: Sequence[str]) -> list[Case]:
    """Returns the project's validation and test sets: written by other hands, and never trained on."""
    return [case for path in own_sets() for case in read_cases(path, experts)]


def files_cases(files: Sequence[Path], experts: Sequence[str], *, choices: bool) -> list[Case]:
    """Returns the cases of some files."""
    return [case for path in files for case in read_cases(path, experts, choices=choices)]
