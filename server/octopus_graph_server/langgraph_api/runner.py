"""Runs from their first moment to their last: in line before their thread, going, stopped, ended, taken note of."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from langchain_core.utils.uuid import uuid7

from octopus_graph.errors import OctopusError
from octopus_graph.persistence import RedisSaver
from octopus_graph.persistence.journal import DAY
from octopus_graph.persistence.records import Document
from octopus_graph_server.langgraph_api import schemas
from octopus_graph_server.langgraph_api.backend import Backend
from octopus_graph_server.langgraph_api.failing import STOPPED, failure_of
from octopus_graph_server.langgraph_api.feeds import Feed
from octopus_graph_server.langgraph_api.plans import plan_of, uuid_of
from octopus_graph_server.langgraph_api.streaming import Plan, events_of
from octopus_graph_server.langgraph_api.webhooks import Webhooks
from octopus_graph_server.logs import log, note
from octopus_graph_server.problems import BadRequestError, ConflictError, TimedOutError, TooManyRunsError

__all__ = ["Going", "Runner"]

ENDED = frozenset({"success", "error", "timeout", "interrupted"})
LOOK = 0.25  # seconds between looks at the line, for a run before this one may go on in another server


@dataclass
class Going:
    """A run that goes on in this process, or waits to.

    Attributes:
        document: What is known of the run.
        plan: What is run.
        feed: What it says.
        recorded: Whether the document is kept in Redis.
        temporary: Whether its thread is not kept.
        stop: How it is to be stopped: `interrupt` keeps what it did, `rollback` undoes it.
        error: Why it failed.
    """

    document: Document
    request: schemas.RunCreate
    plan: Plan
    feed: Feed
    recorded: bool
    temporary: bool
    stop: str | None = None
    error: dict[str, Any] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.document["run_id"]

    @property
    def thread_id(self) -> str:
        """The thread's."""
        return self.document["thread_id"]


