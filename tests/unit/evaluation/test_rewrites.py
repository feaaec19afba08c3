"""The task `rewrite`: what is counted as kept, and on which decisions."""

import pytest

from octopus_graph.evaluation.cases import Case
from octopus_graph.evaluation.metrics import Interval, Slice
from octopus_graph.evaluation.rewrites import measure_rewrites
from octopus_graph.testing import Pick, scripted_router
from octopus_graph.training.data import PathHop, Previous

TWO = "the prime after 7, and what do 40 apples cost"


def test_only_the_part_a_rewrite_is_about_counts() -> None:
    router = scripted_router({"": Pick("math", rewrite="What is the prime after 7?")})
    figures = measure_rewrites(router, [Case(request=TWO, expert="math")])
    assert (figures.rewritten.value, figures.kept["number"]) == (1, Slice(1, Interval(1, 1, 1)))


def test_followups_and_hops_are_measured_each() -> None:
    def decide(scene: object) -> Pick:
        if getattr(scene, "previous", None):
            return Pick("math", rewrite="What is the prime after 9?")
        if getattr(scene, "answers", ()):
            return Pick("economics", rewrite="What do 40 apples cost?")
        return Pick("math", rewrite="What is the prime after 7?")

    hops = (
        PathHop(expert="math", query="What is the prime after 7?", answer="It is 11."),
        PathHop(expert="economics", query="What do 40 apples cost?", answer="About a dollar each."),
    )
    cases = [
        Case(request=TWO, hops=hops),
        Case(request="and after 9", expert="math", previous=(Previous(request="the prime after 7", expert="math"),)),
    ]
    figures = measure_rewrites(scripted_router(decide), cases)
    assert figures.rows == 3
    assert figures.kinds == {"hop": (2, 1.0, 1.0), "followup": (1, 1.0, 1.0)}
    assert figures.kept["number"] == Slice(3, Interval(1, 1, 1))


@pytest.mark.parametrize(("rewrite", "share"), [("Is helium the lightest noble gas?", 1.0), ("Which gas is it?", 0.0)])
def test_words_of_the_answer_that_nobody_typed_count(rewrite: str, share: float) -> None:
    router = scripted_router({"": Pick("chemistry", rewrite=rewrite)})
    case = Case(request="lightest noble gas", expert="chemistry", answer="It is helium.")
    assert measure_rewrites(router, [case]).answering == share


def test_without_a_rewrite_there_is_nothing_to_measure() -> None:
    figures = measure_rewrites(scripted_router({"": "math"}), [Case(request=TWO, expert="math")])
    assert (figures.rewritten.value, figures.kept, figures.length, figures.answering) == (0, {}, None, None)
