"""What a server keeps outlives it, and where there is a key nobody reads it in Redis: real processes, killed."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from a2a.client import A2ACardResolver, Client, ClientConfig, ClientFactory
from a2a.helpers.proto_helpers import get_artifact_text, get_message_text, new_text_message
from a2a.types.a2a_pb2 import GetTaskRequest, ListTasksRequest, Message, Role, SendMessageRequest, Task, TaskState
from a2a.utils.errors import A2AError
from langgraph_sdk import get_client

from octopus_graph.persistence import EmbeddedServer, StoreError, open_saver
from octopus_graph.persistence.journal import Event, Journal
from octopus_graph.persistence.records import Kind, Records

pytestmark = pytest.mark.integration

KEY = "000102030405060708090a0b0c0d0e0f"
KIND = Kind("thing", ("made",), ("status",))


@pytest.fixture
def valkey(tmp_path: Path) -> Generator[str]:
    """A Valkey of this test's own, with the address of a socket."""
    server = EmbeddedServer(tmp_path / "valkey")
    server.acquire()
    yield server.url
    server.release()


@asynccontextmanager
async def agent(url: str, *, streaming: bool = False) -> AsyncGenerator[Client]:
    async with httpx.AsyncClient(timeout=60) as http:
        card = await A2ACardResolver(http, url).get_agent_card()
        yield ClientFactory(ClientConfig(httpx_client=http, streaming=streaming)).create(card)


def asking(text: str, **more: Any) -> SendMessageRequest:
    message = new_text_message(text, role=Role.ROLE_USER)
    message.MergeFrom(Message(**more))
    return SendMessageRequest(message=message)


async def answered(client: Client, request: SendMessageRequest) -> Task:
    *_, last = [event async for event in client.send_message(request)]
    return last.task


def kill(server: Any) -> None:
    server.process.send_signal(signal.SIGKILL)
    server.ended()


async def test_tasks_outlive_the_server_that_made_them(start: Callable[..., Any], valkey: str) -> None:
    first = start("--redis", valkey, "--ask")
    async with agent(first.url) as client:
        done = await answered(client, asking("the derivative of x"))
        asked = await answered(client, asking("a whisper"))
        assert asked.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
        begun = client.send_message(asking("stuck for long"))
        hanging = asyncio.ensure_future(anext(begun))
        working = await until(lambda: _working(client))
        kill(first)
        with pytest.raises(Exception, match=r"(?i)disconnect|connection|network"):
            await hanging
    second = start("--redis", valkey, "--ask")
    async with agent(second.url) as client:
        again = await client.get_task(GetTaskRequest(id=done.id))
        assert again.status.state == TaskState.TASK_STATE_COMPLETED
        assert get_artifact_text(again.artifacts[0]) == get_artifact_text(done.artifacts[0])
        listed = await client.list_tasks(ListTasksRequest(context_id=done.context_id))
        assert [one.id for one in listed.tasks] == [done.id]
        resumed = await answered(client, asking("law", task_id=asked.id, context_id=asked.context_id))
        assert (resumed.id, resumed.status.state) == (asked.id, TaskState.TASK_STATE_COMPLETED)
        assert get_artifact_text(resumed.artifacts[0]).endswith("a whisper")
        follow = await answered(client, asking("and a contract?", context_id=done.context_id))
        assert follow.status.state == TaskState.TASK_STATE_COMPLETED
        lost = await until(lambda: _failed(client, working))  # the dead server's last sign of life has to end
        assert "is gone" in get_message_text(lost.status.message)
        with pytest.raises(A2AError):
            await client.get_task(GetTaskRequest(id="nobody"))


async def _working(client: Client) -> str | None:
    listed = await client.list_tasks(ListTasksRequest(status=TaskState.TASK_STATE_WORKING))
    return listed.tasks[0].id if listed.tasks else None


async def _failed(client: Client, task: str) -> Task | None:
    found = await client.get_task(GetTaskRequest(id=task))
    return found if found.status.state == TaskState.TASK_STATE_FAILED else None


async def until(look: Callable[[], Awaitable[Any]]) -> Any:
    """Looks until there is something to be seen."""
    async with asyncio.timeout(60):
        while not (found := await look()):  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.1)
    return found


# ---------------------------------------------------------------- encrypted

WORD = "xylophone"


