"""What all endpoints share: the graph, its parts, and how runs are counted."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver  # pyright: ignore[reportMissingTypeStubs]
from langgraph.graph.state import CompiledStateGraph  # pyright: ignore[reportMissingTypeStubs]

from octopus_graph.experts import Expert
from octopus_graph.router import OctopusRouter
from octopus_graph.spec import BuiltGraph
from octopus_graph_server.earlier import Earlier
from octopus_graph_server.problems import TimedOutError, TooLargeError, TooManyRunsError, UnavailableError
from octopus_graph_server.settings import ServerSettings

__all__ = ["Runs", "Service"]

Graph = CompiledStateGraph[Any, Any, Any, Any]


class Runs:
    """Counts the runs that go on, and keeps them below the limit.

    Example:
        async with service.runs.one(): ...              # as long as the block runs
        task = service.runs.spawn(coroutine)            # in the background, counted and awaited when the server stops
    """

    def __init__(self, most: int, seconds: float) -> None:
        """Takes the limits."""
        self._most = most
        self._seconds = seconds
        self._going = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.stopping = False  # known to be about to stop: not ready any more
        self._draining: float | None = None  # since when no further run begins

    @property
    def going(self) -> int:
        """How many runs go on."""
        return self._going

    def check(self) -> None:
        """Refuses where no further run may begin: before a stream's status is sent, for afterwards is too late.

        Raises:
            TooManyRunsError: If as many go on as may.
            UnavailableError: If the server is shutting down.
        """
        if self._draining is not None and asyncio.current_task() not in self._tasks:  # what was accepted may begin
            raise UnavailableError("This server is shutting down: ask another one.", headers={"retry-after": "1"})
        if self._going >= self._most:
            raise TooManyRunsError(
                f"{self._most} runs go on already: try again in a second.", headers={"retry-after": "1"}
            )

    @asynccontextmanager
    async def one(self) -> AsyncGenerator[None]:
        """Counts a run, and ends it when its time is over.

        Raises:
            TooManyRunsError: If as many go on as may.
            TimedOutError: If it takes too long.
            UnavailableError: If the server is shutting down.
        """
        self.check()
        self._going += 1
        self._idle.clear()
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except TimeoutError as error:
            raise TimedOutError(f"The run took longer than {self._seconds:g} s, which is all it may.") from error
        finally:
            self._going -= 1
            if not self._going:
                self._idle.set()

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs something in the background that `drain` waits for; it counts itself with `one`."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def ended(self) -> None:
        """Waits until no run goes on."""
        await self._idle.wait()

    def close(self) -> None:
        """Lets no run begin any more; the grace period of those that go on begins."""
        self.stopping = True
        if self._draining is None:
            self._draining = time.monotonic()

    def left(self, grace: float) -> float:
        """Says how many seconds of the grace period are left: there is one, whoever waits for it."""
        return grace if self._draining is None else max(0.0, grace - (time.monotonic() - self._draining))

    async def drain(self, grace: float) -> None:
        """Closes, waits for the runs in the background, and cancels them once the grace period is over."""
        self.close()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=self.left(grace))
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


@dataclass
class Service:
    """One graph and what belongs to it. `graph` and `saver` are there once the app has started.

    Attributes:
        settings: How the server behaves.
        router: Decides; `None` where a compiled graph was given without one.
        experts: By name.
        runs: The runs that go on.
        built: The graph file's description and its parts, where the graph came from one.
        clock: The time.
        earlier: Which expert gave which answer, for clients that send their whole conversation.
    """

    settings: ServerSettings
    router: OctopusRouter | None
    experts: dict[str, Expert]
    runs: Runs
    built: BuiltGraph | None = None
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    earlier: Earlier = field(default_factory=Earlier)
    opened: "Opened | None" = None

    @property
    def graph(self) -> Graph:
        """The graph with the saver: runs on threads."""
        return self._open.graph

    @property
    def stateless(self) -> Graph:
        """The same graph without the saver: runs that leave nothing behind."""
        return self._open.stateless

    @property
    def saver(self) -> BaseCheckpointSaver[Any] | None:
        """Keeps the threads; `None` where a compiled graph was given without one."""
        return self._open.saver

    def check_prompt(self, text: str) -> None:
        """Refuses a text that is too long to be asked.

        Raises:
            TooLargeError: If it is.
        """
        if len(text) > self.settings.max_prompt:
            raise TooLargeError(
                f"The text has {len(text)} characters, and this server takes {self.settings.max_prompt}: shorten it."
            )

    @property
    def _open(self) -> "Opened":
        if self.opened is None:
            raise UnavailableError("This server is still starting: try again.", headers={"retry-after": "1"})
        return self.opened


@dataclass(frozen=True)
class Opened:
    """What there is only while the app runs."""

    graph: Graph
    stateless: Graph
    saver: BaseCheckpointSaver[Any] | None
