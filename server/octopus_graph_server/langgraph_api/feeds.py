"""What a run says, to whoever listens: events that are numbered, so that nobody hears one twice or not at all.

An event is written to the journal before anybody hears it, where the run has one: whoever was cut off, be it by the
network or by the end of this server, goes on behind the last number heard.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection
from typing import Any

from starlette.background import BackgroundTask
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from octopus_graph.persistence.journal import Event, Journal
from octopus_graph_server.langgraph_api.shapes import dumps

__all__ = ["ALWAYS", "Feed", "Stream", "line_of", "of_modes"]

ALWAYS = frozenset({"metadata", "error", "end"})
HEARTBEAT = 15.0  # seconds of silence, after which proxies and clients begin to think the connection is dead


class Feed:
    """The events of one run that goes on in this process."""

    def __init__(self, run: str, journal: Journal | None) -> None:
        """Begins with nothing said.

        Args:
            run: The run's id.
            journal: Where what is said is kept; `None` for as long as the run goes on only.
        """
        self._run = run
        self._journal = journal
        self._events: list[Event] = []
        self._ended = False
        self._changed = asyncio.Event()

    @property
    def is_kept(self) -> bool:
        """Whether the journal holds all that is said."""
        return self._journal is not None

    async def say(self, name: str, data: Any) -> None:
        """Says something to all who listen, now or later."""
        event = Event(len(self._events) + 1, name, dumps(data))
        if self._journal is not None:
            await self._journal.append(self._run, [event])
        self._events.append(event)
        self._wake()

    def end(self) -> None:
        """Says that nothing more will come."""
        self._ended = True
        self._wake()

    async def listen(self, after: int = 0) -> AsyncGenerator[Event | None]:
        """Gives the events after a number as they come; `None` now and then, when nothing comes for long."""
        while True:
            changed = self._changed
            while after < len(self._events):
                yield self._events[after]
                after += 1
            if self._ended:
                return
            if changed is self._changed:
                try:
                    async with asyncio.timeout(HEARTBEAT):
                        await changed.wait()
                except TimeoutError:
                    yield None

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def line_of(event: Event | None, prefix: str = "") -> bytes:
    """Writes an event; a comment where there is none."""
    if event is None:
        return b": heartbeat\n\n"
    return f"event: {event.name}\nid: {prefix}{event.number}\ndata: ".encode() + event.data + b"\n\n"


def of_modes(name: str, modes: Collection[str]) -> bool:
    """Says whether an event belongs to one of the stream modes; no mode stands for all."""
    if not modes or name in ALWAYS:
        return True
    mode = name.partition("|")[0]
    if mode.startswith("messages"):
        return ("messages-tuple" if mode == "messages" else "messages") in modes
    return mode in modes


class Stream(StreamingResponse):
    """Server-sent events; unlike its parent it notices at once when the client leaves, and says so."""

    def __init__(
        self,
        events: AsyncIterator[bytes],
        *,
        headers: dict[str, str],
        on_leave: Callable[[], Awaitable[None]] | None = None,
        media_type: str = "text/event-stream",
    ) -> None:
        """Takes what to send.

        Args:
            events: What to send.
            headers: Further headers.
            on_leave: Called when the client has left before the end.
            media_type: What it is.
        """
        kept = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(events, headers={**kept, **headers}, media_type=media_type)
        self._on_leave = on_leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends until all is said or the client has left."""
        del scope
        sending = asyncio.ensure_future(self.stream_response(send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            gone = not sending.done() or isinstance(sending.exception(), OSError)
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            close = getattr(self.body_iterator, "aclose", None)
            if close is not None:
                await close()
        if gone and self._on_leave is not None:
            await self._on_leave()
        elif not gone:
            sending.result()
        if isinstance(self.background, BackgroundTask):
            await self.background()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