def dumped(url: str) -> list[bytes]:
    """Gives every key and all that lies under it, whatever its type."""
    found: list[Any] = []
    with redis.Redis.from_url(url) as connected:
        client: Any = connected
        for key in client.scan_iter(count=1000):
            found.append(key)
            match client.type(key):
                case b"string":
                    found.append(client.get(key))
                case b"hash":
                    found += [part for pair in client.hgetall(key).items() for part in pair]
                case b"zset":
                    found += client.zrange(key, 0, -1)
                case b"list":
                    found += client.lrange(key, 0, -1)
                case b"stream":
                    found += [part for _, pairs in client.xrange(key) for pair in pairs.items() for part in pair]
                case other:
                    pytest.fail(f"{other!r} is not looked through")
    return found


@pytest.mark.parametrize("key", [KEY, None])
async def test_no_word_of_a_request_stands_in_redis_where_there_is_a_key(
    start: Callable[..., Any], valkey: str, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    if key:
        monkeypatch.setenv("OCTOPUS_AES_KEY", key)
    server = start("--redis", valkey, "--cached", "--set", "webhook_secret=a secret of the tests")
    said: Any = {"messages": [{"role": "user", "content": f"the derivative of a {WORD}"}]}
    async with get_client(url=server.url, api_key=None) as client:
        thread = await client.threads.create(metadata={"about": WORD})
        await client.runs.wait(thread["thread_id"], "octopus", input=said, metadata={"about": WORD})
        run = await client.runs.create(thread["thread_id"], "octopus", input=said)
        await client.runs.join(thread["thread_id"], run["run_id"])
        replayed = [one async for one in client.runs.join_stream(thread["thread_id"], run["run_id"])]
        assert WORD in str(replayed)
        assert (await client.runs.get(thread["thread_id"], run["run_id"]))["status"] == "success"
        assert [one["thread_id"] for one in await client.threads.search(metadata={"about": WORD})] == [
            thread["thread_id"]
        ]
        assert await client.threads.search(metadata={"about": "else"}) == []
        assistant = await client.assistants.create("octopus", metadata={"about": WORD}, name=WORD)
        assert (await client.assistants.get(assistant["assistant_id"]))["name"] == WORD
        await client.store.put_item(["notes"], "first", {"text": WORD})
        assert (await client.store.get_item(["notes"], "first"))["value"] == {"text": WORD}
    async with agent(server.url) as speaker:
        assert WORD in get_artifact_text((await answered(speaker, asking(f"the derivative of a {WORD}"))).artifacts[0])
    async with httpx.AsyncClient(timeout=60) as http:
        kept = await http.post(
            f"{server.url}/v1/responses", json={"model": "octopus", "input": f"a derivative, {WORD}", "store": True}
        )
        assert kept.status_code == 200
    found = dumped(valkey)
    assert len(found) > 50
    assert any(one.startswith(b"octopus:cache:") for one in found), "the cache was in use"
    told = [one for one in found if WORD.encode() in one]
    assert told == [] if key else len(told) > 10, told[:3]


async def test_what_was_plain_is_read_with_a_key_and_what_is_sealed_by_no_other(valkey: str) -> None:
    one, two = {"id": "a", "made": 1.0, "status": "new", "metadata": {"x": 1}}, [Event(1, "values", b'{"a":1}')]
    async with open_saver(valkey) as plain, open_saver(valkey, key=bytes.fromhex(KEY)) as sealed:
        before = Records(plain.link, "p", KIND, plain.serde)
        after = Records(sealed.link, "p", KIND, sealed.serde)
        await before.add("a", one)
        await after.add("b", {**one, "id": "b"})
        assert await after.get("a") == one
        assert {found["id"] for found in await after.find({"metadata": {"x": 1}}, by="made")} == {"a", "b"}
        assert await after.count({"metadata": {"x": 1}}) == 2
        with pytest.raises(StoreError, match="is encrypted"):
            await before.get("b")
        await Journal(plain.link, "p").append("r", two)
        journal = Journal(sealed.link, "p", serde=sealed.serde)
        await journal.append("r", [Event(2, "values", b"null")])
        assert await journal.read("r") == [*two, Event(2, "values", b"null")]
    async with open_saver(valkey, key=b"k" * 16) as other:
        with pytest.raises(StoreError, match="another key"):
            await Records(other.link, "p", KIND, other.serde).get("b")
