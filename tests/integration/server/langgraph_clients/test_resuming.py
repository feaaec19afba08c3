"""A stream that is cut, resumed: every event once, in order. And what becomes of runs when their server is killed."""

import asyncio
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError

pytestmark = pytest.mark.integration

Event = tuple[int, str, str]
EVENTS = 400
CUTS = 20


class Reader:
    """Reads server-sent events as far as it is told; what is not whole is thrown away, as clients do."""

    def __init__(self) -> None:
        self.heard: list[Event] = []
        self.ended = False

    async def read(self, client: httpx.AsyncClient, request: httpx.Request, most: int | None) -> httpx.Response:
        """Reads a number of bytes and hangs up."""
        buffer = b""
        count = 0
        response = await client.send(request, stream=True)
        try:
            assert response.status_code == 200, await response.aread()
            async for chunk in response.aiter_raw():
                part = chunk if most is None else chunk[: most - count]
                count += len(part)
                buffer += part
                while b"\n\n" in buffer:
                    block, _, buffer = buffer.partition(b"\n\n")
                    self._hear(block.decode())
                if most is not None and count >= most:
                    break
            else:
                self.ended = True
        finally:
            await response.aclose()
        return response

    def _hear(self, block: str) -> None:
        if block.startswith(":"):
            return
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        self.heard.append((int(fields["id"]), fields["event"], fields["data"]))


async def cut(url: str, body: dict[str, Any], sizes: list[int]) -> tuple[Reader, str, int]:
    """Streams a run, hangs up after each number of bytes, goes on behind the last event heard, and reads to the end."""
    reader = Reader()
    cuts = 0
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        request = client.build_request("POST", "/runs/stream", json=body)
        place = (await reader.read(client, request, sizes[0])).headers["location"]
        for size in [*sizes[1:], None]:
            cuts += not reader.ended
            headers = {"last-event-id": str(reader.heard[-1][0])} if reader.heard else {}
            if not reader.ended:
                await reader.read(client, client.build_request("GET", place, headers=headers), size)
    return reader, place, cuts


def complete(reader: Reader, events: int) -> None:
    ids = [number for number, _, _ in reader.heard]
    assert ids == list(range(1, len(ids) + 1)), "an event was heard twice, not at all, or out of order"
    counted = [data for _, name, data in reader.heard if name == "custom"]
    assert counted == [f'{{"number":{number}}}' for number in range(events)]
    assert reader.heard[0][1] == "metadata"
    assert reader.heard[-1][1] == "end"


