from datetime import UTC, datetime
from typing import Any

import pytest

from octopus_graph.experts import Expert
from octopus_graph.replay import Again, Past, PastStep, Replayer, figures_of
from octopus_graph.state import OctopusContext
from octopus_graph.testing import EchoExpert, Pick, scripted_router

NAMES = ("math", "history", "law", "general")


def past(*steps: Any, finished: bool = True, request: str = "both of them") -> Past:
    """Steps are expert names, tuples of them, or None for the end."""
    made: list[PastStep] = []
    for step in steps:
        names = () if step is None else (step,) if isinstance(step, str) else step
        made.append(PastStep(names, {name: f"{name} said so" for name in names}, 0.9))
    return Past("t", request, (), tuple(made), finished, datetime(2026, 11, 24, tzinfo=UTC))


def again(script: Any, was: Past, *experts: Expert, **options: Any) -> Again:
    made = {expert.name: expert for expert in experts}
    members = [made.get(name, forbidden(name)) for name in NAMES]
    return Replayer(members, scripted_router(script), **options).again(was)


def forbidden(name: str) -> Expert:
    def fails(query: str) -> str:
        pytest.fail(f"{name} was asked")

    return Expert(name, "Is not asked", fails)


def test_the_same_decisions_are_the_same_path_and_nobody_is_asked() -> None:
    found = again({"both": ["math", "history"]}, past("math", "history", None))

    assert (found.path, found.differs_at, found.cut) == (("math", "history"), None, False)
    assert found.steps[1].answers == {"history": "history said so"}


def test_later_decisions_see_the_recorded_answers() -> None:
    def decide(scene: Any) -> str | None:
        return {0: "math", 1: "history" if scene.answers == ("math said so",) else "law"}.get(len(scene.answers))

    assert again(decide, past("math", "history", None)).path == ("math", "history")


def test_where_the_path_departs_the_rest_is_not_guessed() -> None:
    found = again({"both": ["math", "law", "history"]}, past("math", "history", None))

    assert (found.path, found.differs_at, found.cut, found.error) == (("math", "law"), 1, True, "")


def test_an_earlier_and_a_later_end_are_differences() -> None:
    shorter = again({"both": "math"}, past("math", "history", None))
    assert (shorter.path, shorter.differs_at, shorter.cut) == (("math",), 1, False)
    longer = again({"both": ["math", "history", "law"]}, past("math", "history", None))
    assert (longer.differs_at, longer.cut) == (2, True)


def test_a_path_that_ended_without_a_decision_is_the_same_when_it_ends_now() -> None:
    assert again({"both": ["math", "history"]}, past("math", "history")).differs_at is None
    two = OctopusContext(max_hops=2)
    found = again({"both": ["math", "history", "law"]}, past("math", "history", None), defaults=two)
    assert (found.differs_at, found.cut) == (None, False)


def test_walking_on_asks_the_experts_behind_the_departure() -> None:
    asked: list[str] = []

    def law(query: str) -> str:
        asked.append(query)
        return "it is void"

    found = again({"both": ["math", "law"]}, past("math", "history", None), Expert("law", "Answers", law), walk=True)

    assert (found.path, found.differs_at, found.cut) == (("math", "law"), 1, False)
    assert found.steps[1].answers == {"law": "it is void"}
    assert asked == ["both of them"]


def test_an_expert_that_fails_while_walking_is_an_error_of_that_request() -> None:
    def law(query: str) -> str:
        raise ConnectionError("gone")

    found = again({"both": "law"}, past("math", None), Expert("law", "Fails", law), walk=True)

    assert "ConnectionError: gone" in found.error


def test_a_run_cut_short_agrees_as_far_as_it_came() -> None:
    halfway = Past("t", "both", (), (*past("math").steps, PastStep(("history",), {}, 0.8)), finished=False, at=None)

    same = again({"both": ["math", "history", "law"]}, halfway)
    assert (same.path, same.differs_at, same.cut) == (("math", "history"), None, True)
    assert again({"both": ["math", "law"]}, halfway).differs_at == 1


def test_thresholds_and_the_fallback_are_those_of_the_new_graph() -> None:
    unsure = {"both": Pick("law", confidence=0.3)}
    defaults = OctopusContext(min_confidence=0.5)

    taken = again(unsure, past("law", None), fallback="general", defaults=defaults)
    assert (taken.path, taken.differs_at) == (("general",), 0)
    declined = again(unsure, past(None), defaults=defaults)
    assert (declined.path, declined.differs_at) == ((), None)


def test_fan_outs_are_compared_as_sets() -> None:
    unsure = {"both": {"law": 1.0, "math": 0.9}}
    defaults = OctopusContext(min_confidence=0.9, when_unsure="fan_out")

    assert again(unsure, past(("math", "law")), defaults=defaults).differs_at is None
    assert again(unsure, past(("math", "history")), defaults=defaults).differs_at == 0


def test_a_request_that_cannot_be_used_is_said() -> None:
    found = again({}, past("math", None, request="   "))

    assert found.error.startswith("The request is empty")


def test_the_figures_add_up() -> None:
    replayed = [
        again({"both": ["math", "history"]}, past("math", "history", None)),
        again({"both": ["math", "law"]}, past("math", "history", None)),
        again({"both": Pick("law", confidence=0.5)}, past("math", None)),
        again({}, past("math", None, request=" ")),
    ]

    figures = figures_of(replayed, {"math": 1.0, "history": 2.0, "law": 5.0})
    assert (figures.requests, figures.failed, figures.cut) == (4, 1, 2)
    assert (round(figures.first, 3), round(figures.path, 3), round(figures.changed, 3)) == (0.667, 0.333, 0.667)
    assert figures.cost_was == pytest.approx((3 + 3 + 1) / 3)
    assert figures.cost_now == pytest.approx((3 + 6 + 5) / 3)
    assert figures.confidence_was == pytest.approx(0.9)
    assert figures.confidence_now == pytest.approx((0.99 + 0.99 + 0.5) / 3)


def test_without_prices_there_is_no_cost() -> None:
    replayed = [again({"both": "math"}, past("math", None)), again({"both": "law"}, past("law", None))]

    assert figures_of(replayed).cost_was is None
    assert figures_of(replayed, {"math": 3}).priced == 1
    assert figures_of([]).changed == 0


def test_an_echo_is_an_expert_too() -> None:
    found = again({"both": "law"}, past("math", None), EchoExpert("law", retries=2, fallback="math"), walk=True)

    assert found.steps[0].answers == {"law": "[law] both of them"}
