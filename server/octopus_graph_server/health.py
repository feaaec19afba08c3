"""Whether the server lives, and whether it should be sent requests."""

from fastapi import APIRouter

from octopus_graph_server.service import Service

__all__ = ["routes"]


def routes(service: Service) -> APIRouter:
    """Makes the endpoints that probes ask."""
    del service
    router = APIRouter(tags=["Health"])

    @router.get("/health/live", summary="Is the process alive?")
    async def live() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        """Answers as long as the process can answer at all."""
        return {"status": "alive"}

    return router
