"""Whatever agents return, the history of their thread is one that every provider accepts, and nothing said is lost."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from octopus_graph.testing import Pick, scripted_router
from octopus_graph_integrations.supervisor import create_octopus_supervisor
from octopus_graph_integrations.swarm import create_octopus_swarm

NAMES = ("physics", "math", "law")
ROWS = tuple(f"the words of {name}" for name in NAMES)


def call(number: int) -> dict[str, Any]:
    return {"name": "look_up", "args": {}, "id": f"call-{number}"}


class Speaker:
    """Says things in one of the shapes that graphs return."""

    def __init__(self, name: str, shape: str, calls: Any) -> None:
        self.name, self.shape, self.calls = name, shape, calls

    def __call__(self, shown: list[AnyMessage]) -> Sequence[Any]:
        words = AIMessage(f"the words of {self.name}")
        first, second = next(self.calls), next(self.calls)
        match self.shape:
            case "plain":
                return [words]
            case "as a user":
                return [HumanMessage(words.text)]
            case "as a dictionary":
                return [{"role": "assistant", "content": words.text}]
            case "after tools":
                used = AIMessage("", tool_calls=[call(first), call(second)])
                return [used, *(ToolMessage("found", tool_call_id=f"call-{n}") for n in (second, first)), words]
            case "tool result":
                return [AIMessage("", tool_calls=[call(first)]), ToolMessage(words.text, tool_call_id=f"call-{first}")]
            case "dangling":
                return [AIMessage("let me see", tool_calls=[call(first)]), words]
            case "half answered":
                used = AIMessage("", tool_calls=[call(first), call(second)])
                return [used, ToolMessage("found", tool_call_id=f"call-{first}"), words]
            case "cut off":
                return [AIMessage(words.text, tool_calls=[call(first)])]
            case _:
                return [ToolMessage("whose?", tool_call_id="call-of-nobody"), words]


SHAPES = (
    "plain",
    "as a user",
    "as a dictionary",
    "after tools",
    "tool result",
    "dangling",
    "half answered",
    "cut off",
    "orphan",
)
shapes = st.tuples(*[st.sampled_from(SHAPES)] * len(NAMES))
turns = st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3), min_size=1, max_size=3)


def router_for(paths: list[list[str]], *, rewrite: bool) -> Any:
    """Makes a router that takes turn i along path i; the requests are worded so that each part can be cut out."""
    parts = {name: f"What does {name} say?" for name in NAMES}
    script = {
        f"turn {i}:": [Pick(name, parts[name] if rewrite else None) for name in path] for i, path in enumerate(paths)
    }
    return scripted_router(script, experts=NAMES)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shapes=shapes,
    paths=turns,
    mode=st.sampled_from(["full_history", "last_message"]),
    handoffs=st.booleans(),
    back=st.sampled_from([None, True, False]),
    together=st.booleans(),
    unsure=st.booleans(),
)
def test_a_supervised_thread_is_valid_after_every_turn_and_for_every_agent(
    agent: Any,
    faults: Callable[[Sequence[AnyMessage]], list[str]],
    shapes: tuple[str, ...],
    paths: list[list[str]],
    mode: Any,
    handoffs: bool,
    back: bool | None,
    together: bool,
    unsure: bool,
) -> None:
    shown: list[list[AnyMessage]] = []
    calls = iter(range(10_000))
    team = [agent(name, Speaker(name, shape, calls), shown) for name, shape in zip(NAMES, shapes, strict=True)]
    graph: Any = create_octopus_supervisor(
        team,
        router=router_for(paths, rewrite=together),
        output_mode=mode,
        add_handoff_messages=handoffs,
        add_handoff_back_messages=back,
        parallel_tool_calls=together,
    ).compile(InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    context = {"min_confidence": 1.0, "when_unsure": "fan_out", "fan_out": 3} if unsure else {}
    for number in range(len(paths)):
        request = f"turn {number}: " + " ".join(f"What does {name} say?" for name in NAMES)
        before = len(graph.get_state(config).values.get("messages", []))
        state = graph.invoke({"messages": [HumanMessage(request)]}, config, context=context)
        assert faults(state["messages"]) == []
        said = [message.text for message in state["messages"][before:]]
        for hop in state["hops"]:
            assert f"the words of {hop['expert']}" in said  # no output is lost
            assert hop["answer"] == f"the words of {hop['expert']}"
        assert all(hop["answer"] in state["messages"][-1].text for hop in state["hops"])
        assert state["hops"]
    for history in shown:
        assert faults(history) == []
        assert isinstance(history[-1], HumanMessage | ToolMessage)  # there is something to answer


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shapes=shapes, paths=turns)
def test_a_swarms_thread_is_valid_too(
    agent: Any,
    faults: Callable[[Sequence[AnyMessage]], list[str]],
    shapes: tuple[str, ...],
    paths: list[list[str]],
) -> None:
    shown: list[list[AnyMessage]] = []
    calls = iter(range(10_000))
    team = [agent(name, Speaker(name, shape, calls), shown) for name, shape in zip(NAMES, shapes, strict=True)]
    graph: Any = create_octopus_swarm(
        team, default_active_agent="law", router=router_for(paths, rewrite=False)
    ).compile(InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    for number in range(len(paths)):
        state = graph.invoke({"messages": [HumanMessage(f"turn {number}: go")]}, config)
        assert state["active_agent"] == state["hops"][-1]["expert"]
        assert faults(state["messages"]) == []
    for history in shown:
        assert faults(history) == []


@pytest.mark.parametrize(
    ("history", "fault"),
    [
        ([HumanMessage("a", id="1"), AIMessage("", tool_calls=[call(1)], id="2")], "never answered"),
        ([HumanMessage("a", id="1"), ToolMessage("b", tool_call_id="call-1", id="2")], "answers no call"),
        ([HumanMessage("a", id="1"), AIMessage("", id="2")], "says nothing"),
        ([HumanMessage("a", id="1"), HumanMessage("b", id="1")], "twice"),
        (
            [
                HumanMessage("a", id="1"),
                AIMessage("", tool_calls=[call(1)], id="2"),
                AIMessage("b", id="3"),
                ToolMessage("c", tool_call_id="call-1", id="4"),
            ],
            "before the calls",
        ),
    ],
)
def test_the_rules_catch_what_providers_refuse(
    faults: Callable[[Sequence[AnyMessage]], list[str]], history: list[AnyMessage], fault: str
) -> None:
    assert any(fault in found for found in faults(history))
