"""Assistants: the graph under settings of its own, in versions; and what the graph looks like."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query
from langchain_core.utils.uuid import uuid7
from starlette.responses import Response

from octopus_graph.persistence.records import Document
from octopus_graph_server.langgraph_api import answers, schemas
from octopus_graph_server.langgraph_api.backend import Backend
from octopus_graph_server.langgraph_api.bodies import Deferred, router
from octopus_graph_server.langgraph_api.described import answered
from octopus_graph_server.langgraph_api.shapes import Json, assistant_id_of, chosen, iso
from octopus_graph_server.problems import ConflictError, ForbiddenError, NotFoundError
from octopus_graph_server.service import Graph

__all__ = ["routes"]

VERSIONED = ("graph_id", "name", "description", "config", "context", "metadata")
Yes = Annotated[bool, Query()]


def routes(office: Deferred) -> APIRouter:  # noqa: C901, PLR0915 - one function for each endpoint
    """Makes the endpoints."""
    api = router("Assistants", office)

    def backend() -> Backend:
        return office.backend

    @api.post("/assistants", summary="Create an assistant", responses=answered(answers.Assistant, "The assistant"))
    async def create(body: schemas.AssistantCreate) -> Response:  # pyright: ignore[reportUnusedFunction]
        _check_graph(backend(), body.graph_id)
        assistant_id = body.assistant_id or str(uuid7())
        now = time.time()
        document: Document = {
            "assistant_id": assistant_id,
            "graph_id": body.graph_id,
            "name": body.name or "Untitled",
            "description": body.description,
            "config": body.config.model_dump(exclude_none=True) if body.config else {},
            "context": body.context or {},
            "metadata": body.metadata or {},
            "version": 1,
            "versions": [],
            "created_at": now,
            "updated_at": now,
        }
        document["versions"] = [_version(document)]
        if not await backend().assistants.add(assistant_id, document):
            if body.if_exists != "do_nothing":
                raise ConflictError("There is an assistant of that id: choose another, or if_exists=do_nothing.")
            document = await backend().assistant(assistant_id)
        return Json(_shown(document))

    @api.post(
        "/assistants/search",
        summary="Find assistants",
        responses=answered(list[answers.SomeOfAssistant], "A page of assistants", "x-pagination-next"),
    )
    async def search(body: schemas.AssistantSearch) -> Response:  # pyright: ignore[reportUnusedFunction]
        limit, offset = body.limit or 10, body.offset or 0
        where, also = _where(body)
        found = await backend().assistants.find(
            where,
            by=body.sort_by or "created_at",
            descending=body.sort_order != "asc",
            offset=offset,
            limit=limit + 1,
            also=also,
        )
        headers = {"x-pagination-next": str(offset + limit)} if len(found) > limit else {}
        return Json([chosen(_shown(one), body.select) for one in found[:limit]], headers=headers)

    @api.post("/assistants/count", summary="Count assistants", responses=answered(int, "How many there are"))
    async def count(body: schemas.AssistantSearch) -> Response:  # pyright: ignore[reportUnusedFunction]
        where, also = _where(body)
        return Json(await backend().assistants.count(where, also))

    @api.get(
        "/assistants/{assistant_id}",
        summary="Read an assistant",
        responses=answered(answers.Assistant, "The assistant"),
    )
    async def get(assistant_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        return Json(_shown(await backend().assistant(assistant_id)))

    @api.patch(
        "/assistants/{assistant_id}",
        summary="Make a new version of an assistant",
        responses=answered(answers.Assistant, "The new version"),
    )
    async def update(  # pyright: ignore[reportUnusedFunction]
        assistant_id: str, body: schemas.AssistantPatch
    ) -> Response:
        known = await backend().assistant(assistant_id)
        if body.graph_id is not None:
            _check_graph(backend(), body.graph_id)
        changes = body.model_dump(exclude_none=True)

        def changed(found: Document) -> Document:
            versions = found["versions"] or [_version(found)]
            metadata = {**found["metadata"], **changes.get("metadata", {})}
            new = {**found, **changes, "metadata": metadata, "updated_at": time.time()}
            new["version"] = max(one["version"] for one in versions) + 1
            return {**new, "versions": [*versions, _version(new)]}

        return Json(_shown(await backend().assistants.change(known["assistant_id"], changed) or known))

    @api.delete("/assistants/{assistant_id}", status_code=204, summary="Delete an assistant")
    async def delete(  # pyright: ignore[reportUnusedFunction]
        assistant_id: str, delete_threads: Yes = False
    ) -> Response:
        known = await backend().assistant(assistant_id)
        if known["assistant_id"] == assistant_id_of(backend().graph_id):
            raise ForbiddenError("The graph's own assistant stays: delete those you made.")
        await backend().assistants.remove(known["assistant_id"])
        if delete_threads:
            theirs = {"metadata": {"assistant_id": known["assistant_id"]}}
            for thread in await backend().threads.find(theirs, by="created_at"):
                await backend().forget_thread(thread["thread_id"])
        return Response(status_code=204)

    @api.post(
        "/assistants/{assistant_id}/versions",
        summary="List the versions of an assistant",
        responses=answered(list[answers.Assistant], "The assistant as it was in each version"),
    )
    async def versions(  # pyright: ignore[reportUnusedFunction]
        assistant_id: str, body: schemas.VersionSearch | None = None
    ) -> Response:
        known = await backend().assistant(assistant_id)
        asked = body or schemas.VersionSearch()
        found = sorted(known["versions"] or [_version(known)], key=lambda one: -one["version"])
        wanted = (asked.metadata or {}).items()
        found = [one for one in found if wanted <= one["metadata"].items()]
        offset = asked.offset or 0
        page = found[offset : offset + (asked.limit or 10)]
        return Json([{**_shown({**known, **one}), "created_at": iso(one["created_at"])} for one in page])

    @api.post(
        "/assistants/{assistant_id}/latest",
        summary="Put a version of an assistant in force",
        responses=answered(answers.Assistant, "The version now in force"),
    )
    async def latest(assistant_id: str, body: schemas.Latest) -> Response:  # pyright: ignore[reportUnusedFunction]
        known = await backend().assistant(assistant_id)
        versions = known["versions"] or [_version(known)]
        wanted = next((one for one in versions if one["version"] == body.version), None)
        if wanted is None:
            raise NotFoundError("The assistant has no version of that number.")
        kept = {name: one for name, one in wanted.items() if name != "created_at"}
        now = await backend().assistants.change(
            known["assistant_id"], lambda found: {**found, **kept, "updated_at": time.time()}
        )
        return Json(_shown(now or known))

    @api.get(
        "/assistants/{assistant_id}/graph",
        summary="Draw the graph",
        responses=answered(answers.Drawing, "Nodes and edges"),
    )
    async def graph(assistant_id: str, xray: str = "false") -> Response:  # pyright: ignore[reportUnusedFunction]
        await backend().assistant(assistant_id)
        depth = int(xray) if xray.isascii() and xray.isdigit() and len(xray) < 4 else xray.lower() == "true"
        drawn = await backend().graph.aget_graph(xray=depth)
        return Json(drawn.to_json())

    @api.get(
        "/assistants/{assistant_id}/schemas",
        summary="Read the graph's JSON schemas",
        responses=answered(answers.GraphSchemas, "The schemas"),
    )
    async def schemas_of(assistant_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        await backend().assistant(assistant_id)
        return Json({"graph_id": backend().graph_id, **_schemas(backend().graph)})

    async def below(assistant_id: str, namespace: str | None, recurse: bool) -> Response:
        await backend().assistant(assistant_id)
        graph: Any = backend().graph
        found = graph.aget_subgraphs(namespace=namespace, recurse=recurse)
        return Json({name: {"graph_id": name, **_schemas(one)} async for name, one in found})

    @api.get(
        "/assistants/{assistant_id}/subgraphs",
        summary="Read the schemas of the graph's subgraphs",
        responses=answered(answers.Subgraphs, "The schemas of each subgraph"),
    )
    async def subgraphs(assistant_id: str, recurse: Yes = False) -> Response:  # pyright: ignore[reportUnusedFunction]
        return await below(assistant_id, None, recurse)

    @api.get(
        "/assistants/{assistant_id}/subgraphs/{namespace}",
        summary="Read the schemas of one subgraph",
        responses=answered(answers.Subgraphs, "The schemas of the subgraph"),
    )
    async def subgraph(  # pyright: ignore[reportUnusedFunction]
        assistant_id: str, namespace: str, recurse: Yes = False
    ) -> Response:
        return await below(assistant_id, namespace, recurse)

    return api


def _check_graph(backend: Backend, graph_id: str) -> None:
    if graph_id != backend.graph_id:
        raise NotFoundError(f"There is no graph of that name here: use {backend.graph_id!r}.")


def _where(body: schemas.AssistantSearch) -> tuple[dict[str, Any], Any]:
    where: dict[str, Any] = {}
    if body.metadata:
        where["metadata"] = body.metadata
    if body.graph_id is not None:
        where["graph_id"] = body.graph_id
    part = (body.name or "").casefold()

    def named(one: Document) -> bool:
        return part in one["name"].casefold()

    return where, named if part else None


def _version(document: Document) -> Document:
    kept = {name: document[name] for name in VERSIONED}
    return {**kept, "version": document["version"], "created_at": document["updated_at"]}


def _shown(document: Document) -> dict[str, Any]:
    times = {"created_at": iso(document["created_at"]), "updated_at": iso(document["updated_at"])}
    return {**{name: one for name, one in document.items() if name != "versions"}, **times}


def _schemas(graph: Any) -> dict[str, Any]:
    def written(make: Any) -> Any:
        try:
            return make()
        except Exception:  # noqa: BLE001 - pydantic knows no schema for some types, and says so in many ways
            return None

    return {
        "input_schema": written(graph.get_input_jsonschema),
        "output_schema": written(graph.get_output_jsonschema),
        "state_schema": written(lambda: _state_schema(graph)),
        "config_schema": written(graph.get_config_jsonschema),
        "context_schema": written(graph.get_context_jsonschema),
    }


def _state_schema(graph: Graph) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(graph.builder.state_schema).json_schema()
