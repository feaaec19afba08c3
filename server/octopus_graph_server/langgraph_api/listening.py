"""Listening to runs, wherever they go on: from this process's memory, or from the journal."""

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing

from octopus_graph.persistence.journal import Event
from octopus_graph_server.langgraph_api.backend import Backend
from octopus_graph_server.langgraph_api.feeds import line_of, of_modes
from octopus_graph_server.langgraph_api.runner import ENDED, Runner
from octopus_graph_server.langgraph_api.shapes import dumps
from octopus_graph_server.problems import UnprocessableError

__all__ = ["Listener", "number_of"]

LOOK = 0.2
QUIET = 75  # looks without anything new, after which a heartbeat is sent


def number_of(last_event_id: str | None) -> int:
    """Reads the number of the last event heard; -1, as the JavaScript client sends it, is before all.

    Raises:
        UnprocessableError: If it is no number.
    """
    if not last_event_id:
        return 0
    text = last_event_id.rpartition(":")[2]
    if not text.removeprefix("-").isascii() or not text.removeprefix("-").isdigit() or len(text) > 12:
        raise UnprocessableError("Last-Event-ID is the id of an event of this run.")
    return max(0, int(text))


class Listener:
    """Listens for one client."""

    def __init__(self, backend: Backend, runner: Runner) -> None:
        """Takes where runs are."""
        self._backend = backend
        self._runner = runner

    async def lines(self, run_id: str, after: int, modes: Collection[str]) -> AsyncGenerator[bytes]:
        """Gives what a run says after an event, as server-sent events."""
        async with aclosing(self.events(run_id, after)) as events:
            async for event in events:
                if event is None or of_modes(event.name, modes):
                    yield line_of(event)

    async def thread_lines(
        self, thread_id: str, modes: Collection[str], last_event_id: str | None
    ) -> AsyncGenerator[bytes]:
        """Gives what all runs of a thread say from now on, or after an event; ends when the client leaves."""
        heard: set[str] = set()
        seen, _, number = (last_event_id or "").rpartition(":")
        after = number_of(number) if seen else 0
        line = self._backend.line
        if seen:
            known = await self._backend.runs.find({"thread_id": thread_id}, by="created_at", descending=False)
            queue = [run["run_id"] for run in known if run["run_id"] >= seen]
        else:
            queue = []
        looks = 0
        while True:
            queue += [run_id for run_id in await line.waiting(thread_id) if run_id not in heard and run_id not in queue]
            looks = 0 if queue else looks + 1
            if looks >= QUIET:
                looks = 0
                yield line_of(None)
            if not queue:
                await asyncio.sleep(LOOK)
                continue
            run_id = queue.pop(0)
            heard.add(run_id)
            async with aclosing(self.events(run_id, after if run_id == seen else 0)) as events:
                async for event in events:
                    if said := _of_thread(event, run_id, modes):
                        yield said

    async def last_values(self, run_id: str) -> bytes | None:
        """Finds the last values that a run said."""
        found: bytes | None = None
        after = 0
        while page := await self._backend.journal.read(run_id, after):
            found = next((event.data for event in reversed(page) if event.name == "values"), found)
            after = page[-1].number
        return found

    async def events(self, run_id: str, after: int) -> AsyncGenerator[Event | None]:
        """Gives what a run says after an event; `None` now and then, when nothing comes for long."""
        going = self._runner.going.get(run_id)
        if going is not None:
            async with aclosing(going.feed.listen(after)) as events:
                async for event in events:
                    yield event
            return
        looks = 0
        while True:
            run = await self._backend.runs.get(run_id)  # before the journal is read: what it says last is there then
            page = await self._backend.journal.read(run_id, after)
            for event in page:
                yield event
                after = event.number
                if event.name == "end":
                    return
            if page:
                looks = 0
                continue
            if run is None or run["status"] in ENDED:
                return
            looks += 1
            if looks % QUIET == 0:
                yield None
            await asyncio.sleep(LOOK)


def _of_thread(event: Event | None, run_id: str, modes: Collection[str]) -> bytes | None:
    if event is None:
        return line_of(None)
    prefix = f"{run_id}:"
    if event.name == "end":
        return line_of(Event(event.number, "run_done", dumps({"run_id": run_id})), prefix)
    if "run_modes" in modes or event.name in ("metadata", "error"):
        return line_of(event, prefix)
    if "state_update" in modes and event.name in ("values", "updates"):
        return line_of(event, prefix)
    return None
