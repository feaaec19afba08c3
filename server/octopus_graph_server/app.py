"""create_app: one graph behind every API, as a FastAPI app of its own."""

import os
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from langgraph.checkpoint.base import BaseCheckpointSaver  # pyright: ignore[reportMissingTypeStubs]
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from octopus_graph.errors import OctopusError
from octopus_graph.experts import Expert
from octopus_graph.router import OctopusRouter
from octopus_graph.spec import BuiltGraph
from octopus_graph_server import a2a, decide, health, langgraph_api, logs, mcp, openai_api, openapi, problems
from octopus_graph_server.guard import OWN_PAGES, Guard
from octopus_graph_server.metrics import Metrics
from octopus_graph_server.openai_api.common import DECISION_HEADERS
from octopus_graph_server.service import Graph, Opened, Runs, Service
from octopus_graph_server.settings import ServerSettings

__all__ = ["create_app", "from_environment"]


def create_app(
    graph: BuiltGraph | Graph,
    *,
    settings: ServerSettings | None = None,
    saver: BaseCheckpointSaver[Any] | None = None,
    router: OctopusRouter | None = None,
    experts: Iterable[Expert] = (),
) -> FastAPI:
    """Puts a graph behind HTTP.

    Example:
        >>> from octopus_graph import build_graph, load_spec
        >>> app = create_app(build_graph(load_spec("default")))  # doctest: +SKIP

    Args:
        graph: What `build_graph` made of a graph file; or any compiled LangGraph graph with a `messages` key, which
            keeps the checkpointer it was compiled with.
        settings: How the server behaves.
        saver: Keeps the threads of a built graph; the caller closes it. By default `settings.redis` is opened when the
            app starts and closed when it stops.
        router: The router of a compiled graph, for `POST /route`.
        experts: The experts of a compiled graph, to be asked by name.

    Returns:
        The app; nothing is opened before it starts.
    """
    settings = settings or ServerSettings()
    built = graph if isinstance(graph, BuiltGraph) else None
    known = built.experts if built else tuple(experts)
    service = Service(
        settings=settings,
        router=built.router if built else router,
        experts={expert.name: expert for expert in known},
        runs=Runs(settings.max_runs, settings.max_seconds),
        built=built,
    )

    metrics = Metrics(lambda: service.runs.going)
    mounted: list[Any] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            service.opened = await _open(graph, saver, settings, stack)
            if built is not None and built.cache is not None:
                stack.push_async_callback(built.cache.store.aclose)
            for part in mounted:
                await stack.enter_async_context(part)
            yield
            await service.runs.drain(settings.grace)
        service.opened = None

    app = FastAPI(
        title="octopus-graph",
        version=version("octopus-graph"),
        description="A graph of language models that behaves like one model.",
        lifespan=lifespan,
        strict_content_type=False,
    )
    app.state.service = service
    app.openapi = lambda: openapi.document(app)
    for part in openai_api.routes(service):  # first, for routes are tried in this order
        app.include_router(part, tags=["OpenAI"])
    app.include_router(health.routes(service, metrics))
    app.include_router(decide.routes(service))
    app.include_router(langgraph_api.routes(service))
    mounted += [mcp.mount(app, service), a2a.mount(app, service)]
    for kind in (OctopusError, HTTPException, RequestValidationError, TimeoutError):
        app.add_exception_handler(kind, _refuse)
    # The last one added is the outermost.
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.origins,
        allow_origin_regex=OWN_PAGES.pattern,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["content-location", "location", "x-request-id", "x-pagination-next", *DECISION_HEADERS],
    )
    app.add_middleware(logs.RequestLog, metrics=metrics)
    return app


def from_environment() -> FastAPI:
    """Makes an app for `uvicorn --factory octopus_graph_server.app:from_environment`, or any other ASGI server.

    `OCTOPUS_GRAPH` names the graph, `OCTOPUS_REDIS_URL` the store, `OCTOPUS_API_KEY_HASHES` the keys. `octopus-graph
    serve` does more: it refuses an open address without a key, and ends in order.
    """
    from octopus_graph.spec import build_graph, load_spec
    from octopus_graph_server.keys import read_hashes

    hashes = os.environ.get("OCTOPUS_API_KEY_HASHES")
    settings = ServerSettings(
        redis=os.environ.get("OCTOPUS_REDIS_URL") or "embedded",
        key_hashes=read_hashes(hashes, "$OCTOPUS_API_KEY_HASHES") if hashes else (),
    )
    return create_app(build_graph(load_spec(os.environ.get("OCTOPUS_GRAPH") or "default")), settings=settings)


async def _open(
    graph: BuiltGraph | Graph, saver: BaseCheckpointSaver[Any] | None, settings: ServerSettings, stack: AsyncExitStack
) -> Opened:
    if not isinstance(graph, BuiltGraph):
        own = cast(Any, graph).checkpointer  # LangGraph leaves types of its own parameters open
        kept = None if isinstance(own, bool) else own  # a bool is for graphs within graphs
        return Opened(graph, graph.copy(update={"checkpointer": None}), kept)
    if saver is None:
        from octopus_graph.persistence import open_saver

        saver = await stack.enter_async_context(open_saver(settings.redis))
    builder: Any = graph.graph  # LangGraph leaves types of its own parameters open
    name = settings.name
    return Opened(builder.compile(name=name, checkpointer=saver), builder.compile(name=name), saver)


async def _refuse(request: Request, error: Exception) -> Response:
    return problems.answer(error, request.url.path, logs.trace().request_id)
