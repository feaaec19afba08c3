"""The official MCP client against /mcp: both generations of the protocol."""

from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from talking import SECRET, Talking

pytestmark = [pytest.mark.integration, pytest.mark.parametrize("mode", ["auto", "legacy"])]


async def test_the_graph_and_its_experts_are_tools(url: str, talking: Talking, mode: str) -> None:
    async with Client(f"{url}/mcp", mode=mode) as client:
        tools = (await client.list_tools()).tools
    assert [tool.name for tool in tools] == ["octopus", *(expert.name for expert in talking.experts)]
    assert tools[3].description == "Knows law"
    assert tools[3].input_schema["required"] == ["query"]


async def test_a_call_is_routed_with_progress_and_a_structured_decision(url: str, mode: str) -> None:
    steps: list[tuple[float, str | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        steps.append((progress, message))

    async with Client(f"{url}/mcp", mode=mode) as client:
        result = await client.call_tool("octopus", {"query": "a mathematician"}, progress_callback=note)
    said: Any = result.structured_content
    text: Any = result.content[0]
    assert not result.is_error
    assert text.text == said["answer"]
    assert said["answer"].startswith("## Math\n\n[math] a mathematician\n\n## History\n\n[history] ")
    assert (said["expert"], said["confidence"], said["path"]) == ("math", pytest.approx(0.99), ["math", "history"])
    assert steps == [(0, "math is asked"), (1, "math has answered"), (2, "history has answered")]


async def test_an_expert_is_asked_directly(url: str, mode: str) -> None:
    async with Client(f"{url}/mcp", mode=mode) as client:
        result = await client.call_tool("law", {"query": "the derivative"})
    said: Any = result.structured_content
    assert (said["answer"], said["path"], said["confidence"]) == ("[law] the derivative", ["law"], None)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"query": "broken"}, "did not answer"),
        ({"query": "  "}, "empty"),
        ({"query": 7}, "as query"),
        ({}, "as query"),
        ({"query": "x", "more": 1}, "as query"),
        ({"query": "x" * 200_001}, "shorten"),
    ],
)
async def test_what_goes_wrong_is_a_result_a_model_can_read(
    url: str, mode: str, arguments: dict[str, Any], says: str
) -> None:
    async with Client(f"{url}/mcp", mode=mode) as client:
        result = await client.call_tool("octopus", arguments)
    text: Any = result.content[0]
    assert result.is_error
    assert says in text.text
    assert SECRET not in text.text


async def test_a_tool_that_is_not_there_is_an_error_of_the_protocol(url: str, mode: str) -> None:
    async with Client(f"{url}/mcp", mode=mode) as client:
        with pytest.raises(MCPError, match="no tool 'nobody'"):
            await client.call_tool("nobody", {"query": "hello"})
