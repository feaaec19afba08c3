"""Threads: made, found, changed, copied, cut down, deleted. What they hold lies with their checkpoints."""

import time
from typing import Annotated, Any, cast

from fastapi import APIRouter, Header
from langchain_core.utils.uuid import uuid7
from langgraph.errors import InvalidUpdateError  # pyright: ignore[reportMissingTypeStubs]
from langgraph.types import StateUpdate  # pyright: ignore[reportMissingTypeStubs]
from starlette.responses import Response

from octopus_graph.persistence.records import Document
from octopus_graph_server.langgraph_api import answers, schemas
from octopus_graph_server.langgraph_api.backend import Backend
from octopus_graph_server.langgraph_api.bodies import Deferred, router
from octopus_graph_server.langgraph_api.described import answered
from octopus_graph_server.langgraph_api.failing import failure_of
from octopus_graph_server.langgraph_api.plans import command_of
from octopus_graph_server.langgraph_api.runner import new_thread
from octopus_graph_server.langgraph_api.shapes import Json, chosen, interrupt_of, iso
from octopus_graph_server.problems import ConflictError, UnprocessableError

__all__ = ["routes"]

Prefer = Annotated[str | None, Header(description="return=minimal: answer 204, without the thread")]
MINIMAL: dict[int | str, dict[str, Any]] = {204: {"description": "With `prefer: return=minimal`: it is changed"}}


