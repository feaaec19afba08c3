"""The graph as an A2A agent: its card, JSON-RPC at /a2a and plain HTTP below /a2a/v1; the protocol is the SDK's."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from hashlib import sha256
from importlib.metadata import version
from typing import Any

from a2a.auth.user import User
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.request_handlers.response_helpers import agent_card_to_dict
from a2a.server.routes import create_jsonrpc_routes, create_rest_routes
from a2a.server.routes.common import DefaultServerCallContextBuilder
from a2a.types.a2a_pb2 import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    HTTPAuthSecurityScheme,
    SecurityRequirement,
    SecurityScheme,
    StringList,
)
from fastapi import FastAPI, Request
from starlette.routing import Route
from typing_extensions import override

from octopus_graph_server.a2a_agent import OctopusAgent
from octopus_graph_server.a2a_tasks import Tasks
from octopus_graph_server.routing import NamedRoute
from octopus_graph_server.service import Service

__all__ = ["mount"]

RPC = "/a2a"
REST = "/a2a/v1"
CARD = "/.well-known/agent-card.json"


def mount(app: FastAPI, service: Service) -> AbstractAsyncContextManager[object]:
    """Adds the endpoints.

    Returns:
        What is open for as long as the app runs.
    """
    tasks = Tasks(service)
    handler = DefaultRequestHandler(OctopusAgent(service), tasks, card(service, ""))
    callers = _Callers()
    found: list[Any] = [
        *create_jsonrpc_routes(handler, RPC, callers, enable_v0_3_compat=True),
        *create_rest_routes(handler, callers, path_prefix=REST),
    ]
    app.router.routes.extend(
        NamedRoute(route.path, route.endpoint, methods=list(route.methods or ()), include_in_schema=False)
        for route in found
        if isinstance(route, Route)  # the SDK's mount for tenants would catch every path there is
    )

    shown = {"content": {"application/json": {"example": agent_card_to_dict(card(service, "http://127.0.0.1:8000"))}}}

    @app.get(CARD, tags=["A2A"], summary="Get the agent's card", responses={200: shown})
    async def agent_card(request: Request) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Says what the agent can do, a skill for each expert, and where it is spoken to."""
        return agent_card_to_dict(card(service, str(request.base_url).rstrip("/")))

    return _opened(tasks)


@asynccontextmanager
async def _opened(tasks: Tasks) -> AsyncGenerator[None]:
    async with tasks.opened():
        yield


def card(service: Service, base: str) -> AgentCard:
    """Makes the agent's card.

    Args:
        service: The graph.
        base: The server's address as the client sees it.
    """
    described = [
        AgentSkill(
            id=expert.name,
            name=expert.name.replace("_", " ").capitalize(),
            description=expert.description,
            tags=[expert.name],
        )
        for expert in service.experts.values()
    ]
    name = service.settings.name
    made = AgentCard(
        name=name,
        description="Routes each message to the expert for it. A message whose metadata hold a skill goes there.",
        version=version("octopus-graph"),
        supported_interfaces=[
            AgentInterface(url=f"{base}{RPC}", protocol_binding="JSONRPC", protocol_version="1.0"),
            AgentInterface(url=f"{base}{REST}", protocol_binding="HTTP+JSON", protocol_version="1.0"),
            AgentInterface(url=f"{base}{RPC}", protocol_binding="JSONRPC", protocol_version="0.3"),
        ],
        capabilities=AgentCapabilities(streaming=True, push_notifications=False),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=described
        or [AgentSkill(id=name, name=name, description="Answers questions", tags=[name])],  # a card needs one
    )
    if service.settings.key_hashes:
        bearer = SecurityScheme(http_auth_security_scheme=HTTPAuthSecurityScheme(scheme="bearer"))
        made.security_schemes["bearer"].CopyFrom(bearer)
        made.security_requirements.append(SecurityRequirement(schemes={"bearer": StringList()}))
    return made


class _Caller(User):
    """Who asks, by a hash of the key: tasks belong to those who began them."""

    def __init__(self, key: str) -> None:
        self._name = sha256(key.encode()).hexdigest() if key else ""

    @property
    @override
    def is_authenticated(self) -> bool:
        return bool(self._name)

    @property
    @override
    def user_name(self) -> str:
        return self._name


class _Callers(DefaultServerCallContextBuilder):
    @override
    def build(self, request: Request) -> ServerCallContext:
        made = super().build(request)
        made.state["path"] = request.url.path
        return made

    @override
    def build_user(self, request: Request) -> User:
        return _Caller(request.headers.get("authorization") or request.headers.get("x-api-key") or "")
