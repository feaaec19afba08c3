"""What has to be seen to every now and then: signs of life, runs to be stopped, what a dead server left, what is over.

A run that went on in a server which is gone ends as an error: nobody knows how far its step came. Its thread goes on
from the last checkpoint when it is run with input null. A run that had not begun there begins in whoever finds it.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from octopus_graph.errors import OctopusError
from octopus_graph.persistence.journal import DAY, Event
from octopus_graph.persistence.records import Document
from octopus_graph_server.langgraph_api.backend import Backend
from octopus_graph_server.langgraph_api.failing import STOPPED
from octopus_graph_server.langgraph_api.runner import ENDED, Runner
from octopus_graph_server.langgraph_api.shapes import dumps
from octopus_graph_server.logs import log

__all__ = ["Janitor"]

BEAT = 0.5
LEASE = 6.0  # seconds without a sign of life, after which a server counts as gone
SWEEP = 3.0


class Janitor:
    """Keeps house as long as the app runs."""

    def __init__(self, backend: Backend, runner: Runner) -> None:
        """Begins nothing yet."""
        self._backend = backend
        self._runner = runner
        self._swept = 0.0

    @asynccontextmanager
    async def at_work(self) -> AsyncGenerator[None]:
        """Works for as long as the block runs."""
        await self._backend.line.show_life(self._backend.server, LEASE)
        working = asyncio.create_task(self._work())
        try:
            yield
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            await self._backend.line.say_farewell(self._backend.server)

    async def _work(self) -> None:
        while True:
            try:
                await self._beat()
            except OctopusError as error:  # Redis is away: it will be back, and so are we
                log().warning("janitor", error=type(error).__name__)
            await asyncio.sleep(BEAT)

    async def _beat(self) -> None:
        line = self._backend.line
        await line.show_life(self._backend.server, LEASE)
        for run_id, how in (await line.stops()).items():
            if (going := self._runner.going.get(run_id)) is not None:
                self._runner.stop_here(going, how)
                await line.stopped(run_id)
        if time.monotonic() - self._swept > SWEEP:
            self._swept = time.monotonic()
            await self._sweep()

    async def _sweep(self) -> None:
        backend = self._backend
        lives = {backend.server: True}
        for status in ("running", "pending"):
            for run in await backend.runs.find({"status": status}, by="created_at", descending=False):
                owner = run["owner"]
                if owner not in lives:
                    lives[owner] = await backend.line.lives(owner)
                if not lives[owner]:
                    await self._inherit(run)
        for run_id in await backend.line.stops():
            run = await backend.runs.get(run_id)
            if run is None or run["status"] in ENDED:
                await backend.line.stopped(run_id)
        for thread_id in await backend.threads.below("expires_at", time.time()):
            await self._expire(thread_id)
        for run_id in await backend.runs.below("forgotten_at", time.time()):
            await backend.runs.remove(run_id)

    async def _inherit(self, run: Document) -> None:
        backend, run_id = self._backend, run["run_id"]
        begun = run["status"] == "running"
        over = {"status": "error", "error": STOPPED, "forgotten_at": time.time() + DAY if run["temporary"] else None}
        changes = over if begun else {"owner": backend.server}

        def mine(found: Document) -> Document | None:
            same = found["owner"] == run["owner"] and found["status"] == run["status"]
            return {**found, **changes, "updated_at": time.time()} if same else None

        now = await backend.runs.change(run_id, mine)
        if now is None or any(now[name] != value for name, value in changes.items()):
            return  # another server was faster
        log().warning("run of a server that is gone", run_id=run_id, begun=begun)
        if not begun:
            self._runner.take_over(now, await backend.assistant(run["assistant_id"]))
            return
        last = await backend.journal.last(run_id)
        said = [Event(last + 1, "error", dumps(STOPPED)), Event(last + 2, "end", b"null")]
        await backend.journal.append(run_id, said)
        await backend.line.leave(run["thread_id"], run_id)
        if not run["temporary"] and not await backend.line.waiting(run["thread_id"]):
            await backend.mark_thread(run["thread_id"], "error", STOPPED)

    async def _expire(self, thread_id: str) -> None:
        backend = self._backend
        thread = await backend.threads.get(thread_id)
        if thread is None or await backend.line.waiting(thread_id):
            return
        if thread["ttl"] and thread["ttl"]["strategy"] == "keep_latest":
            await backend.saver.aprune([thread_id], strategy="keep_latest")
            await backend.threads.change(thread_id, lambda found: {**found, "expires_at": None})
        else:
            await backend.forget_thread(thread_id)
