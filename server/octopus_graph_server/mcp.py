"""The graph and each expert as MCP tools at /mcp, by streamable HTTP; the sessions and the protocol are the SDK's."""

from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import Any, Self

from fastapi import FastAPI
from langchain_core.messages import HumanMessage
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from pydantic import BaseModel, Field
from starlette.types import Receive, Scope, Send

from octopus_graph_server import logs
from octopus_graph_server.problems import UnavailableError, refusal_of
from octopus_graph_server.routing import NamedRoute
from octopus_graph_server.running import Ask, Ended, Hopped, Run
from octopus_graph_server.service import Service

__all__ = ["mount"]

PATH = "/mcp"
_ROUTES = (
    "Answers any question: routes it to the expert for it, and asks further experts where the answer needs them. Ask in"
    " words that need no context."
)


class Question(BaseModel):
    """What a tool is given."""

    query: str = Field(min_length=1, description="What to ask, in words that need no context")


class Answered(BaseModel):
    """What a tool returns, beside the words of the answer."""

    answer: str
    expert: str | None = Field(description="The expert asked first; null where none was sure enough")
    confidence: float | None = Field(description="How sure the router was of it; null where nothing was decided")
    path: list[str] = Field(description="All experts asked, in order")
    run_id: str


def mount(app: FastAPI, service: Service) -> "Endpoint":
    """Adds the endpoint.

    Returns:
        What is open for as long as the app runs.
    """
    endpoint = Endpoint(service)
    app.router.routes.append(NamedRoute(PATH, endpoint, methods=["POST", "GET", "DELETE"], include_in_schema=False))
    return endpoint


class Endpoint:
    """The ASGI app behind /mcp. The SDK's manager runs once, so that each start of the app has one of its own."""

    def __init__(self, service: Service) -> None:
        """Takes the graph."""
        self._tools = Tools(service)
        self._manager: StreamableHTTPSessionManager | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Opens it."""
        server: Server[Any] = Server(
            self._tools.name,
            version=version("octopus-graph"),
            instructions=f"{self._tools.name} routes a question to the expert for it; the other tools are the experts.",
            on_list_tools=self._tools.listing,
            on_call_tool=self._tools.call,
        )
        # Each request stands alone, so that any process behind a load balancer can answer it. Hosts, keys and the size
        # of bodies were checked before.
        self._manager = StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=2**31)
        await self._stack.enter_async_context(self._manager.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes it."""
        self._manager = None
        await self._stack.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if self._manager is None:
            raise UnavailableError("This server is still starting: try again.", headers={"retry-after": "1"})
        await self._manager.handle_request(scope, receive, send)


class Tools:
    """The tools and what they do."""

    def __init__(self, service: Service) -> None:
        """Takes the graph."""
        self.name = service.settings.name
        self._service = service
        about = {self.name: _ROUTES}
        about |= {expert.name: expert.description for expert in service.experts.values() if expert.name != self.name}
        self._tools = [
            Tool(
                name=name,
                description=text,
                input_schema=Question.model_json_schema(),
                output_schema=Answered.model_json_schema(),
                annotations=ToolAnnotations(destructive_hint=False, open_world_hint=True),
            )
            for name, text in about.items()
        ]

    async def listing(self, context: ServerRequestContext[Any], _: PaginatedRequestParams | None) -> ListToolsResult:
        """Lists them."""
        del context
        return ListToolsResult(tools=self._tools)

    async def call(self, context: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
        """Asks the graph or an expert; each expert that has answered is a step of progress.

        Raises:
            MCPError: If there is no such tool. All that goes wrong later is a result, which a model can read.
        """
        if params.name not in {tool.name for tool in self._tools}:
            raise MCPError(INVALID_PARAMS, f"There is no tool {params.name[:64]!r}: list them with tools/list.")
        query = (params.arguments or {}).get("query")
        if not isinstance(query, str) or set(params.arguments or ()) != {"query"}:
            return _failed("Send the question as query, a text, and nothing else.")
        try:
            return await self._answer(context, params.name, query)
        except Exception as error:  # noqa: BLE001 - a tool says what went wrong, it does not break
            logs.note(error=type(error).__name__)
            return _failed(str(refusal_of(error)))

    async def _answer(self, context: ServerRequestContext[Any], name: str, query: str) -> CallToolResult:
        self._service.check_prompt(query)
        ask = Ask([HumanMessage(query)], None if name == self.name else name)
        async with Run(self._service, ask) as run:
            decided = await run.decided()
            await context.session.report_progress(0, message=f"{decided.expert or 'nobody'} is asked")
            steps, ended = 0, Ended("")
            async for event in run:
                if isinstance(event, Hopped):
                    steps += 1
                    await context.session.report_progress(steps, message=f"{event.hop['expert']} has answered")
                elif isinstance(event, Ended):
                    ended = event
        result = Answered(
            answer=ended.answer,
            expert=decided.expert,
            confidence=decided.confidence,
            path=ended.path,
            run_id=run.id,
        )
        return CallToolResult(content=[TextContent(text=ended.answer)], structured_content=result.model_dump())


def _failed(why: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=why)], is_error=True)
