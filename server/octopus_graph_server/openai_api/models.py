"""GET /v1/models: the graph, which routes, and each expert, which is asked as it is named."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from octopus_graph_server.openai_api.common import ERRORS, OpenAIRoute, expert_named
from octopus_graph_server.service import Service

__all__ = ["routes"]


class Model(BaseModel):
    """A model by OpenAI's description, with what it is good for."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="When this server started, in seconds")
    owned_by: str = "octopus-graph"
    description: str


class Models(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[Model]


def routes(service: Service) -> APIRouter:
    """Makes the endpoints."""
    router = APIRouter(route_class=OpenAIRoute)
    created = int(service.clock().timestamp())
    name = service.settings.name
    about = {name: "Routes each request to the expert for it"}
    about |= {expert.name: expert.description for expert in service.experts.values() if expert.name != name}
    known = {model: Model(id=model, created=created, description=text) for model, text in about.items()}

    @router.get("/v1/models", summary="List the models")
    async def models() -> Models:  # pyright: ignore[reportUnusedFunction]
        """Lists the graph first, then its experts."""
        return Models(data=list(known.values()))

    @router.get("/v1/models/{model}", summary="Describe a model", response_model=Model, responses=_errors(404))
    async def model(  # pyright: ignore[reportUnusedFunction]
        model: Annotated[str, Path(description="The graph's name or an expert's")],
    ) -> Model:
        """Describes one model."""
        return known[expert_named(service, model) or name]

    return router


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: ERRORS[status] for status in statuses}
