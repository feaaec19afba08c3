"""as_tool: a graph as one tool of an agent."""

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolCall
from langgraph.checkpoint.memory import InMemorySaver

from octopus_graph import create_octopus_graph
from octopus_graph.errors import ConfigurationError, ExpertError
from octopus_graph.experts import Expert
from octopus_graph.testing import EchoExpert, scripted_router
from octopus_graph_integrations.agent_tool import as_tool

ROUTER = scripted_router({"x^3": "math", "wire": "electrical_engineering"})


def graph(*experts: Expert) -> Any:
    given = experts or (EchoExpert("math"), EchoExpert("electrical_engineering"))
    return create_octopus_graph(given, ROUTER).compile(name="octopus")


async def test_it_takes_a_query_and_gives_the_answers_words() -> None:
    tool = as_tool(graph())
    assert tool.invoke({"query": "x^3?"}) == "[math] x^3?"
    assert await tool.ainvoke({"query": "a wire?"}) == "[electrical_engineering] a wire?"


def test_a_model_sees_a_name_a_sentence_and_one_argument() -> None:
    tool = as_tool(graph())
    assert tool.name == "octopus"
    assert tool.description == "Asks the one of these experts that knows best: math, electrical engineering."
    assert list(tool.args) == ["query"]
    own = as_tool(graph(), name="ask", description="Knows it.")
    assert (own.name, own.description) == ("ask", "Knows it.")


def test_an_agent_with_a_memory_calls_it_twice_and_each_call_is_a_conversation_of_its_own(chat: Any) -> None:
    def call(number: str, query: str) -> AIMessage:
        return AIMessage("", tool_calls=[ToolCall(name="octopus", args={"query": query}, id=number)])

    model = chat(call("1", "x^3?"), call("2", "a wire?"), "Done.")
    agent = create_agent(model, [as_tool(graph())], checkpointer=InMemorySaver())
    request: Any = {"messages": [HumanMessage("x^3 and a wire")]}
    state = agent.invoke(request, {"configurable": {"thread_id": "1"}})
    answers = [message.text for message in state["messages"] if message.type == "tool"]
    assert answers == ["[math] x^3?", "[electrical_engineering] a wire?"]


def test_an_experts_failure_is_the_tools() -> None:
    def fail(query: str) -> str:
        raise OSError(query)

    with pytest.raises(ExpertError, match="'math' did not answer"):
        as_tool(graph(Expert("math", "Fails", fail))).invoke({"query": "x^3?"})


def test_what_cannot_be_a_tool_is_said_when_it_is_made() -> None:
    builder: Any = create_octopus_graph([EchoExpert("math")], ROUTER)
    with pytest.raises(ConfigurationError, match="call its compile"):
        as_tool(builder)
    nothing_known: Any = create_agent
    with pytest.raises(ConfigurationError, match="call its compile"):
        as_tool(nothing_known)
