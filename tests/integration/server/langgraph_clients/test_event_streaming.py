"""The event streaming of LangChain's newer clients: the Python client, RemoteGraph, and the endpoints themselves."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

pytestmark = pytest.mark.integration

Say = Callable[[str], dict[str, Any]]
ALL = ["values", "updates", "messages", "lifecycle", "input", "custom", "tasks", "checkpoints"]


async def start(client: httpx.AsyncClient, thread: str, given: Any) -> dict[str, Any]:
    params = {"assistant_id": "octopus", "input": given}
    answer = await client.post(f"/threads/{thread}/commands", json={"id": 7, "method": "run.start", "params": params})
    return answer.json()


async def listen(client: httpx.AsyncClient, thread: str, last: str, **wanted: Any) -> list[dict[str, Any]]:
    """Hears events until the run is over."""
    heard: list[dict[str, Any]] = []
    async with client.stream("POST", f"/threads/{thread}/stream/events", json={"channels": ALL, **wanted}) as stream:
        assert stream.status_code == 200
        async for line in stream.aiter_lines():
            if line.startswith("data: "):
                heard.append(json.loads(line.removeprefix("data: ")))
                params = heard[-1]["params"]
                if heard[-1]["method"] == "lifecycle" and not params["namespace"] and params["data"]["event"] == last:
                    return heard
    raise AssertionError("the stream ended")


def of(heard: list[dict[str, Any]], method: str) -> list[Any]:
    return [one["params"]["data"] for one in heard if one["method"] == method]


async def test_the_python_client_hears_words_and_output(client: LangGraphClient, say: Say) -> None:
    async with client.threads.stream(assistant_id="octopus") as thread:

        async def said() -> list[Any]:
            return [message async for message in thread.messages]

        listening = asyncio.create_task(said())
        await thread.run.start(input=say("hello"))
        output = await asyncio.wait_for(thread.output, 30)
        assert output["steps"][-1] == "checked"
        messages = await asyncio.wait_for(listening, 30)
        assert [await message.text for message in messages] == ["you said: hello"]


async def test_the_python_client_answers_an_interrupt(client: LangGraphClient, say: Say) -> None:
    async with client.threads.stream(assistant_id="octopus") as thread:
        await thread.run.start(input=say("ask me"))
        async with asyncio.timeout(30):
            while True:
                if thread.interrupted:
                    break
                await asyncio.sleep(0.02)
        assert thread.interrupts[0]["value"] == {"question": "sure?"}
        await thread.run.respond("yes")
        assert (await asyncio.wait_for(thread.output, 30))["steps"][-1] == "yes"


async def test_a_run_is_told_by_channel_namespace_and_content_block(probe: Any, say: Say) -> None:
    thread = str(uuid4())
    async with httpx.AsyncClient(base_url=probe.url, timeout=30) as client:
        answer = await start(client, thread, say("count 2"))
        assert (answer["type"], answer["id"]) == ("success", 7)
        heard = await listen(client, thread, "completed")
        assert [one["seq"] for one in heard] == sorted({one["seq"] for one in heard})
        assert [one["payload"] for one in of(heard, "custom")] == [{"number": 0}, {"number": 1}]
        words = of(heard, "messages")
        assert [one["event"] for one in words if one["event"] != "content-block-delta"] == [
            "message-start",
            "content-block-start",
            "content-block-finish",
            "message-finish",
        ]
        deltas = [one["delta"]["text"] for one in words if one["event"] == "content-block-delta"]
        assert "".join(deltas) == words[-2]["content"]["text"] == "you said: count 2"
        spaces = {tuple(one["params"]["namespace"]) for one in heard}
        (below,) = (space for space in spaces if space)
        states = [
            (tuple(one["params"]["namespace"]), one["params"]["data"]["event"])
            for one in heard
            if one["method"] == "lifecycle"
        ]
        assert states == [((), "running"), (below, "started"), (below, "completed"), ((), "completed")]
        near = await listen(client, thread, "completed", channels=["values", "lifecycle"], depth=0, namespaces=[[]])
        assert {tuple(one["params"]["namespace"]) for one in near} == {()}
        only = await asyncio.gather(*(listen(client, thread, "completed", since=one["seq"]) for one in heard[3:30:9]))
        assert [one[0]["seq"] for one in only] == [heard[place]["seq"] for place in range(4, 31, 9)]


async def test_the_next_run_is_counted_on_from_the_last(probe: Any, say: Say) -> None:
    thread = str(uuid4())
    async with httpx.AsyncClient(base_url=probe.url, timeout=30) as client:
        await start(client, thread, say("ask me"))
        first = await listen(client, thread, "interrupted")
        (asked,) = of(first, "input.requested")
        assert asked["payload"] == {"question": "sure?"}
        place = next(one["params"]["namespace"] for one in first if one["method"] == "input.requested")
        wrong = {"namespace": place, "interrupt_id": "nothing", "response": "yes"}
        body = {"id": 8, "method": "input.respond", "params": wrong}
        refused = (await client.post(f"/threads/{thread}/commands", json=body)).json()
        assert (refused["type"], refused["id"]) == ("error", 8)
        body["params"] = {**wrong, "interrupt_id": asked["interrupt_id"]}
        assert (await client.post(f"/threads/{thread}/commands", json=body)).json()["type"] == "success"
        second = await listen(client, thread, "completed", since=first[-1]["seq"])
        assert second[0]["seq"] > first[-1]["seq"]
        assert second[0]["params"]["data"]["event"] == "running"
        assert of(second, "values")[-1]["steps"][-1] == "yes"
        got = await client.post(f"/threads/{thread}/commands", json={"id": 9, "method": "state.get", "params": {}})
        assert got.json()["result"]["values"]["steps"][-1] == "yes"


async def test_a_failing_run_ends_as_failed(probe: Any, say: Say) -> None:
    thread = str(uuid4())
    async with httpx.AsyncClient(base_url=probe.url, timeout=30) as client:
        await start(client, thread, say("fail on my secret"))
        heard = await listen(client, thread, "failed")
        assert "secret" not in heard[-1]["params"]["data"]["error"]


async def test_wrong_commands_are_told_what_is_wrong(probe: Any, thread: str) -> None:
    async with httpx.AsyncClient(base_url=probe.url) as client:
        place = f"/threads/{thread}/commands"
        unknown = (await client.post(place, json={"id": 1, "method": "run.stop"})).json()
        assert unknown["error"] == "unknown_command"
        missing = (await client.post(place, json={"id": 2, "method": "run.start", "params": {}})).json()
        assert missing["error"] == "invalid_argument"
        nobody = {"id": 3, "method": "run.start", "params": {"assistant_id": "nobody"}}
        assert (await client.post(place, json=nobody)).json()["error"] == "no_such_run"
        assert (await client.post(place, json={"method": "run.start"})).status_code == 422
        channels = await client.post(f"/threads/{thread}/stream/events", json={"channels": ["everything"]})
        assert channels.status_code == 422
