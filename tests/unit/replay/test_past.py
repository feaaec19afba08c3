from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command
from typing_extensions import TypedDict

from octopus_graph.errors import ExpertError
from octopus_graph.experts import Expert
from octopus_graph.graph import create_octopus_graph
from octopus_graph.replay import Past, read_past
from octopus_graph.state import OctopusContext
from octopus_graph.testing import EchoExpert, Pick, scripted_router

NAMES = ("math", "history", "law", "general")
SCRIPT = {
    "unsure": Pick("law", confidence=0.3),
    "both": ["math", Pick("history", confidence=0.8)],
    "contract": Pick("law", confidence=0.9),
}
THREAD: Any = {"configurable": {"thread_id": "t"}}


@pytest.fixture
def saver() -> InMemorySaver:
    return InMemorySaver()


def octopus(saver: Any, *experts: Expert, fallback: str | None = None) -> Any:
    made = {expert.name: expert for expert in experts}
    members = [made.get(name, EchoExpert(name)) for name in NAMES]
    builder: Any = create_octopus_graph(members, scripted_router(SCRIPT), fallback=fallback)
    return builder.compile(checkpointer=saver)


def say(graph: Any, text: str, config: Any = THREAD, **context: Any) -> Any:
    return graph.invoke({"messages": [("user", text)]}, config, context=OctopusContext(**context))


def told(past: Past) -> list[tuple[tuple[str, ...], float | None]]:
    return [(step.experts, step.confidence and round(step.confidence, 2)) for step in past.steps]


def test_turns_are_read_with_their_decisions_answers_and_what_was_said_before(saver: Any) -> None:
    graph = octopus(saver)
    say(graph, "a contract")
    say(graph, "both of them")

    first, second = read_past(saver, "t") or []
    assert (first.request, first.finished, first.messages) == ("a contract", True, ())
    assert told(first) == [(("law",), 0.9), ((), 0.99)]
    assert told(second) == [(("math",), 0.99), (("history",), 0.8), ((), 0.99)]
    assert second.steps[1].answers == {"history": "[history] both of them"}
    assert second.messages[0].text == "a contract"
    assert second.path == ("math", "history")
    assert first.at is not None
    assert second.at is not None
    assert first.at < second.at


def test_a_run_without_a_last_decision_just_ends(saver: Any) -> None:
    say(octopus(saver), "both of them", max_hops=2)

    (past,) = read_past(saver, "t") or []
    assert told(past) == [(("math",), 0.99), (("history",), 0.8)]
    assert past.finished


def test_experts_asked_at_the_same_time_are_one_step(saver: Any) -> None:
    say(octopus(saver), "unsure", when_unsure="fan_out", min_confidence=0.5)

    (past,) = read_past(saver, "t") or []
    assert [step.experts[0] for step in past.steps] == ["law"]
    assert len(past.steps[0].experts) == 2
    assert set(past.steps[0].answers) == set(past.steps[0].experts)


def test_a_request_nobody_was_asked_is_an_end(saver: Any) -> None:
    say(octopus(saver), "unsure", min_confidence=0.5)

    (past,) = read_past(saver, "t") or []
    assert (told(past), past.path, past.finished) == ([((), 0.3)], (), True)


def test_a_run_cut_short_is_read_as_far_as_it_came(saver: Any) -> None:
    def fails(_: str) -> str:
        raise ConnectionError("gone")

    with pytest.raises(ExpertError):
        say(octopus(saver, Expert("history", "Fails", fails)), "both of them")

    (past,) = read_past(saver, "t") or []
    assert told(past) == [(("math",), 0.99), (("history",), 0.8)]
    assert (past.finished, past.steps[1].answers) == (False, {})


def test_a_run_that_still_asks_its_human_has_decided_nothing(saver: Any) -> None:
    graph = octopus(saver)
    say(graph, "a contract")
    context = OctopusContext(when_unsure="ask", min_confidence=0.5)
    say(graph, "unsure", when_unsure="ask", min_confidence=0.5)
    assert [past.request for past in read_past(saver, "t") or []] == ["a contract"]

    graph.invoke(Command(resume="for a landlord"), THREAD, context=context)
    *_, asked = read_past(saver, "t") or []
    assert asked.request == "unsure\nfor a landlord"


def test_after_pruning_messages_tell_what_they_know(saver: Any) -> None:
    graph = octopus(saver)
    say(graph, "a contract")
    say(graph, "both of them")
    whole = read_past(saver, "t") or []
    newest = next(saver.list(THREAD, limit=1))
    kept = InMemorySaver()
    kept.put({"configurable": {"thread_id": "t", "checkpoint_ns": ""}}, newest.checkpoint, newest.metadata,
             newest.checkpoint["channel_versions"])  # fmt: skip

    first, second = read_past(kept, "t") or []
    assert (first.request, told(first), first.at) == ("a contract", [(("law",), None)], None)
    assert first.steps[0].answers == {"law": "[law] a contract"}
    assert second == whole[1]


def test_each_branch_of_a_thread_counts(saver: Any) -> None:
    graph = octopus(saver)
    say(graph, "a contract")
    end = graph.get_state(THREAD).config
    say(graph, "both of them")
    say(graph, "a contract again", end)

    assert [past.request for past in read_past(saver, "t") or []] == ["a contract", "both of them", "a contract again"]


class Other(TypedDict):
    said: str


def test_the_thread_of_another_graph_is_none_of_ours(saver: Any) -> None:
    builder: Any = StateGraph(Other)
    builder.add_node("say", lambda _: {"said": "hello"})
    builder.add_edge(START, "say")
    builder.compile(checkpointer=saver).invoke({"said": ""}, THREAD)

    assert read_past(saver, "t") is None


def test_a_thread_that_is_not_there_has_no_past(saver: Any) -> None:
    assert read_past(saver, "nobody") == []
