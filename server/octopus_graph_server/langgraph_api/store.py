"""The store: items of long-term memory by namespace and key."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from langgraph.store.base import (  # pyright: ignore[reportMissingTypeStubs]
    InvalidNamespaceError,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    SearchOp,
)
from starlette.responses import Response

from octopus_graph_server.langgraph_api import answers, schemas
from octopus_graph_server.langgraph_api.bodies import Deferred, router
from octopus_graph_server.langgraph_api.described import answered
from octopus_graph_server.langgraph_api.shapes import Json
from octopus_graph_server.problems import NotFoundError, UnprocessableError

__all__ = ["routes"]


def routes(office: Deferred) -> APIRouter:
    """Makes the endpoints."""
    api = router("Store", office)

    async def ask(op: Op) -> Any:
        try:
            return (await office.backend.store.abatch([op]))[0]
        except (InvalidNamespaceError, ValueError) as error:
            raise UnprocessableError(str(error)) from None

    @api.put("/store/items", status_code=204, summary="Put an item")
    async def put(body: schemas.ItemPut) -> Response:  # pyright: ignore[reportUnusedFunction]
        await ask(PutOp(tuple(body.namespace), body.key, body.value, None, body.ttl))
        return Response(status_code=204)

    @api.get("/store/items", summary="Read an item", responses=answered(answers.Item, "The item"))
    async def get(  # pyright: ignore[reportUnusedFunction]
        key: str,
        namespace: Annotated[list[str] | None, Query(description="Labels joined by points, or one each")] = None,
        refresh_ttl: bool = True,
    ) -> Response:
        labels = tuple(label for part in namespace or () for label in part.split("."))
        try:
            found = await office.backend.store.aget(labels, key, refresh_ttl=refresh_ttl) if labels else None
        except InvalidNamespaceError as error:
            raise UnprocessableError(str(error)) from None
        if found is None:
            raise NotFoundError("There is no item of that key in this namespace.")
        return Json(_shown(found))

    @api.delete("/store/items", status_code=204, summary="Delete an item")
    async def delete(body: schemas.ItemDelete) -> Response:  # pyright: ignore[reportUnusedFunction]
        await ask(PutOp(tuple(body.namespace), body.key, None))
        return Response(status_code=204)

    @api.post("/store/items/search", summary="Find items", responses=answered(answers.Items, "A page of items"))
    async def search(body: schemas.ItemSearch) -> Response:  # pyright: ignore[reportUnusedFunction]
        refresh = body.refresh_ttl if body.refresh_ttl is not None else True
        prefix = tuple(body.namespace_prefix)
        op = SearchOp(prefix, body.filter, body.limit or 10, body.offset or 0, body.query, refresh)
        return Json({"items": [{**_shown(item), "score": None} for item in await ask(op)]})

    @api.post(
        "/store/namespaces", summary="List namespaces", responses=answered(answers.Namespaces, "A page of namespaces")
    )
    async def namespaces(body: schemas.NamespaceSearch) -> Response:  # pyright: ignore[reportUnusedFunction]
        conditions = [
            MatchCondition(kind, tuple(path))  # pyright: ignore[reportArgumentType]
            for kind, path in (("prefix", body.prefix), ("suffix", body.suffix))
            if path
        ]
        op = ListNamespacesOp(tuple(conditions) or None, body.max_depth, body.limit or 100, body.offset or 0)
        return Json({"namespaces": [list(one) for one in await ask(op)]})

    return api


def _shown(item: Item) -> dict[str, Any]:
    return {
        "namespace": list(item.namespace),
        "key": item.key,
        "value": item.value,
        "created_at": item.created_at,
        "updated_at": item.updated_at,
    }
