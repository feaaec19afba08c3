"""Feeds: who hears what, and what is left of a client that leaves."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from octopus_graph.persistence.journal import Event
from octopus_graph_server.langgraph_api import feeds
from octopus_graph_server.langgraph_api.feeds import Feed, Stream, line_of, of_modes
from octopus_graph_server.langgraph_api.listening import number_of
from octopus_graph_server.problems import UnprocessableError


async def heard(feed: Feed, after: int = 0) -> list[int]:
    return [event.number async for event in feed.listen(after) if event is not None]


async def test_all_listeners_hear_all_events_whenever_they_come() -> None:
    feed = Feed("run", None)
    early = asyncio.create_task(heard(feed))
    await feed.say("a", 1)
    middle = asyncio.create_task(heard(feed, 1))
    await asyncio.sleep(0)
    for number in range(2, 50):
        await feed.say("b", number)
    feed.end()
    assert await early == await heard(feed) == list(range(1, 50))
    assert await middle == list(range(2, 50))
    assert await heard(feed, 1000) == []


async def test_silence_is_broken_by_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "HEARTBEAT", 0.01)
    feed = Feed("run", None)
    listening = feed.listen()
    assert await anext(listening) is None
    await feed.say("a", 1)
    event = await anext(listening)
    assert event is not None
    assert line_of(event) == b"event: a\nid: 1\ndata: 1\n\n"
    assert line_of(None).startswith(b":")
    await listening.aclose()


async def test_what_is_said_is_in_the_journal_before_it_is_heard() -> None:
    order: list[str] = []

    class Journal:
        async def append(self, run: str, events: list[Event]) -> None:
            await asyncio.sleep(0.01)
            order.append("written")

    feed = Feed("run", Journal())  # type: ignore[arg-type]
    listening = asyncio.create_task(anext(feed.listen()))
    listening.add_done_callback(lambda _: order.append("heard"))
    await feed.say("a", 1)
    await listening
    assert order == ["written", "heard"]


def test_modes_choose_events() -> None:
    assert of_modes("values|below:1", ["values"])
    assert not of_modes("updates", ["values"])
    assert of_modes("messages", ["messages-tuple"])
    assert not of_modes("messages", ["messages"])
    assert of_modes("messages/partial", ["messages"])
    assert all(of_modes(name, ["values"]) for name in ("metadata", "error", "end"))
    assert of_modes("anything", [])


@pytest.mark.parametrize(("text", "number"), [(None, 0), ("", 0), ("-1", 0), ("0", 0), ("17", 17), ("a-run:3", 3)])
def test_the_last_event_is_read(text: str | None, number: int) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize("text", ["x", "1.5", "--1", "\u0663", "9" * 50, "-"])
def test_what_is_no_event_is_refused(text: str) -> None:
    with pytest.raises(UnprocessableError, match="Last-Event-ID"):
        number_of(text)


async def test_a_client_that_leaves_is_noticed_at_once_and_leaves_nothing_behind() -> None:
    left, closed, gone = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def lines() -> AsyncGenerator[bytes]:
        try:
            yield b"one"
            await asyncio.Event().wait()  # silent for ever
        finally:
            closed.set()

    async def receive() -> Any:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message.get("body") == b"one":
            left.set()

    async def leave() -> None:
        gone.set()

    before = asyncio.all_tasks()
    await asyncio.wait_for(Stream(lines(), headers={}, on_leave=leave)({"type": "http"}, receive, send), 5)
    assert closed.is_set()
    assert gone.is_set()
    assert asyncio.all_tasks() == before


async def test_a_client_that_stays_to_the_end_has_not_left() -> None:
    async def lines() -> AsyncGenerator[bytes]:
        yield b"one"

    async def receive() -> Any:
        await asyncio.Event().wait()

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def leave() -> None:
        raise AssertionError("it has not left")

    await Stream(lines(), headers={"location": "/x"}, on_leave=leave)({"type": "http"}, receive, send)
    assert b"".join(one.get("body", b"") for one in sent) == b"one"
    assert (b"location", b"/x") in sent[0]["headers"]
