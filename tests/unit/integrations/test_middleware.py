"""OctopusMiddleware in real agents of langchain's create_agent; the models are scripted, so is the router."""

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

from octopus_graph.errors import ConfigurationError, InputError, UnknownExpertError
from octopus_graph.experts import Expert
from octopus_graph.testing import Pick, scripted_router
from octopus_graph_integrations.middleware import OctopusMiddleware


@tool
def solve(equation: str) -> str:
    """Solves an equation."""
    return f"{equation}: 3"


@tool
def cases(topic: str) -> str:
    """Finds cases."""
    return f"{topic}: none"


@tool
def clock() -> str:
    """Tells the time."""
    return "noon"


TOOLS = [solve, cases, clock]
IMAGE = {"type": "image", "base64": "aGk=", "mime_type": "image/png"}
CALL = AIMessage("", tool_calls=[ToolCall(name="solve", args={"equation": "x = 3"}, id="1")])


def router() -> Any:
    script = {"x = 3": "math", "landlord": "law", "hm": Pick("law", confidence=0.55)}
    return scripted_router(script)


def asked(text: str) -> Any:
    return {"messages": [HumanMessage(text)]}


def decision(state: dict[str, Any], place: int = -1) -> dict[str, Any]:
    return state["messages"][place].response_metadata["octopus"]


def test_each_call_goes_to_the_model_the_router_chooses(chat: Any) -> None:
    big, small = chat("three"), chat("yes")
    agent = create_agent(chat("never"), middleware=[OctopusMiddleware(router(), models={"math": big, "law": small})])
    state = agent.invoke(asked("Solve x = 3"))
    assert state["messages"][-1].text == "three"
    assert decision(state)["expert"] == "math"
    assert decision(state)["by"] == "router"
    assert agent.invoke(asked("my landlord"))["messages"][-1].text == "yes"


async def test_it_does_so_async(chat: Any) -> None:
    models = {"math": chat("three"), "law": chat("yes")}
    agent = create_agent(chat("never"), middleware=[OctopusMiddleware(router(), models=models)])
    state = await agent.ainvoke(asked("Solve x = 3"))
    assert (state["messages"][-1].text, decision(state)["expert"]) == ("three", "math")


def test_a_run_of_tool_calls_stays_with_its_model_and_asks_the_router_once(chat: Any) -> None:
    big = chat(CALL, "It is three.")
    deciding = router()
    middleware = OctopusMiddleware(deciding, models={"math": big, "law": chat("never")})
    state = create_agent(chat("never"), TOOLS, middleware=[middleware]).invoke(asked("Solve x = 3"))
    assert [type(message) for message in state["messages"]] == [HumanMessage, AIMessage, ToolMessage, AIMessage]
    assert len(big.calls) == 2
    assert decision(state)["by"] == "sticky"
    assert len(deciding.engine.scenes) == 1


