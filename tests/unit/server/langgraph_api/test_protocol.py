"""Messages as content blocks, and namespaces as filters."""

from typing import Any

import pytest

from octopus_graph_server.langgraph_api.blocks import Blocks
from octopus_graph_server.langgraph_api.protocol import Filter


def chunk(content: Any = "", **fields: Any) -> dict[str, Any]:
    return {"type": "AIMessageChunk", "id": "m", "content": content, **fields}


def said(*chunks: dict[str, Any]) -> list[dict[str, Any]]:
    blocks = Blocks()
    events = [event for one in chunks for event in blocks.of((), "node", one)]
    return events + [event for _, _, event in blocks.close(())]


def test_text_grows_and_ends() -> None:
    events = said(chunk("a"), chunk("b"), chunk("", chunk_position="last", usage_metadata={"total_tokens": 3}))
    assert [event["event"] for event in events] == [
        "message-start",
        "content-block-start",
        "content-block-delta",
        "content-block-delta",
        "content-block-finish",
        "message-finish",
    ]
    assert events[-2]["content"] == {"type": "text", "text": "ab"}
    assert events[-1]["usage"] == {"total_tokens": 3}


def test_reasoning_text_and_tool_calls_never_interleave() -> None:
    call = {"index": 1, "id": "c", "name": "add", "args": '{"a":'}
    events = said(
        chunk([{"type": "reasoning", "reasoning": "hm", "index": 0}]),
        chunk([{"type": "text", "text": "so", "index": 1}]),
        chunk(tool_call_chunks=[call]),
        chunk(tool_call_chunks=[{"index": 1, "id": None, "name": None, "args": " 1}"}]),
    )
    finished = [event["content"] for event in events if event["event"] == "content-block-finish"]
    assert finished == [
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "text", "text": "so"},
        {"type": "tool_call", "id": "c", "name": "add", "args": {"a": 1}},
    ]
    opened: list[int] = []
    for event in events:
        if event["event"] == "content-block-start":
            assert not opened, "a block began before the last one ended"
            opened.append(event["index"])
        elif event["event"] == "content-block-finish":
            assert opened.pop() == event["index"]


def test_arguments_that_are_no_json_are_said_to_be_none() -> None:
    events = said(chunk(tool_call_chunks=[{"index": 0, "id": "c", "name": "add", "args": "{"}]))
    assert events[-2]["content"]["type"] == "invalid_tool_call"


def test_a_message_said_at_once_is_told_once_and_only_the_models() -> None:
    whole = {"type": "ai", "id": "w", "content": "all of it", "tool_calls": []}
    events = said(
        whole, whole, {"type": "tool", "id": "t", "content": "x"}, {"type": "human", "id": "h", "content": "x"}
    )
    assert [event["event"] for event in events].count("message-start") == 1
    assert events[-2]["content"] == {"type": "text", "text": "all of it"}


def test_the_next_message_ends_the_last() -> None:
    events = said(chunk("a"), {**chunk("b"), "id": "n"})
    assert [event["event"] for event in events].count("message-finish") == 2


@pytest.mark.parametrize(
    ("namespace", "namespaces", "depth", "wanted"),
    [
        ([], None, None, True),
        (["a:1", "b:2"], [["a:1"]], None, True),
        (["a:1", "b:2"], [["a"]], None, True),
        (["a:1", "b:2"], [["a:2"]], None, False),
        (["a:1", "b:2"], [[]], 1, False),
        (["a:1"], [[]], 1, True),
        ([], [["a"]], None, False),
    ],
)
def test_namespaces_are_chosen_by_prefix_and_depth(
    namespace: list[str], namespaces: Any, depth: int | None, wanted: bool
) -> None:
    event = {"method": "values", "params": {"namespace": namespace, "data": {}}}
    assert Filter(frozenset({"values"}), namespaces, depth).takes(event) is wanted


def test_custom_events_are_chosen_by_name() -> None:
    event = {"method": "custom", "params": {"namespace": [], "data": {"name": "x", "payload": 1}}}
    assert Filter(frozenset({"custom"})).takes(event)
    assert Filter(frozenset({"custom:x"})).takes(event)
    assert not Filter(frozenset({"custom:y", "values"})).takes(event)
