"""How these endpoints read bodies: as JSON even where they come as text/plain, as Studio sends them."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute

from octopus_graph_server.langgraph_api.backend import Backend, opened
from octopus_graph_server.langgraph_api.janitor import Janitor
from octopus_graph_server.langgraph_api.runner import Runner
from octopus_graph_server.problems import UnavailableError
from octopus_graph_server.service import Service

__all__ = ["Deferred", "router"]


class Deferred:
    """What the endpoints work with, opened when the app starts or when it is first asked for."""

    def __init__(self, service: Service) -> None:
        """Begins empty: the app has not started."""
        self._service = service
        self._parts: tuple[Backend, Runner] | None = None
        self._opening = asyncio.Lock()
        self.stack: AsyncExitStack | None = None

    async def open(self) -> None:
        """Opens it unless it is.

        Raises:
            UnavailableError: If the app is not running.
        """
        if self._parts is not None:
            return
        async with self._opening:
            if self._parts is None:
                if self.stack is None:
                    raise UnavailableError("This server is still starting: try again.", headers={"retry-after": "1"})
                backend = await self.stack.enter_async_context(opened(self._service))
                runner = Runner(backend)
                await self.stack.enter_async_context(Janitor(backend, runner).at_work())
                self._parts = (backend, runner)

    def forget(self) -> None:
        """Says that it is closed."""
        self._parts = self.stack = None

    @property
    def backend(self) -> Backend:
        """Where things are kept."""
        return self._opened[0]

    @property
    def runner(self) -> Runner:
        """Makes runs."""
        return self._opened[1]

    @property
    def _opened(self) -> tuple[Backend, Runner]:
        if self._parts is None:
            raise UnavailableError("This server is shutting down: ask another one.", headers={"retry-after": "1"})
        return self._parts


class _JsonRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def as_json(request: Request) -> Response:
            if request.headers.get("content-type", "").startswith("text/plain"):
                headers = [(key, one) for key, one in request.scope["headers"] if key != b"content-type"]
                scope = {**request.scope, "headers": [*headers, (b"content-type", b"application/json")]}
                request = Request(scope, request.receive)
            return await handle(request)

        return as_json


def router(tag: str, office: Deferred | None = None) -> APIRouter:
    """Makes a router whose endpoints read bodies so, and find opened what they work with."""
    return APIRouter(tags=[tag], route_class=_JsonRoute, dependencies=[Depends(office.open)] if office else [])
