"""What the LangGraph endpoints share while the app runs: documents, journals, the store, and the graph on them."""

import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from langchain_core.utils.uuid import uuid7
from langgraph.checkpoint.base import BaseCheckpointSaver  # pyright: ignore[reportMissingTypeStubs]

from octopus_graph.persistence import RedisSaver, open_saver
from octopus_graph.persistence.journal import Journal
from octopus_graph.persistence.line import Line
from octopus_graph.persistence.records import Document, Kind, Records
from octopus_graph.persistence.store import RedisStore
from octopus_graph_server.langgraph_api.shapes import assistant_id_of
from octopus_graph_server.problems import NotFoundError
from octopus_graph_server.service import Graph, Service

__all__ = ["Backend", "opened"]

ASSISTANT = Kind("assistant", ("created_at", "updated_at"), ("graph_id",))
THREAD = Kind("thread", ("created_at", "updated_at", "state_updated_at", "expires_at"), ("status",))
RUN = Kind("run", ("created_at", "forgotten_at"), ("thread_id", "status", "owner"))


@dataclass(frozen=True)
class Backend:
    """Where things are kept.

    Attributes:
        graph: The graph with the saver and the store.
        stateless: The graph with the store alone.
        server: The id of this server, which owns the runs it makes.
    """

    service: Service
    saver: BaseCheckpointSaver[Any]
    graph: Graph
    stateless: Graph
    assistants: Records
    threads: Records
    runs: Records
    journal: Journal
    line: Line
    store: RedisStore
    server: str = field(default_factory=lambda: str(uuid7()))

    @property
    def graph_id(self) -> str:
        """The graph's name."""
        return self.service.settings.name

    async def assistant(self, name: str) -> Document:
        """Reads an assistant by its id, or the graph's own by the graph's name.

        Raises:
            NotFoundError: If there is none.
        """
        found = await self.assistants.get(assistant_id_of(name) if name == self.graph_id else name)
        if found is None:
            raise NotFoundError(f"There is no assistant of that id: use {self.graph_id!r}, or search for one.")
        return found

    async def thread(self, thread_id: str) -> Document:
        """Reads a thread.

        Raises:
            NotFoundError: If there is none.
        """
        found = await self.threads.get(thread_id)
        if found is None:
            raise NotFoundError("There is no thread of that id: create it first, or run with if_not_exists=create.")
        return found

    async def run(self, thread_id: str, run_id: str) -> Document:
        """Reads a run.

        Raises:
            NotFoundError: If there is none on that thread.
        """
        found = await self.runs.get(run_id)
        if found is None or found["thread_id"] != thread_id:
            raise NotFoundError("There is no run of that id on this thread.")
        return found

    async def forget_thread(self, thread_id: str) -> None:
        """Deletes a thread with all that belongs to it."""
        for run in await self.runs.find({"thread_id": thread_id}, by="created_at"):
            await self.journal.remove(run["run_id"])
            await self.runs.remove(run["run_id"])
        await self.saver.adelete_thread(thread_id)
        await self.threads.remove(thread_id)

    async def mark_thread(self, thread_id: str, status: str, error: dict[str, Any] | None = None) -> None:
        """Sets a thread's status; its state has changed."""
        now = time.time()
        changes = {"status": status, "error": error, "updated_at": now, "state_updated_at": now}
        await self.threads.change(thread_id, lambda found: {**found, **changes})


@asynccontextmanager
async def opened(service: Service) -> AsyncGenerator[Backend]:
    """Opens the backend for as long as the block runs. It lies where the checkpoints lie, if that is Redis."""
    async with AsyncExitStack() as stack:
        saver = service.saver
        home, where = saver, service.settings.redis
        if not isinstance(home, RedisSaver):
            home = await stack.enter_async_context(open_saver(where if "://" in where else None))
        link, prefix = home.link, home.prefix
        serde = home.serde  # where it encrypts checkpoints, all else is encrypted as well
        store = RedisStore(link, prefix=prefix, serde=serde)
        graph, stateless = service.graph, service.stateless
        if graph.store is None:
            graph, stateless = (one.copy(update={"store": store}) for one in (graph, stateless))
        if saver is None:
            graph = graph.copy(update={"checkpointer": home})
        backend = Backend(
            service=service,
            saver=saver or home,
            graph=graph,
            stateless=stateless,
            assistants=Records(link, prefix, ASSISTANT, serde),
            threads=Records(link, prefix, THREAD, serde),
            runs=Records(link, prefix, RUN, serde),
            journal=Journal(link, prefix, serde=serde),
            line=Line(link, prefix),
            store=store,
        )
        await backend.assistants.add(assistant_id_of(backend.graph_id), own_assistant(backend))
        yield backend


def own_assistant(backend: Backend) -> Document:
    """The graph's own assistant, by which Studio finds the graph."""
    now = time.time()
    return {
        "assistant_id": assistant_id_of(backend.graph_id),
        "graph_id": backend.graph_id,
        "name": backend.graph_id,
        "description": None,
        "config": {},
        "context": {},
        "metadata": {"created_by": "system"},
        "version": 1,
        "versions": [],
        "created_at": now,
        "updated_at": now,
    }
