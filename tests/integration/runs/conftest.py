"""A real Valkey for each module, and workers that are always stopped."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from octopus_graph.persistence import EmbeddedServer, RedisSaver
from octopus_graph.runs import RunQueue, RunWorker

Working = Callable[..., AbstractAsyncContextManager[RunWorker]]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    with EmbeddedServer(tmp_path_factory.mktemp("redis")).use() as found:
        yield found


@pytest.fixture
async def saver(url: str) -> AsyncGenerator[RedisSaver]:
    async with RedisSaver(url, prefix=f"test-{uuid4()}") as found:
        yield found


@pytest.fixture
def queue(saver: RedisSaver) -> RunQueue:
    return RunQueue(saver)


@pytest.fixture
def working(saver: RedisSaver) -> Working:
    """Runs a worker for as long as a block does."""

    @asynccontextmanager
    async def working(graph: Any, **options: Any) -> AsyncGenerator[RunWorker]:
        worker = RunWorker(graph, saver, **{"name": "w", "lease": 2.0, "grace": 20.0, **options})
        task = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            if not worker._stopping.is_set():  # a second time would be an order to hurry
                worker.stop()
            await task

    return working
