"""GET /v1/models: the graph, which routes, and each expert, which is asked as it is named."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from octopus_graph_server.openai_api.common import OpenAIRoute, expert_named
from octopus_graph_server.service import Service

__all__ = ["routes"]


class Model(BaseModel):
    """A model by OpenAI's description, with what it is good for."""

    id: str = Field(description="What requests name it by", examples=["octopus"])
    object: Literal["model"] = Field(default="model", description="What this is")
    created: int = Field(description="When this server started, in seconds", examples=[1_764_000_000])
    owned_by: str = Field(default="octopus-graph", description="Whose it is")
    description: str = Field(description="What it is good for", examples=["Routes each request to the expert for it"])


class Models(BaseModel):
    """All models."""

    object: Literal["list"] = Field(default="list", description="What this is")
    data: list[Model] = Field(description="The graph, then its experts")


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

    @router.get("/v1/models/{model}", summary="Describe a model", response_model=Model)
    async def model(  # pyright: ignore[reportUnusedFunction]
        model: Annotated[str, Path(description="The graph's name or an expert's")],
    ) -> Model:
        """Describes one model."""
        return known[expert_named(service, model) or name]

    return router
