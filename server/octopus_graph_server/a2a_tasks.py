"""Where A2A tasks are kept: in Redis beside the threads they speak of, or in memory where the saver is no Redis.

A task is one document, encrypted where checkpoints are. While it is worked on, what is told word by word is written
once a second; each change of its state is written at once. A task whose server is gone is told to have failed.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import NAMESPACE_URL, uuid4, uuid5

from a2a.server.context import ServerCallContext
from a2a.server.tasks import InMemoryTaskStore
from a2a.server.tasks.task_store import TaskStore
from a2a.types.a2a_pb2 import ListTasksRequest, ListTasksResponse, Message, Part, Role, Task, TaskState
from google.protobuf import json_format
from typing_extensions import override

from octopus_graph.errors import OctopusError
from octopus_graph_server.logs import log
from octopus_graph_server.service import Service

__all__ = ["RecentTasks", "StoredTasks", "Tasks"]

KEPT = 1000
"""Tasks that are kept in memory, and that a list is made of."""
LIFE = 7 * 24 * 3600.0
"""Seconds a task in Redis can be looked up after its last change, as runs of a queue can."""
BEAT, LEASE, SWEEP = 2.0, 10.0, 60.0
GOING = (TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING)


class Tasks(TaskStore):
    """Keeps tasks wherever the server that has started keeps its threads."""

    def __init__(self, service: Service) -> None:
        """Opens nothing yet."""
        self._service = service
        self._store: TaskStore = RecentTasks()

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """Keeps them in Redis for as long as the block runs, if that is where the threads are."""
        if type(self._service.saver).__name__ != "RedisSaver":  # asked so, for redis is an extra
            yield
            return
        stored = self._store = StoredTasks(self._service.saver)
        async with stored.at_work():
            yield

    @override
    async def save(self, task: Task, context: ServerCallContext) -> None:
        await self._store.save(task, context)

    @override
    async def get(self, task_id: str, context: ServerCallContext) -> Task | None:
        return await self._store.get(task_id, context)

    @override
    async def list(self, params: ListTasksRequest, context: ServerCallContext) -> ListTasksResponse:
        return await self._store.list(params, context)

    @override
    async def delete(self, task_id: str, context: ServerCallContext) -> None:
        await self._store.delete(task_id, context)


class RecentTasks(InMemoryTaskStore):
    """The SDK's store, which forgets the oldest tasks: nobody else would."""

    def __init__(self) -> None:
        """Holds nothing yet."""
        super().__init__()
        self._order: OrderedDict[str, ServerCallContext] = OrderedDict()

    @override
    async def save(self, task: Task, context: ServerCallContext) -> None:
        await super().save(task, context)
        self._order[task.id] = context
        self._order.move_to_end(task.id)
        while len(self._order) > KEPT:
            oldest, owner = self._order.popitem(last=False)
            await super().delete(oldest, owner)

    @override
    async def delete(self, task_id: str, context: ServerCallContext) -> None:
        self._order.pop(task_id, None)
        await super().delete(task_id, context)


@dataclass
class _Held:
    """A task that is worked on in this process, as it is now and as it was last written."""

    task: Task
    owner: str
    state: int
    written: float


class StoredTasks(TaskStore):
    """Tasks in Redis."""

    def __init__(self, saver: Any, life: float = LIFE) -> None:
        """Reads nothing yet.

        Args:
            saver: The server's `RedisSaver`.
            life: The seconds a task is kept after its last change.
        """
        from octopus_graph.persistence.line import Line
        from octopus_graph.persistence.records import Kind, Records

        kind = Kind("a2a", ("updated_at", "expires_at"), ("owner", "thread"))
        self._records = Records(saver.link, saver.prefix, kind, saver.serde)
        self._line = Line(saver.link, saver.prefix)
        self._server = f"a2a-{uuid4()}"
        self._life = life
        self._held: dict[str, _Held] = {}

    @asynccontextmanager
    async def at_work(self) -> AsyncGenerator[None]:
        """Shows that this server lives, and deletes what is over, for as long as the block runs."""
        await self._line.show_life(self._server, LEASE)
        working = asyncio.create_task(self._work())
        try:
            yield
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            await self._line.say_farewell(self._server)

    async def _work(self) -> None:
        swept = 0.0
        while True:
            try:
                await self._line.show_life(self._server, LEASE)
                if time.monotonic() - swept > SWEEP:
                    swept = time.monotonic()
                    await self.sweep()
            except OctopusError as error:  # Redis is away: it will be back, and so are we
                log().warning("a2a tasks", error=type(error).__name__)
            await asyncio.sleep(BEAT)

    async def sweep(self) -> None:
        """Deletes the tasks whose time is over."""
        for task_id in await self._records.below("expires_at", time.time()):
            await self._records.remove(task_id)

    @override
    async def save(self, task: Task, context: ServerCallContext) -> None:
        owner, state = context.user.user_name, task.status.state
        held = self._held.get(task.id)
        if state in GOING:
            new = held is None or held.state != state or time.monotonic() - held.written > 1.0
            written = time.monotonic() if held is None or new else held.written
            self._held[task.id] = _Held(_copy(task), owner, state, written)
            if not new:
                return
        now = time.time()
        document = {
            "owner": owner,
            "thread": _thread(task.context_id),
            "server": self._server if state in GOING else None,
            "updated_at": now,
            "expires_at": now + self._life,
            "task": json_format.MessageToDict(task),
        }
        await self._records.put(task.id, document)
        if state not in GOING:
            self._held.pop(task.id, None)

    @override
    async def get(self, task_id: str, context: ServerCallContext) -> Task | None:
        if (held := self._held.get(task_id)) is not None:
            return _copy(held.task) if held.owner == context.user.user_name else None
        found = await self._records.get(task_id)
        if found is None or found["owner"] != context.user.user_name or found["expires_at"] < time.time():
            return None
        return await self._read(found)

    @override
    async def list(self, params: ListTasksRequest, context: ServerCallContext) -> ListTasksResponse:
        where = {"owner": context.user.user_name}
        if params.context_id:
            where["thread"] = _thread(params.context_id)
        chosen = InMemoryTaskStore()  # which filters, sorts and pages as the protocol wants it
        for one in await self._records.find(where, by="updated_at", limit=KEPT):
            if one["expires_at"] >= time.time():
                task = await self._read(one)
                held = self._held.get(task.id)
                await chosen.save(held.task if held is not None else task, context)
        return await chosen.list(params, context)

    @override
    async def delete(self, task_id: str, context: ServerCallContext) -> None:
        if await self.get(task_id, context) is not None:
            self._held.pop(task_id, None)
            await self._records.remove(task_id)

    async def _read(self, document: dict[str, Any]) -> Task:
        task = json_format.ParseDict(cast(dict[str, Any], document["task"]), Task(), ignore_unknown_fields=True)
        server = document["server"]
        if server not in (None, self._server) and not await self._line.lives(server):
            said = "The server that worked on this task is gone: send the message again, in the same context."
            task.status.state = TaskState.TASK_STATE_FAILED
            task.status.message.CopyFrom(
                Message(
                    role=Role.ROLE_AGENT,
                    message_id=str(uuid5(NAMESPACE_URL, f"gone:{task.id}")),
                    task_id=task.id,
                    context_id=task.context_id,
                    parts=[Part(text=said)],
                )
            )
        return task


def _thread(context_id: str) -> str:
    """Names a context in a key; clients choose contexts, and keys are not encrypted."""
    return str(uuid5(NAMESPACE_URL, f"a2a:{context_id}"))


def _copy(task: Task) -> Task:
    made = Task()
    made.CopyFrom(task)
    return made
