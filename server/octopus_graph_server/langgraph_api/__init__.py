"""The LangGraph API: assistants, threads, state, runs, store, as the clients of LangGraph's servers speak it.

schemas     bodies that come in                 shapes      what goes out
assistants, threads, states, runs, store, meta  the endpoints
plans       request -> a run that can go        streaming   the graph's events by stream mode
runner      runs from line to end               feeds, listening   numbered events, and who hears them
backend     what is kept in Redis               janitor     dead servers' runs, threads whose time is over
commands, protocol, blocks                      the event streaming of newer clients
webhooks    a run's end told to others, signed
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import APIRouter

from octopus_graph_server.langgraph_api import assistants, commands, meta, runs, states, store, threads
from octopus_graph_server.langgraph_api.bodies import Deferred
from octopus_graph_server.service import Service

__all__ = ["routes"]


def routes(service: Service) -> APIRouter:
    """Makes the endpoints; what they work with is opened and closed with the app."""
    office = Deferred(service)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            office.stack = stack
            if type(service.saver).__name__ == "RedisSaver":  # it is connected anyway; see to what was left behind
                await office.open()
            try:
                yield
            finally:
                await service.runs.drain(service.settings.grace)  # while there is still somewhere to note their end
                office.forget()

    api = APIRouter(lifespan=lifespan)
    api.include_router(meta.routes())
    api.include_router(meta.crons())
    for part in (assistants, threads, states, runs, store, commands):
        api.include_router(part.routes(office))
    return api
