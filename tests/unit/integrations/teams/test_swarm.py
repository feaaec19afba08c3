"""The swarm without handoff tools: who has the user, and until when."""

from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from langgraph_swarm import SwarmState

from octopus_graph.errors import ConfigurationError, InputError, UnknownExpertError
from octopus_graph.router import OctopusRouter
from octopus_graph.testing import Pick, scripted_router
from octopus_graph_integrations.swarm import create_octopus_swarm

EXPERTS = {"Alice": "math", "Bob": "culture", "Carol": "law"}
THREAD: Any = {"configurable": {"thread_id": "1"}}


@pytest.fixture
def router() -> OctopusRouter:
    return scripted_router(
        {
            "both": [Pick("culture", "Sing of the sea"), Pick("math", "Then add 2 and 3")],
            "add": "math",
            "sea": "culture",
            "unclear": Pick("law", confidence=0.4),
        }
    )


@pytest.fixture
def swarm(agent: Any, router: OctopusRouter) -> Any:
    team = [agent(name) for name in EXPERTS]
    builder = create_octopus_swarm(team, default_active_agent="Alice", router=router, experts=EXPERTS)
    return builder.compile(InMemorySaver())


def say(swarm: Any, text: str, **more: Any) -> Any:
    return swarm.invoke({"messages": [HumanMessage(text)], **more}, THREAD)


def test_the_first_agent_has_the_user_until_the_router_is_sure_of_another(swarm: Any) -> None:
    active = [say(swarm, text)["active_agent"] for text in ("unclear", "the sea!", "unclear", "add 2 and 3", "unclear")]
    assert active == ["Alice", "Bob", "Bob", "Alice", "Alice"]


def test_a_handoff_is_written_where_the_user_changes_agents_and_nowhere_else(swarm: Any) -> None:
    assert [m.type for m in say(swarm, "unclear")["messages"]] == ["human", "ai"]
    state = say(swarm, "the sea!")
    assert [(m.type, m.name) for m in state["messages"][2:]] == [
        ("human", None),
        ("ai", "Alice"),
        ("tool", "transfer_to_bob"),
        ("ai", "Bob"),
    ]
    assert state["messages"][-1].text == "Bob has answered"


def test_a_request_of_two_parts_is_taken_on_by_both_agents_and_the_last_keeps_the_user(swarm: Any) -> None:
    state = say(swarm, "both: sing of the sea, then add 2 and 3")
    assert [hop["expert"] for hop in state["hops"]] == ["Bob", "Alice"]
    said = [message.text for message in state["messages"]]
    assert "Bob has answered" in said
    assert "Alice has answered" in said
    assert state["active_agent"] == "Alice"


def test_the_caller_may_say_who_has_the_user(swarm: Any) -> None:
    assert say(swarm, "unclear", active_agent="Carol")["active_agent"] == "Carol"
    with pytest.raises(InputError, match="There is no agent 'Dave' to be active"):
        say(swarm, "unclear", active_agent="Dave")


async def test_it_answers_in_an_event_loop_too(swarm: Any) -> None:
    state = await swarm.ainvoke({"messages": [HumanMessage("the sea!")]}, THREAD)
    assert state["active_agent"] == "Bob"


def test_langgraph_swarms_own_state_will_do(agent: Any, router: OctopusRouter) -> None:
    team = [agent(name) for name in EXPERTS]
    builder = create_octopus_swarm(
        team, default_active_agent="Alice", router=router, experts=EXPERTS, state_schema=SwarmState
    )
    state = say(builder.compile(InMemorySaver()), "the sea!")
    assert state["active_agent"] == "Bob"
    assert set(state) == {"messages", "active_agent"}


def test_what_cannot_be_built_is_refused(agent: Any, router: OctopusRouter) -> None:
    team = [agent(name) for name in EXPERTS]
    with pytest.raises(UnknownExpertError, match="default_active_agent: there is no expert 'Dave'"):
        create_octopus_swarm(team, default_active_agent="Dave", router=router, experts=EXPERTS)
    with pytest.raises(ConfigurationError, match="has no active_agent"):
        create_octopus_swarm(
            team, default_active_agent="Alice", router=router, experts=EXPERTS, state_schema=MessagesState
        )
    with pytest.raises(ConfigurationError, match="The graph itself has a 'router'"):
        create_octopus_swarm([agent("router")], default_active_agent="router", router=router)
