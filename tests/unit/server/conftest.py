"""An app in this process, asked over httpx without a socket."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from langgraph.checkpoint.memory import InMemorySaver

from octopus_graph.spec import build_graph, load_spec
from octopus_graph.testing import scripted_router
from octopus_graph_server import ServerSettings, create_app

Opened = AbstractAsyncContextManager[httpx.AsyncClient]


@pytest.fixture
def make_app() -> Callable[..., FastAPI]:
    """Makes apps around the shipped graph, with a scripted router and echoes for experts."""

    def make(**settings: Any) -> FastAPI:
        built = build_graph(load_spec("default"), dry_run=True, router=scripted_router({"derivative": "math"}))
        return create_app(built, settings=ServerSettings(**settings), saver=InMemorySaver())

    return make


@pytest.fixture
def opened() -> Callable[[FastAPI], Opened]:
    """Runs an app and gives a client of it."""

    @asynccontextmanager
    async def open_(app: FastAPI) -> AsyncGenerator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            yield client

    return open_