class Runner:
    """Makes runs, and keeps those that go on in this process."""

    def __init__(self, backend: Backend) -> None:
        """Begins without a run."""
        self._backend = backend
        self._webhooks = Webhooks(backend.service)
        self.going: dict[str, Going] = {}

    async def create(self, request: schemas.RunCreate, thread_id: str | None, *, background: bool = False) -> Going:
        """Makes a run and lets it begin.

        Args:
            request: What is asked for.
            thread_id: The thread to run on; one of the run's own if `None`.
            background: Whether nobody listens yet, so that all it says is to be kept.

        Raises:
            NotFoundError: If the assistant or the thread is not there.
            ConflictError: If the thread is busy and the request is not to wait.
            UnprocessableError: If the graph cannot take what it is given.
            TooManyRunsError: If as many runs go on as may.
        """
        backend = self._backend
        backend.service.runs.check()
        assistant = await backend.assistant(request.assistant_id)
        temporary = thread_id is None and request.on_completion != "keep"
        if temporary and request.command is not None and request.command.resume is not None:
            raise BadRequestError("A run is resumed on its thread: name the thread.")
        await self._webhooks.check(request.webhook)
        run_id = str(uuid7())
        thread = str(uuid7()) if thread_id is None else uuid_of(thread_id, "thread")
        plan = plan_of(backend, request, assistant, run_id=run_id, thread_id=thread, kept=not temporary)
        if not temporary:
            await self._need_thread(thread, request, assistant, create=thread_id is None)
        now = time.time()
        document: Document = {
            "run_id": run_id,
            "thread_id": thread,
            "assistant_id": assistant["assistant_id"],
            "status": "pending",
            "metadata": {**(request.metadata or {})},
            "multitask_strategy": request.multitask_strategy or "enqueue",
            "kwargs": request.model_dump(mode="json", exclude_none=True),
            "owner": backend.server,
            "temporary": temporary,
            "error": None,
            "created_at": now,
            "updated_at": now,
        }
        journal = backend.journal if background or request.stream_resumable else None
        recorded = not temporary or journal is not None
        going = Going(document, request, plan, Feed(run_id, journal), recorded, temporary)
        await self._enter(going)
        self._begin(going)
        note(run_id=run_id)
        return going

    def take_over(self, document: Document, assistant: Document) -> None:
        """Lets a run begin that a server which is gone had not begun."""
        request = schemas.RunCreate.model_validate(document["kwargs"])
        run_id, thread_id, temporary = document["run_id"], document["thread_id"], document["temporary"]
        plan = plan_of(self._backend, request, assistant, run_id=run_id, thread_id=thread_id, kept=not temporary)
        self._begin(Going(document, request, plan, Feed(run_id, self._backend.journal), True, temporary))

    async def stop(self, document: Document, how: str, *, wait: bool = False) -> None:
        """Stops a run, wherever it goes on; one that has ended stays as it is."""
        run_id = document["run_id"]
        going = self.going.get(run_id)
        if going is None:
            if document["status"] not in ENDED:
                await self._backend.line.ask_to_stop(run_id, how)
            if wait:
                await self.ended(run_id)
            return
        self.stop_here(going, how)
        if wait:
            await going.ended.wait()

    async def ended(self, run_id: str) -> Document | None:
        """Waits until a run has ended, wherever it goes on.

        Returns:
            What is known of it; `None` where it is gone.
        """
        going = self.going.get(run_id)
        if going is not None:
            await going.ended.wait()
        found = await self._backend.runs.get(run_id)
        while found is not None and found["status"] not in ENDED:
            await asyncio.sleep(LOOK)
            found = await self._backend.runs.get(run_id)
        return found

    def stop_here(self, going: Going, how: str) -> None:
        """Stops a run of this process."""
        if going.stop is None and going.task is not None:
            going.stop = how
            going.task.cancel()

    async def _need_thread(
        self, thread_id: str, request: schemas.RunCreate, assistant: Document, *, create: bool
    ) -> None:
        backend = self._backend
        names = {"graph_id": backend.graph_id, "assistant_id": assistant["assistant_id"]}
        found = await backend.threads.get(thread_id)
        if found is None:
            if not create and request.if_not_exists != "create":
                await backend.thread(thread_id)
            await backend.threads.add(thread_id, new_thread(thread_id, names))
        elif not names.items() <= found["metadata"].items():
            await backend.threads.change(thread_id, lambda one: {**one, "metadata": {**one["metadata"], **names}})

    async def _enter(self, going: Going) -> None:
        backend, strategy = self._backend, going.document["multitask_strategy"]
        if not going.temporary:
            before = await backend.line.enter(going.thread_id, going.run_id, only_if_free=strategy == "reject")
            if before is None:
                raise ConflictError("The thread is busy: wait for its run, or choose another multitask_strategy.")
        else:
            before = []
        if going.recorded:
            await backend.runs.put(going.run_id, going.document)
        if strategy in ("interrupt", "rollback"):
            for run_id in before:
                if (found := await backend.runs.get(run_id)) is not None:
                    await self.stop(found, strategy)

    def _begin(self, going: Going) -> None:
        self.going[going.run_id] = going
        going.task = self._backend.service.runs.spawn(self._live(going))

    async def _live(self, going: Going) -> None:
        status = "error"
        started = time.time()
        try:
            status = await self._to_its_end(going)
        finally:
            ending = asyncio.ensure_future(self._end(going, status, started))
            while not ending.done():  # a second cancellation must not keep it from being taken note of
                with suppress(asyncio.CancelledError):
                    await asyncio.shield(ending)

    async def _to_its_end(self, going: Going) -> str:
        try:
            await asyncio.sleep(going.request.after_seconds or 0)
            await self._wait_for_turn(going)
            async with self._slot():
                if going.recorded:
                    await self._change(going, status="running", begun_at=time.time())
                if not going.temporary:
                    await self._backend.mark_thread(going.thread_id, "busy")
                await going.feed.say("metadata", {"run_id": going.run_id, "attempt": 1})
                graph = self._backend.stateless if going.temporary else self._backend.graph
                async for name, data in events_of(graph, going.plan):
                    await going.feed.say(name, data)
        except asyncio.CancelledError:
            if going.stop is not None:
                return "interrupted"
            if going.recorded and going.document["status"] == "pending":
                return "pending"  # the server stops: another one begins it
            going.error = STOPPED
            return "error"
        except TimedOutError as error:
            going.error = failure_of(error)
            return "timeout"
        except Exception as error:  # noqa: BLE001 - whatever a graph raises ends its run, not the server
            going.error = failure_of(error)
            log().warning("run failed", run_id=going.run_id, error=type(error).__name__)
            return "error"
        return "success"

    async def _wait_for_turn(self, going: Going) -> None:
        if going.temporary:
            return
        while before := await self._backend.line.before(going.thread_id, going.run_id):
            here = self.going.get(before[-1])
            with suppress(TimeoutError):
                await asyncio.wait_for(here.ended.wait() if here else asyncio.sleep(LOOK), LOOK if here is None else 2)

    @asynccontextmanager
    async def _slot(self) -> AsyncGenerator[None]:
        """Counts the run among those that go on; one that waited in line waits for a free place as well."""
        runs = self._backend.service.runs
        while True:
            try:
                runs.check()
                break
            except TooManyRunsError:
                await asyncio.sleep(0.05)
        async with runs.one():
            yield

    async def _end(self, going: Going, status: str, started: float) -> None:
        backend = self._backend
        if status == "pending":
            going.feed.end()
            going.ended.set()
            return
        try:
            if going.stop == "rollback":
                await self._undo(going)
            elif going.recorded:
                # Nobody can list a run without a thread: it goes when its journal goes.
                gone = {"forgotten_at": time.time() + DAY} if going.temporary else {}
                await self._change(going, status=status, error=going.error, **gone)
            if not going.temporary:
                await backend.line.leave(going.thread_id, going.run_id)
                await self._mark_thread(going, status)
            if going.error is not None:
                await going.feed.say("error", going.error)
            await going.feed.say("end", None)
        except OctopusError as error:
            log().error("run not taken note of", run_id=going.run_id, error=type(error).__name__)
        finally:
            going.document = {**going.document, "status": status, "error": going.error}
            going.feed.end()
            going.ended.set()
            self._forget_later(going)
        if going.request.webhook:
            backend.service.runs.spawn(
                self._webhooks.send(going.request.webhook, going.document, going.plan.values, going.error, started)
            )

    def _forget_later(self, going: Going) -> None:
        """Keeps what a run said for a little while, for whoever was cut off near its end."""
        keep = 0.0 if going.recorded and going.feed.is_kept else 60.0
        asyncio.get_running_loop().call_later(keep, self.going.pop, going.run_id, None)

    async def _mark_thread(self, going: Going, status: str) -> None:
        backend = self._backend
        if await backend.line.waiting(going.thread_id):
            return  # the next run has it
        if status in ("error", "timeout"):
            await backend.mark_thread(going.thread_id, "error", going.error)
            return
        stopped = (await backend.graph.aget_state({"configurable": {"thread_id": going.thread_id}})).next
        await backend.mark_thread(going.thread_id, "interrupted" if stopped else "idle")

    async def _undo(self, going: Going) -> None:
        backend = self._backend
        if isinstance(backend.saver, RedisSaver):
            await backend.saver.aroll_back(going.thread_id, [going.run_id])
        else:
            await backend.saver.adelete_for_runs([going.run_id])
        await backend.runs.remove(going.run_id)

    async def _change(self, going: Going, **changes: Any) -> None:
        going.document = {**going.document, **changes, "updated_at": time.time()}
        await self._backend.runs.put(going.run_id, going.document)


def new_thread(thread_id: str, metadata: dict[str, Any]) -> Document:
    """The document of a thread nobody has used."""
    now = time.time()
    return {
        "thread_id": thread_id,
        "metadata": metadata,
        "status": "idle",
        "error": None,
        "config": {},
        "ttl": None,
        "expires_at": None,
        "created_at": now,
        "updated_at": now,
        "state_updated_at": now,
    }
