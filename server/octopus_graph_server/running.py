"""From messages to an answer, once for every API: an `Ask` in, events out.

Decided   who is asked first; before any word, so that response headers can name the expert
Words     a piece of the answer, each of them once
CallPart  a piece of a tool call that the client is to make
Hopped    an expert has answered
Ended     the whole answer, the path and the usage

walking   the graph answers, hop by hop
holding   one expert holds the conversation: it was named, or has tools to call or a form to keep
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Self, cast
from uuid import uuid4

from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCall

from octopus_graph.options import ModelOptions
from octopus_graph.state import OctopusContext
from octopus_graph_server import logs
from octopus_graph_server.problems import UnavailableError
from octopus_graph_server.service import Service

__all__ = ["Ask", "CallPart", "Decided", "Ended", "Event", "Hopped", "Run", "Stopped", "Words"]


@dataclass(frozen=True)
class Ask:
    """What somebody wants answered.

    Attributes:
        messages: The conversation, the request last; or tool results last.
        expert: Who is asked, whatever the router thinks.
        options: What the experts' models are to be told.
        context: The run's settings.
        words: Whether words are wanted as they come.
        thread: The thread that keeps the conversation, of which `messages` is then the new part; by default nothing is
            kept.
    """

    messages: Sequence[AnyMessage]
    expert: str | None = None
    options: ModelOptions | None = None
    context: OctopusContext = field(default_factory=OctopusContext)
    words: bool = False
    thread: str | None = None

    @property
    def held(self) -> bool:
        """Whether one expert holds the conversation.

        Tools and forms are an affair between the client and one model, and so are pictures, which the graph's hops do
        not carry.
        """
        shaped = self.options is not None and self.options.shape
        last = self.messages[-1] if self.messages else None
        return bool(self.expert or shaped or (last and last.type == "tool") or has_media(self.messages))


def has_media(messages: Sequence[AnyMessage]) -> bool:
    """Says whether the request holds something that is no text."""
    last = next((message for message in reversed(messages) if isinstance(message, HumanMessage)), None)
    content: Any = last.content if last else ""
    parts = cast(list[Any], content if isinstance(content, list) else [])
    return any(isinstance(part, dict) and cast(dict[str, Any], part).get("type") != "text" for part in parts)


@dataclass(frozen=True)
class Decided:
    """Who is asked first.

    Attributes:
        expert: The expert; `None` where nobody is asked.
        confidence: The router's; `None` where nothing was decided.
        cached: Whether it had been decided before.
    """

    expert: str | None
    confidence: float | None = None
    cached: bool = False


@dataclass(frozen=True)
class Words:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True)
class CallPart:
    """A piece of a tool call; id and name come with the first piece of each."""

    index: int
    arguments: str
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class Hopped:
    """An expert has answered."""

    hop: Mapping[str, Any]


@dataclass(frozen=True)
class Ended:
    """The end of a run.

    Attributes:
        answer: All of its words.
        calls: What the client is to call before it asks again.
        hops: The experts asked, and what they answered.
        usage: Tokens, where every model that was asked reported them.
        cut: Whether the answer ends because it reached its limit.
    """

    answer: str
    calls: tuple[ToolCall, ...] = ()
    hops: tuple[Mapping[str, Any], ...] = ()
    usage: UsageMetadata | None = None
    cut: bool = False

    @property
    def path(self) -> list[str]:
        """The experts asked, in order."""
        return [str(hop["expert"]) for hop in self.hops]


@dataclass(frozen=True)
class Stopped:
    """The run waits for its human."""

    question: str


Event = Decided | Words | CallPart | Hopped | Ended | Stopped


class Run:
    """A run in a task of its own, so that its events can be read in any other.

    Example:
        async with Run(service, ask) as run:
            decided = await run.decided()
            async for event in run: ...
    """

    def __init__(self, service: Service, ask: Ask) -> None:
        """Takes what to run; nothing happens before the block begins."""
        self.id = str(uuid4())
        self._service = service
        self._ask = ask
        self._events: asyncio.Queue[Event | BaseException | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begins.

        Raises:
            TooManyRunsError: If as many go on as may.
            UnavailableError: If the server is shutting down.
        """
        self._service.runs.check()
        logs.note(run_id=self.id)
        self._task = self._service.runs.spawn(self._go())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends the run if it still goes on: nobody reads on."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def decided(self) -> Decided:
        """Waits for the first decision.

        Raises:
            Exception: Whatever went wrong before it.
        """
        event = await self._next()
        if not isinstance(event, Decided):
            raise TypeError(f"a run begins with a decision, and not with {type(event).__name__}")
        logs.note(expert=event.expert)
        return event

    async def ended(self) -> Ended:
        """Waits for the end.

        Raises:
            Exception: Whatever went wrong.
        """
        while not isinstance(event := await self._next(), Ended):
            if event is None:
                raise TypeError("a run came to no end")
        return event

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Yields the events that were not read yet."""
        while (event := await self._next()) is not None:
            yield event

    async def _next(self) -> Event | None:
        event = await self._events.get()
        if isinstance(event, BaseException):
            raise event
        return event

    async def _go(self) -> None:
        try:
            async with self._service.runs.one(), aclosing(_events(self._service, self._ask, self.id)) as events:
                async for event in events:
                    self._events.put_nowait(event)
        except asyncio.CancelledError:
            self._events.put_nowait(UnavailableError("This server is shutting down: ask another one."))
            raise
        except Exception as error:  # noqa: BLE001 - raised where the events are read
            self._events.put_nowait(error)
        finally:
            self._events.put_nowait(None)


def _events(service: Service, ask: Ask, run_id: str) -> AsyncGenerator[Event]:
    from octopus_graph_server import holding, walking

    return (holding.hold if ask.held else walking.walk)(service, ask, run_id)
