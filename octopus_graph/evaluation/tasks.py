"""The tasks by name: what `octopus-graph evaluate` runs, and on which cases where it is given none."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from octopus_graph.evaluation.answers import OUTCOMES, Outcome, measure_answers, small
from octopus_graph.evaluation.cases import Case, by_source, read_cases
from octopus_graph.evaluation.contenders import Contender, Embed, Knn, Router, SemanticRouter, Svm, examples
from octopus_graph.evaluation.fewshot import Ask, measure_few_shot
from octopus_graph.evaluation.paths import PathFigures, measure_paths
from octopus_graph.evaluation.rewrites import measure_rewrites
from octopus_graph.evaluation.robustness import measure_robustness
from octopus_graph.evaluation.routing import Standing, measure_routing
from octopus_graph.evaluation.speed import measure_speed
from octopus_graph.risk import bound_risk
from octopus_graph.router import OctopusRouter
from octopus_graph.training.data import OWN_DATA, held_out
from octopus_graph.training.mixture import Rows

__all__ = ["TASKS", "Evaluation", "files_cases", "held_out_cases", "own_cases"]

RISKS = (0.01, 0.02, 0.05, 0.1, 0.2)
MOST_REWRITES = 150  # of each source: a rewrite takes a second
MOST_RETYPED = 400  # each is decided five times more


@dataclass(frozen=True)
class Evaluation:
    """One run over some tasks; what several of them need is made once.

    Attributes:
        router: What is measured.
        cases: What it is measured on.
        learned: The rows baselines learn from; `None` for no baselines.
        unseen_paragraphs: For pasting in front of requests.
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

    def run(self, tasks: Sequence[str]) -> dict[str, Any]:
        """Measures, and returns the figures as plain JSON values."""
        figures: dict[str, Any] = {"router": self.router.revision, "experts": list(self.router.experts)}
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
                found.append(Knn(texts, experts, self.embed))
            if self.embed and self.semantic_router:
                found.append(SemanticRouter(texts, experts, self.embed, self.semantic_router))
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
        return {source: measure_paths(self.router, part) for source, part in several.items()}

    def routing(self) -> dict[str, Any]:
        """One request, one expert."""
        return {"contenders": {name: asdict(standing) for name, standing in self.standings.items()}}

    def paths(self) -> dict[str, Any]:
        """Several experts, in order."""
        return {
            source: {key: value for key, value in asdict(figures).items() if key != "walked"}
            for source, figures in self.walked.items()
        }

    def rewrite(self) -> dict[str, Any]:
        """What is sent in the place of what was typed."""
        return {
            source: asdict(measure_rewrites(self.router, _spread(part, MOST_REWRITES), self.embed))
            for source, part in by_source(self.single).items()
        }

    def calibration(self) -> dict[str, Any]:
        """Confidence, and the thresholds that bound the risk of a hop and of a whole path."""
        guesses = self.contenders[0].guess([case.request for case in self.single])
        sure = [guess.confidence for guess in guesses]
        right = [guess.expert == case.expert for guess, case in zip(guesses, self.single, strict=True)]
        figures: dict[str, Any] = {
            "calibration_error": self.standings["octopus"].calibration_error,
            "one_hop": {f"{risk:.0%}": asdict(bound_risk(sure, right, risk)) for risk in RISKS},
        }
        walked = [each for figures in self.walked.values() for each in figures.walked]
        if walked:
            sure, right = [row[2] for row in walked], [row[0] == row[1] for row in walked]
            figures["whole_path"] = {f"{risk:.0%}": asdict(bound_risk(sure, right, risk)) for risk in RISKS}
        return figures

    def robustness(self) -> dict[str, Any]:
        """The same request, typed another way."""
        requests = [case.request for case in _spread(self.single, MOST_RETYPED)]
        return {
            contender.name: {
                way: asdict(kept)
                for way, kept in measure_robustness(contender, requests, self.unseen_paragraphs).items()
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
                figures[name] = asdict(measure_answers(decide, learned, unseen, pool))
        else:
            figures["skipped"] = f"--data names no folder with {OUTCOMES}"
        asked = [case for case in self.cases if case.answer]
        if self.ask and asked:
            figures["five_shot"] = asdict(measure_few_shot(decide, self.ask, asked))
        return figures

    def speed(self) -> dict[str, Any]:
        """What a decision costs."""
        return asdict(measure_speed(self.router, [case.request for case in self.single][:100]))


TASKS: dict[str, Callable[[Evaluation], dict[str, Any]]] = {
    "routing": Evaluation.routing,
    "paths": Evaluation.paths,
    "rewrite": Evaluation.rewrite,
    "calibration": Evaluation.calibration,
    "robustness": Evaluation.robustness,
    "answers": Evaluation.answers,
    "speed": Evaluation.speed,
}


def _spread(cases: Sequence[Case], most: int) -> Sequence[Case]:
    """Returns at most so many cases, taken evenly from all of them: files are sorted by expert."""
    return cases if len(cases) <= most else [cases[place * len(cases) // most] for place in range(most)]


def held_out_cases(unseen: Rows) -> list[Case]:
    """Returns as cases what training kept out of the rows it draws from."""
    cases = [
        Case(request=row.request, expert=row.expert, previous=row.previous, source="own", style=row.style)
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


def own_cases(experts: Sequence[str]) -> list[Case]:
    """Returns the project's validation sets: written by another hand, and never trained on."""
    return [case for path in sorted((OWN_DATA / "validation").glob("*.jsonl")) for case in read_cases(path, experts)]


def files_cases(files: Sequence[Path], experts: Sequence[str], *, choices: bool) -> list[Case]:
    """Returns the cases of some files."""
    return [case for path in files for case in read_cases(path, experts, choices=choices)]
