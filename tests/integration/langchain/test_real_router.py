"""The shipped router in front of ChatOpenAI on a loopback server: chat model, agent, branch, tool."""

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from octopus_graph.errors import ConfigurationError, InputError
from octopus_graph.router import OctopusRouter
from octopus_graph_integrations import ChatOctopus, OctopusMiddleware

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]  # it loads the router

MATH = "What is the derivative of x^3?"
LAW = "Can my landlord keep my deposit?"


@pytest.fixture(scope="module")
def router() -> OctopusRouter:
    return OctopusRouter.from_pretrained()


@pytest.fixture
def experts(chat_server: Any) -> dict[str, Any]:
    chat_server.requests.clear()
    return {
        name: ChatOpenAI(model=f"{name}-1", base_url=chat_server.url, api_key=SecretStr("none"), stream_usage=True)
        for name in ("math", "law", "general")
    }


def test_conversations_go_to_the_servers_models_the_router_knows_best(
    router: OctopusRouter, experts: Any, chat_server: Any
) -> None:
    octopus = ChatOctopus(router=router, experts=experts)
    first = octopus.invoke(MATH)
    octopus.invoke([HumanMessage(MATH), first, HumanMessage("And of x^4?")])
    list(octopus.stream(LAW))
    assert [request["model"] for request in chat_server.requests] == ["math-1", "math-1", "law-1"]


def test_an_agent_runs_its_tools_with_the_model_and_the_tools_the_router_chose(
    router: OctopusRouter, experts: Any, chat_server: Any
) -> None:
    @tool
    def derivative_of(expression: str) -> str:
        """Differentiates."""
        return "3x^2"

    @tool
    def find_cases(topic: str) -> str:
        """Finds cases."""
        return "none"

    middleware = OctopusMiddleware(router, models=experts, tools={"math": [derivative_of], "law": [find_cases]})
    agent = create_agent(experts["general"], [derivative_of, find_cases], middleware=[middleware])
    state: Any = agent.invoke({"messages": [HumanMessage(MATH)]})
    assert [message.text for message in state["messages"] if isinstance(message, ToolMessage)] == ["3x^2"]
    assert [request["model"] for request in chat_server.requests] == ["math-1", "math-1"]
    assert [[known["function"]["name"] for known in request["tools"]] for request in chat_server.requests] == [
        ["derivative_of"]
    ] * 2


def test_the_embedded_experts_say_at_once_what_they_cannot_do(router: OctopusRouter) -> None:
    octopus = ChatOctopus.from_spec(router=router)
    with pytest.raises(ConfigurationError, match=r"No expert can call tools: physics \(LocalChat\)"):
        octopus.bind_tools([])
    with pytest.raises(ConfigurationError, match="No expert can answer in a schema"):
        octopus.with_structured_output({"title": "Root", "type": "object", "properties": {}})
    image: Any = {"type": "image", "base64": "aGk=", "mime_type": "image/png"}
    with pytest.raises(InputError, match="image content, which no expert"):
        octopus.invoke([HumanMessage([{"type": "text", "text": MATH}, image])])


def test_a_branch_of_plain_functions(router: OctopusRouter) -> None:
    branch = OctopusRouter.from_runnables({"math": lambda _: "calculus", "law": lambda _: "tenancy"}, router=router)
    assert branch.batch([MATH, LAW]) == ["calculus", "tenancy"]
