"""The A2A SDK's client against the agent: both bindings, streamed and not."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from a2a.client import A2ACardResolver, Client, ClientConfig, ClientFactory
from a2a.helpers.proto_helpers import get_artifact_text, get_message_text, new_text_message
from a2a.types.a2a_pb2 import (
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    Message,
    Role,
    SendMessageRequest,
    StreamResponse,
    Task,
    TaskState,
)
from a2a.utils.errors import A2AError
from google.protobuf.json_format import MessageToDict
from loopback import serving
from talking import SECRET, Talking

from octopus_graph.state import OctopusContext
from octopus_graph_server import create_app

pytestmark = pytest.mark.integration

BINDINGS = pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])


@asynccontextmanager
async def connected(url: str, binding: str = "JSONRPC", *, streaming: bool = False) -> AsyncGenerator[Client]:
    async with httpx.AsyncClient(timeout=30) as http:
        card = await A2ACardResolver(http, url).get_agent_card()
        config = ClientConfig(httpx_client=http, streaming=streaming, supported_protocol_bindings=[binding])
        yield ClientFactory(config).create(card)


def asking(text: str, **more: Any) -> SendMessageRequest:
    skill = more.pop("skill", None)
    message = new_text_message(text, role=Role.ROLE_USER)
    message.MergeFrom(Message(**more))
    if skill:
        message.metadata.update({"skill": skill})
    return SendMessageRequest(message=message)


async def answered(client: Client, request: SendMessageRequest) -> Task:
    *_, last = [event async for event in client.send_message(request)]
    assert isinstance(last, StreamResponse)
    return last.task


async def test_the_card_has_a_skill_for_each_expert(url: str, talking: Talking) -> None:
    async with httpx.AsyncClient() as http:
        card = await A2ACardResolver(http, url).get_agent_card()
    assert [skill.id for skill in card.skills] == [expert.name for expert in talking.experts]
    assert card.capabilities.streaming
    assert card.supported_interfaces[0].url == f"{url}/a2a"


@BINDINGS
async def test_a_message_is_answered_by_a_task(url: str, binding: str) -> None:
    async with connected(url, binding) as client:
        task = await answered(client, asking("a mathematician"))
        again = await client.get_task(GetTaskRequest(id=task.id))
        listed = await client.list_tasks(ListTasksRequest(context_id=task.context_id))
    assert task.status.state == again.status.state == TaskState.TASK_STATE_COMPLETED
    (artifact,) = task.artifacts
    assert get_artifact_text(artifact).startswith("## Math\n\n[math] a mathematician\n\n## History\n\n[history] ")
    assert [one.id for one in listed.tasks] == [task.id]


@BINDINGS
async def test_a_stream_says_each_word_once_and_ends_with_the_decision(url: str, binding: str) -> None:
    async with connected(url, binding, streaming=True) as client:
        events = [event async for event in client.send_message(asking("the derivative of x"))]
    kinds = [event.WhichOneof("payload") for event in events]
    assert kinds[:2] == ["task", "status_update"]
    words = [get_artifact_text(event.artifact_update.artifact) for event in events if event.HasField("artifact_update")]
    assert len(words) > 2
    assert "".join(words) == "[math] the derivative of x"
    last = events[-1].status_update
    assert last.status.state == TaskState.TASK_STATE_COMPLETED
    told = MessageToDict(last.metadata)["octopus"]
    assert (told["expert"], told["path"]) == ("math", ["math"])


async def test_a_skill_is_asked_directly(url: str) -> None:
    async with connected(url) as client:
        task = await answered(client, asking("the derivative", skill="law"))
        wrong = await answered(client, asking("the derivative", skill="nobody"))
    assert get_artifact_text(task.artifacts[0]) == "[law] the derivative"
    assert wrong.status.state == TaskState.TASK_STATE_FAILED
    assert "no skill 'nobody'" in get_message_text(wrong.status.message)


async def test_a_context_is_a_conversation(url: str, talking: Talking) -> None:
    engine: Any = talking.router.engine
    async with connected(url) as client:
        first = await answered(client, asking("the derivative of x"))
        second = await answered(client, asking("and a contract?", context_id=first.context_id))
    assert get_artifact_text(second.artifacts[0]) == "[law] and a contract?"
    assert any(
        scene.request == "and a contract?" and scene.previous == "the derivative of x" for scene in engine.scenes
    )


async def test_a_failed_expert_is_a_failed_task_that_quotes_nobody(url: str) -> None:
    async with connected(url) as client:
        task = await answered(client, asking("broken"))
    assert task.status.state == TaskState.TASK_STATE_FAILED
    assert "did not answer" in get_message_text(task.status.message)
    assert SECRET not in str(task)


@BINDINGS
async def test_what_is_no_text_is_refused(url: str, binding: str) -> None:
    request = SendMessageRequest(message=Message(role=Role.ROLE_USER, message_id="1"))
    request.message.parts.add().raw = b"picture"
    async with connected(url, binding) as client:
        with pytest.raises(A2AError, match="text"):
            await answered(client, request)


async def test_a_task_that_is_not_there_cannot_be_cancelled(url: str) -> None:
    async with connected(url) as client:
        with pytest.raises(A2AError, match="not found"):
            await client.cancel_task(CancelTaskRequest(id="nobody"))


async def test_a_graph_that_asks_its_human_waits_for_the_next_message() -> None:
    asks = Talking(OctopusContext(when_unsure="ask", min_confidence=0.5))
    with serving(create_app(asks.graph, router=asks.router, experts=asks.experts)) as url:
        async with connected(url) as client:
            task = await answered(client, asking("a whisper"))
            assert task.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
            assert "Is this about law" in get_message_text(task.status.message)
            done = await answered(client, asking("math", task_id=task.id, context_id=task.context_id))
    assert done.id == task.id
    assert done.status.state == TaskState.TASK_STATE_COMPLETED
    assert get_artifact_text(done.artifacts[0]).startswith("[math] ")