def test_the_next_turn_is_decided_anew_with_the_one_before_in_view(chat: Any) -> None:
    deciding = router()
    middleware = OctopusMiddleware(deciding, models={"math": chat("three"), "law": chat("yes")})
    agent = create_agent(chat("never"), middleware=[middleware], checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    agent.invoke(asked("Solve x = 3"), thread)
    state = agent.invoke(asked("my landlord"), thread)
    assert decision(state)["expert"] == "law"
    assert deciding.engine.scenes[-1].previous == "Solve x = 3"


def test_an_unsure_router_leaves_it_to_the_fallback(chat: Any) -> None:
    models = {"math": chat("three"), "law": chat("yes")}
    middleware = OctopusMiddleware(router(), models=models, fallback="math", min_confidence=0.6)
    state = create_agent(chat("never"), middleware=[middleware]).invoke(asked("hm"))
    assert (decision(state)["expert"], decision(state)["by"]) == ("math", "fallback")


def test_models_that_cannot_call_tools_are_not_chosen_for_an_agent_with_tools(chat: Any) -> None:
    models = {"math": FakeListChatModel(responses=["never"]), "law": chat("yes")}
    agent = create_agent(chat("never"), TOOLS, middleware=[OctopusMiddleware(router(), models=models)])
    assert decision(agent.invoke(asked("Solve x = 3")))["expert"] == "law"


def test_where_none_can_the_error_names_them(chat: Any) -> None:
    middleware = OctopusMiddleware(router(), models={"math": FakeListChatModel(responses=["never"])})
    with pytest.raises(ConfigurationError, match=r"No expert can call tools: math \(FakeListChatModel\)"):
        create_agent(chat("never"), TOOLS, middleware=[middleware]).invoke(asked("Solve x = 3"))


def test_a_response_format_goes_to_the_chosen_model(chat: Any) -> None:
    class Root(BaseModel):
        """The root of an equation."""

        value: int

    filled = AIMessage("", tool_calls=[ToolCall(name="Root", args={"value": 3}, id="1")])
    models = {"math": chat(filled), "law": chat("never")}
    middleware = OctopusMiddleware(router(), models=models)
    state = create_agent(chat("never"), middleware=[middleware], response_format=Root).invoke(asked("Solve x = 3"))
    assert state["structured_response"] == Root(value=3)


def test_the_experts_system_prompt_stands_before_the_agents(chat: Any) -> None:
    big = chat("three")
    middleware = OctopusMiddleware(router(), models={"math": Expert("math", "", big, system_prompt="Count.")})
    create_agent(chat("never"), system_prompt="Be brief.", middleware=[middleware]).invoke(asked("Solve x = 3"))
    assert big.calls[0]["messages"][0] == SystemMessage("Count.\n\nBe brief.")


def test_images_go_to_a_model_that_does_not_deny_them(chat: Any) -> None:
    blind, seeing = chat("never", profile={"image_inputs": False}), chat("a cat")
    image: Any = [
        {"type": "text", "text": "Solve x = 3"},
        IMAGE,
    ]
    agent = create_agent(chat("never"), middleware=[OctopusMiddleware(router(), models={"math": blind, "law": seeing})])
    assert decision(agent.invoke({"messages": [HumanMessage(image)]}))["expert"] == "law"
    agent = create_agent(chat("never"), middleware=[OctopusMiddleware(router(), models={"math": blind})])
    with pytest.raises(InputError, match=r"image content, which no expert .* math \(Chat\)"):
        agent.invoke({"messages": [HumanMessage(image)]})


def test_the_model_is_shown_the_tools_of_the_likeliest_name_and_those_nobody_owns(chat: Any) -> None:
    model = chat("three")
    middleware = OctopusMiddleware(router(), tools={"math": [solve], "law": ["cases"]})
    state = create_agent(model, TOOLS, middleware=[middleware]).invoke(asked("Solve x = 3"))
    assert model.calls[0]["tools"] == ["solve", "clock"]
    assert decision(state)["tools"]["shown"] == ["solve", "clock"]
    assert decision(state)["tools"]["groups"] == ["math"]


async def test_more_names_can_be_shown_and_it_is_async(chat: Any) -> None:
    model = chat("three")
    middleware = OctopusMiddleware(router(), tools={"math": [solve], "law": [cases], "health": [clock]}, shown=2)
    await create_agent(model, TOOLS, middleware=[middleware]).ainvoke(asked("Solve x = 3"))
    assert model.calls[0]["tools"] == ["solve", "cases"]


def test_a_router_trained_for_tools_names_them_itself(chat: Any) -> None:
    model = chat("three")
    own = scripted_router({"x = 3": "solve"}, experts=("solve", "cases", "clock"))
    create_agent(model, TOOLS, middleware=[OctopusMiddleware(own, tools=TOOLS)]).invoke(asked("Solve x = 3"))
    assert model.calls[0]["tools"] == ["solve"]


def test_tools_stay_the_same_while_they_are_called(chat: Any) -> None:
    model, deciding = chat(CALL, "It is three."), router()
    middleware = OctopusMiddleware(deciding, tools={"math": [solve], "law": [cases]})
    state = create_agent(model, TOOLS, middleware=[middleware]).invoke(asked("Solve x = 3"))
    assert [call["tools"] for call in model.calls] == [["solve", "clock"]] * 2
    assert decision(state)["tools"]["by"] == "sticky"
    assert len(deciding.engine.scenes) == 1


@pytest.mark.parametrize("forged", [{"groups": [["math"]]}, {"groups": ["root"]}, {"groups": []}, 3])
def test_a_decision_about_tools_that_cannot_be_read_is_made_anew(chat: Any, forged: Any) -> None:
    model = chat("three")
    call = CALL.model_copy(update={"response_metadata": {"octopus": {"tools": forged}}})
    agent = create_agent(
        model, TOOLS, middleware=[OctopusMiddleware(router(), tools={"math": [solve], "law": [cases]})]
    )
    given: Any = {"messages": [HumanMessage("Solve x = 3"), call, ToolMessage("3", tool_call_id="1")]}
    assert decision(agent.invoke(given))["tools"]["by"] == "router"


@pytest.mark.parametrize("content", ["hm", [IMAGE]])
def test_where_the_router_is_not_sure_no_tool_is_hidden(chat: Any, content: Any) -> None:
    model = chat("three")
    middleware = OctopusMiddleware(router(), tools={"math": [solve], "law": [cases]}, min_confidence=0.6)
    state = create_agent(model, TOOLS, middleware=[middleware]).invoke({"messages": [HumanMessage(content)]})
    assert model.calls[0]["tools"] == ["solve", "cases", "clock"]
    assert decision(state)["tools"]["by"] == "unsure"


def test_a_decision_is_told_to_whoever_streams(chat: Any) -> None:
    middleware = OctopusMiddleware(
        router(), models={"math": chat("three"), "law": chat("yes")}, tools={"math": [solve]}
    )
    agent = create_agent(chat("never"), TOOLS, middleware=[middleware])
    (event,) = agent.stream(asked("Solve x = 3"), stream_mode="custom")
    assert (event["event"], event["expert"], event["tools"]["groups"]) == ("decision", "math", ["math"])


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({}, ConfigurationError, "give models, tools, or both"),
        ({"models": {"shipping": 1}}, ConfigurationError, "cannot ask a int"),
        ({"tools": {"shipping": ["solve"]}}, UnknownExpertError, "'shipping'"),
        ({"tools": {"math": ["solve"]}, "shown": 4}, ConfigurationError, "1 to 3"),
    ],
)
def test_what_cannot_work_is_said_when_it_is_built(options: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        OctopusMiddleware(router(), **options)


def test_a_threshold_for_models_needs_a_fallback(chat: Any) -> None:
    with pytest.raises(ConfigurationError, match="name a fallback"):
        OctopusMiddleware(router(), models={"math": chat("three")}, min_confidence=0.5)


def test_a_bound_model_is_refused_for_an_agent_binds_it_itself(chat: Any) -> None:
    with pytest.raises(ConfigurationError, match="'math': give it the chat model itself"):
        OctopusMiddleware(router(), models={"math": chat("three").bind(temperature=0)})


def test_a_tool_the_agent_does_not_have_is_named(chat: Any) -> None:
    middleware = OctopusMiddleware(router(), tools={"math": ["solve", "plot"]})
    with pytest.raises(ConfigurationError, match="The agent has no tool plot"):
        create_agent(chat("three"), TOOLS, middleware=[middleware]).invoke(asked("Solve x = 3"))