def routes(office: Deferred) -> APIRouter:  # noqa: C901, PLR0915 - one function for each endpoint
    """Makes the endpoints."""
    api = router("Threads", office)

    @api.post("/threads", summary="Create a thread", responses=answered(answers.Thread, "The thread"))
    async def create(body: schemas.ThreadCreate) -> Response:  # pyright: ignore[reportUnusedFunction]
        backend = office.backend
        thread_id = body.thread_id or str(uuid7())
        document = {**new_thread(thread_id, body.metadata or {}), **_lifetime(body.ttl)}
        if not await backend.threads.add(thread_id, document):
            if body.if_exists != "do_nothing":
                raise ConflictError("There is a thread of that id: choose another, or if_exists=do_nothing.")
            document = await backend.thread(thread_id)
        elif body.supersteps:
            await _write(backend, thread_id, body.supersteps)
        return Json(await _shown(backend, document))

    @api.post(
        "/threads/search",
        summary="Find threads",
        responses=answered(list[answers.SomeOfThread], "A page of threads", "x-pagination-next"),
    )
    async def search(body: schemas.ThreadSearch) -> Response:  # pyright: ignore[reportUnusedFunction]
        backend = office.backend
        limit, offset = body.limit or 10, body.offset or 0
        wanted = await _wanted(backend, body, None if body.values else limit + 1)
        shown = [await _shown(backend, one, _has_values(body)) for one in wanted]
        if body.values:
            shown = [one for one in shown if body.values.items() <= (one["values"] or {}).items()]
            shown = shown[offset : offset + limit + 1]
        headers = {"x-pagination-next": str(offset + limit)} if len(shown) > limit else {}
        return Json([_selected(one, body) for one in shown[:limit]], headers=headers)

    @api.post("/threads/count", summary="Count threads", responses=answered(int, "How many there are"))
    async def count(body: schemas.ThreadSearch) -> Response:  # pyright: ignore[reportUnusedFunction]
        backend = office.backend
        if not body.values:
            return Json(await backend.threads.count(_where(body)))
        found = [await _shown(backend, one) for one in await _wanted(backend, body, None)]
        return Json(sum(body.values.items() <= (one["values"] or {}).items() for one in found))

    @api.post(
        "/threads/prune",
        summary="Delete threads, or all but their latest checkpoints",
        responses=answered(answers.Pruned, "How many were pruned"),
    )
    async def prune(body: schemas.ThreadPrune) -> Response:  # pyright: ignore[reportUnusedFunction]
        backend = office.backend
        found = [one for one in dict.fromkeys(body.thread_ids) if await backend.threads.get(one) is not None]
        for thread_id in found:
            if body.strategy == "delete":
                await _delete(office, thread_id)
            else:
                await backend.saver.aprune([thread_id], strategy="keep_latest")
        return Json({"pruned_count": len(found)})

    @api.get("/threads/{thread_id}", summary="Read a thread", responses=answered(answers.Thread, "The thread"))
    async def get(thread_id: str, include: str = "") -> Response:  # pyright: ignore[reportUnusedFunction]
        backend = office.backend
        document = await backend.thread(thread_id)
        shown = await _shown(backend, document)
        if "ttl" in [part.strip() for part in include.split(",")] and document["ttl"]:
            lifetime = {"strategy": document["ttl"]["strategy"], "ttl_minutes": document["ttl"]["ttl"]}
            shown["ttl"] = {**lifetime, "expires_at": iso(document["expires_at"])}
        return Json(shown)

    @api.patch(
        "/threads/{thread_id}",
        summary="Change a thread's metadata or lifetime",
        responses=answered(answers.Thread, "The thread as it is now") | MINIMAL,
    )
    async def update(  # pyright: ignore[reportUnusedFunction]
        thread_id: str, body: schemas.ThreadPatch, prefer: Prefer = None
    ) -> Response:
        backend = office.backend
        await backend.thread(thread_id)
        changes = {**_lifetime(body.ttl), "updated_at": time.time()} if body.ttl else {"updated_at": time.time()}
        now = await backend.threads.change(
            thread_id, lambda found: {**found, **changes, "metadata": {**found["metadata"], **(body.metadata or {})}}
        )
        if prefer == "return=minimal":
            return Response(status_code=204)
        return Json(await _shown(backend, now or await backend.thread(thread_id)))

    @api.delete("/threads/{thread_id}", status_code=204, summary="Delete a thread")
    async def delete(thread_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        await office.backend.thread(thread_id)
        await _delete(office, thread_id)
        return Response(status_code=204)

    @api.post(
        "/threads/{thread_id}/copy", summary="Copy a thread", responses=answered(answers.Thread, "The new thread")
    )
    async def copy(thread_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        backend = office.backend
        source = await backend.thread(thread_id)
        target = str(uuid7())
        await backend.saver.acopy_thread(thread_id, target)
        status = "idle" if source["status"] == "busy" else source["status"]
        document = {**new_thread(target, {**source["metadata"], "thread_id": target}), "status": status}
        await backend.threads.add(target, document)
        return Json(await _shown(backend, document))

    return api


async def _delete(office: Deferred, thread_id: str) -> None:
    backend = office.backend
    for run_id in await backend.line.waiting(thread_id):
        if (run := await backend.runs.get(run_id)) is not None:
            await office.runner.stop(run, "interrupt", wait=True)
    await backend.forget_thread(thread_id)


async def _write(backend: Backend, thread_id: str, supersteps: list[schemas.Superstep]) -> None:
    steps = [
        [
            StateUpdate(cast(Any, command_of(one.command, backend.graph) if one.command else one.values), one.as_node)
            for one in step.updates
        ]
        for step in supersteps
    ]
    try:
        await backend.graph.abulk_update_state({"configurable": {"thread_id": thread_id}}, steps)
    except (InvalidUpdateError, ValueError, TypeError, KeyError) as error:
        await backend.forget_thread(thread_id)
        raise UnprocessableError(failure_of(InvalidUpdateError())["message"]) from error


def _lifetime(ttl: schemas.Ttl | float | None) -> dict[str, Any]:
    if ttl is None:
        return {}
    known = ttl if isinstance(ttl, schemas.Ttl) else schemas.Ttl(ttl=ttl)
    return {"ttl": known.model_dump(), "expires_at": time.time() + known.ttl * 60}


def _where(body: schemas.ThreadSearch) -> dict[str, Any]:
    where: dict[str, Any] = {}
    if body.metadata:
        where["metadata"] = body.metadata
    if body.status is not None:
        where["status"] = body.status
    return where


async def _wanted(backend: Backend, body: schemas.ThreadSearch, limit: int | None) -> list[Document]:
    ids = None if body.ids is None else set(body.ids)
    return await backend.threads.find(
        _where(body),
        by=body.sort_by or "updated_at",
        descending=body.sort_order != "asc",
        offset=0 if body.values else body.offset or 0,
        limit=limit,
        also=None if ids is None else lambda one: one["thread_id"] in ids,
    )


def _has_values(body: schemas.ThreadSearch) -> bool:
    wanted = {name.partition(".")[0] for name in body.select or ()}
    return not wanted or bool(body.extract or body.values) or not wanted.isdisjoint({"values", "interrupts"})


def _selected(shown: dict[str, Any], body: schemas.ThreadSearch) -> dict[str, Any]:
    kept = chosen(shown, body.select)
    if body.extract:
        kept["extracted"] = {name: _at(shown, path) for name, path in body.extract.items()}
    return kept


def _at(value: Any, path: str) -> Any:
    """Follows a path such as `values.messages[-1].content`."""
    for part in path.replace("[", ".").replace("]", "").split("."):
        try:
            if isinstance(value, list):
                value = cast(list[Any], value)[int(part)]
            else:
                value = cast(dict[str, Any], value)[part] if isinstance(value, dict) else getattr(value, _public(part))
        except (AttributeError, IndexError, KeyError, ValueError):
            return None
    return value


def _public(name: str) -> str:
    """Lets only fields of a message be read.

    Raises:
        AttributeError: If the name is no such field.
    """
    if name not in ("content", "type", "id", "name", "tool_calls"):
        raise AttributeError(name)
    return name


async def _shown(backend: Backend, document: Document, values: bool = True) -> dict[str, Any]:
    shown = {key: one for key, one in document.items() if key not in ("ttl", "expires_at")}
    for name in ("created_at", "updated_at", "state_updated_at"):
        shown[name] = iso(document[name])
    shown |= {"values": None, "interrupts": {}}
    if values:
        snapshot = await backend.graph.aget_state({"configurable": {"thread_id": document["thread_id"]}})
        if snapshot.created_at is not None:
            shown["values"] = snapshot.values
            shown["interrupts"] = {
                task.id: [interrupt_of(one) for one in task.interrupts] for task in snapshot.tasks if task.interrupts
            }
    return shown