@pytest.mark.parametrize("resumable", [True, False], ids=["from the journal", "from memory"])
async def test_a_stream_cut_at_20_random_points_says_every_event_once_and_in_order(
    start_probe: Any, probe: Any, say: Callable[[str], Any], resumable: bool, record_property: Any
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    body = {
        "assistant_id": "octopus",
        "input": say(f"count {EVENTS} times"),
        "context": {"pause": 0.002},
        "stream_mode": ["custom", "values", "messages-tuple"],
        "stream_resumable": resumable,
    }
    sizes = [chance.randint(1, 1500) for _ in range(CUTS)]
    reader, place, cuts = await cut(probe.url, body, sizes)
    sys.stdout.write(f"{cuts} cuts, {len(reader.heard)} events, seed {seed}\n")
    assert cuts == CUTS, f"seed {seed}"
    complete(reader, EVENTS)

    again = Reader()  # a second client, that comes when all is over, hears the same
    async with httpx.AsyncClient(base_url=probe.url) as client:
        await again.read(client, client.build_request("GET", place), None)
    assert again.heard == reader.heard


async def test_the_python_client_goes_on_by_itself_where_it_was_cut(
    client: LangGraphClient, thread: str, say: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("langgraph_sdk._async.http._reconnect_delay", lambda *_, **__: 0.0)
    opened = httpx.AsyncHTTPTransport.handle_async_request
    broken = 0

    async def breaking(self: Any, request: httpx.Request) -> httpx.Response:
        nonlocal broken
        response = await opened(self, request)
        if request.url.path.endswith("/stream") and broken < 5:
            broken += 1
            response.stream = _Broken(response.stream, 3 + broken)
        return response

    class _Broken(httpx.AsyncByteStream):
        def __init__(self, whole: Any, chunks: int) -> None:
            self._whole, self._left = whole, chunks

        async def __aiter__(self) -> Any:
            async for chunk in self._whole:
                if self._left == 0:
                    raise httpx.ReadError("cut")
                self._left -= 1
                yield chunk

        async def aclose(self) -> None:
            await self._whole.aclose()

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", breaking)
    heard = [
        part
        async for part in client.runs.stream(
            thread, "octopus", input=say("count 60"), stream_mode=["custom"], stream_resumable=True
        )
    ]
    assert broken == 5
    assert [part.data["number"] for part in heard if part.event == "custom"] == list(range(60))
    assert [int(part.id or 0) for part in heard] == list(range(1, len(heard) + 1))


@pytest.mark.slow
async def test_what_a_killed_server_left_is_known_to_the_next(
    start_probe: Any, tmp_path: Path, say: Callable[[str], Any]
) -> None:
    first = start_probe(tmp_path)
    async with get_client(url=first.url, api_key=None) as before:
        left = await leave(before, say)
    first.end(signal.SIGKILL)
    second = start_probe(tmp_path)
    async with get_client(url=second.url, api_key=None) as after:
        await find(after, *left)


async def leave(before: LangGraphClient, say: Callable[[str], Any]) -> tuple[Any, ...]:
    mine = await before.assistants.create("octopus", name="mine", metadata={"team": "blue"})
    thread = (await before.threads.create(metadata={"user": "ada"}))["thread_id"]
    await before.runs.wait(thread, "octopus", input=say("ask me"))
    busy = (await before.threads.create())["thread_id"]
    await before.runs.wait(busy, "octopus", input=say("hello"))
    going = await before.runs.create(busy, "octopus", input=say("count 100000"), context={"pause": 0.01})
    waiting = await before.runs.create(busy, "octopus", input=say("next"))
    async with aclosing(cast(Any, before.runs.join_stream(busy, going["run_id"]))) as stream:
        heard = [await anext(stream) for _ in range(2)]
    await before.store.put_item(["notes"], "one", {"text": "kept"})
    return mine, thread, busy, going, waiting, heard


async def find(after: Any, mine: Any, thread: str, busy: str, going: Any, waiting: Any, heard: list[Any]) -> None:
    deadline = time.monotonic() + 30
    while (await after.runs.get(busy, going["run_id"]))["status"] == "running":
        assert time.monotonic() < deadline, "nobody noticed that the server of the run is gone"
    run = await after.runs.get(busy, going["run_id"])
    assert run["status"] == "error"
    assert run["error"]["error"] == "ServerStopped"
    said = [part async for part in after.runs.join_stream(busy, going["run_id"], last_event_id=str(heard[-1].id))]
    assert [int(part.id or 0) for part in said] == list(range(3, 3 + len(said)))
    assert [part.event for part in said][-2:] == ["error", "end"]

    result = await after.runs.join(busy, waiting["run_id"])  # it had not begun: the next server runs it
    assert [message["content"] for message in result["messages"]][-2:] == ["next", "you said: next"]

    assert (await after.assistants.get(mine["assistant_id"]))["metadata"] == {"team": "blue"}
    assert [one["thread_id"] for one in await after.threads.search(metadata={"user": "ada"})] == [thread]
    assert (await after.threads.get(thread))["status"] == "interrupted"
    assert (await after.runs.wait(thread, "octopus", command={"resume": "yes"}))["steps"][-1] == "yes"
    assert (await after.store.get_item(["notes"], "one"))["value"] == {"text": "kept"}


@pytest.mark.slow
async def test_a_server_that_is_told_to_stop_lets_runs_finish_or_says_that_it_could_not(
    start_probe: Any, tmp_path: Path, say: Callable[[str], Any]
) -> None:
    first = start_probe(tmp_path, grace=4.0)
    async with get_client(url=first.url, api_key=None) as before:
        short = await before.threads.create()
        quick = await before.runs.create(short["thread_id"], "octopus", input=say("hi"), context={"pause": 1.0})
        long = await before.threads.create()
        slow = await before.runs.create(long["thread_id"], "octopus", input=say("hi"), context={"pause": 600.0})
        waiting = await before.runs.create(long["thread_id"], "octopus", input=say("next"))
        async with asyncio.timeout(30):
            while True:
                if (await before.threads.get_state(long["thread_id"]))["next"] == ["talk"]:
                    break
                await asyncio.sleep(0.05)
    assert first.end(signal.SIGTERM) == 0
    second = start_probe(tmp_path)
    async with get_client(url=second.url, api_key=None) as after:
        assert (await after.runs.get(short["thread_id"], quick["run_id"]))["status"] == "success"
        run: Any = await after.runs.get(long["thread_id"], slow["run_id"])
        assert (run["status"], run["error"]["error"]) == ("error", "ServerStopped")
        result = await after.runs.join(long["thread_id"], waiting["run_id"])  # it had not begun
        assert result["messages"][-1]["content"] == "you said: next"


@pytest.mark.slow
async def test_two_servers_on_one_store_know_each_others_runs(
    start_probe: Any, tmp_path: Path, say: Callable[[str], Any]
) -> None:
    one, other = start_probe(tmp_path), start_probe(tmp_path)
    async with get_client(url=one.url, api_key=None) as here, get_client(url=other.url, api_key=None) as there:
        thread = (await here.threads.create())["thread_id"]
        run = await here.runs.create(
            thread, "octopus", input=say("count 50"), stream_mode="custom", context={"pause": 0.02}
        )
        with pytest.raises(ConflictError):
            await there.runs.create(thread, "octopus", input=say("no"), multitask_strategy="reject")
        queued = asyncio.create_task(there.runs.wait(thread, "octopus", input=say("after that")))
        heard = [part async for part in there.runs.join_stream(thread, run["run_id"])]
        assert [part.data["number"] for part in heard if part.event == "custom"] == list(range(50))
        assert [int(part.id or 0) for part in heard] == list(range(1, 53))
        result: Any = await queued
        assert [message["content"] for message in result["messages"]][1:3] == ["you said: count 50", "after that"]
        slow = await here.runs.create(thread, "octopus", input=say("slow"), context={"pause": 600.0})
        await there.runs.cancel(thread, slow["run_id"], wait=True)
        assert (await here.runs.get(thread, slow["run_id"]))["status"] == "interrupted"
