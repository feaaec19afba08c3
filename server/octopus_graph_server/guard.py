"""Who may ask, and how much: the layer between the log and the endpoints. To come with the next commit."""

from starlette.types import ASGIApp, Receive, Scope, Send

from octopus_graph_server.service import Service

__all__ = ["Guard"]


class Guard:
    """Lets through what may pass."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        """Wraps an app."""
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Checks a request and passes it on."""
        await self._app(scope, receive, send)
