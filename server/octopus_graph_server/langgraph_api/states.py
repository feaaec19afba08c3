"""The states of a thread: now, at a checkpoint, through its history; and writing into it."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query
from langgraph.errors import InvalidUpdateError  # pyright: ignore[reportMissingTypeStubs]
from starlette.responses import Response

from octopus_graph_server.langgraph_api import answers, schemas
from octopus_graph_server.langgraph_api.bodies import Deferred, router
from octopus_graph_server.langgraph_api.described import answered
from octopus_graph_server.langgraph_api.plans import place_of
from octopus_graph_server.langgraph_api.shapes import Json, checkpoint_of, chosen, state_of
from octopus_graph_server.problems import ConflictError, NotFoundError, UnprocessableError

__all__ = ["routes"]

Select = Annotated[list[str] | None, Query(description="Fields to return, such as next or values.messages")]


def routes(office: Deferred) -> APIRouter:  # noqa: C901 - one function for each endpoint
    """Makes the endpoints."""
    api = router("Threads", office)

    async def read(thread_id: str, place: dict[str, Any], subgraphs: bool, select: list[str] | None) -> Response:
        backend = office.backend
        await backend.thread(thread_id)
        try:
            snapshot = await backend.graph.aget_state({"configurable": place}, subgraphs=subgraphs)
        except ValueError:
            raise NotFoundError("The graph has no subgraph of that namespace.") from None
        if place.get("checkpoint_id") and snapshot.created_at is None:
            raise NotFoundError("The thread has no checkpoint of that id.")
        return Json(chosen(state_of(snapshot), select))

    async def list_of(thread_id: str, asked: schemas.HistorySearch) -> Response:
        backend = office.backend
        await backend.thread(thread_id)
        before = asked.before if isinstance(asked.before, schemas.Place) else None
        before_id = asked.before if isinstance(asked.before, str) else None
        end = place_of(thread_id, before, before_id) if asked.before else None
        history = backend.graph.aget_state_history(
            {"configurable": place_of(thread_id, asked.checkpoint)},
            filter=asked.metadata,
            before={"configurable": end} if end and end.get("checkpoint_id") else None,
            limit=asked.limit or 10,
        )
        try:
            return Json([chosen(state_of(snapshot), asked.select) async for snapshot in history])
        except ValueError:
            raise NotFoundError("The graph has no subgraph of that namespace.") from None

    @api.get(
        "/threads/{thread_id}/state",
        summary="Read a thread's state",
        responses=answered(answers.SomeOfState, "The state"),
    )
    async def now(  # pyright: ignore[reportUnusedFunction]
        thread_id: str, subgraphs: bool = False, select: Select = None
    ) -> Response:
        return await read(thread_id, place_of(thread_id, None), subgraphs, select)

    @api.post(
        "/threads/{thread_id}/state/checkpoint",
        summary="Read a thread's state at a checkpoint",
        responses=answered(answers.SomeOfState, "The state"),
    )
    async def at_place(thread_id: str, body: schemas.StateAt) -> Response:  # pyright: ignore[reportUnusedFunction]
        return await read(thread_id, place_of(thread_id, body.checkpoint), body.subgraphs, body.select)

    @api.get(
        "/threads/{thread_id}/state/{checkpoint_id}",
        summary="Read a thread's state at a checkpoint, by its id",
        responses=answered(answers.SomeOfState, "The state"),
    )
    async def at(  # pyright: ignore[reportUnusedFunction]
        thread_id: str, checkpoint_id: str, subgraphs: bool = False, select: Select = None
    ) -> Response:
        return await read(thread_id, place_of(thread_id, None, checkpoint_id), subgraphs, select)

    @api.post(
        "/threads/{thread_id}/state",
        summary="Write into a thread's state",
        responses=answered(answers.Written, "Where it was written"),
    )
    async def update(  # pyright: ignore[reportUnusedFunction]
        thread_id: str, body: schemas.StateUpdateBody
    ) -> Response:
        backend = office.backend
        await backend.thread(thread_id)
        if await backend.line.waiting(thread_id):
            raise ConflictError("The thread is busy: wait for its run, or cancel it.")
        place = place_of(thread_id, body.checkpoint, body.checkpoint_id)
        try:
            config = await backend.graph.aupdate_state({"configurable": place}, body.values, body.as_node)
        except (InvalidUpdateError, ValueError, TypeError, KeyError) as error:
            nodes = ", ".join(name for name in backend.graph.nodes if not name.startswith("__"))
            raise UnprocessableError(
                f"The state cannot take these values: see the graph's state schema; as_node is one of {nodes}."
            ) from error
        stopped = (await backend.graph.aget_state({"configurable": {"thread_id": thread_id}})).next
        await backend.mark_thread(thread_id, "interrupted" if stopped else "idle")
        checkpoint = checkpoint_of(config)
        return Json({"checkpoint": checkpoint, "configurable": config.get("configurable"), **(checkpoint or {})})

    @api.patch(
        "/threads/{thread_id}/state",
        summary="Add to a thread's metadata",
        responses=answered(answers.Patched, "Where the thread stands"),
    )
    async def patch(thread_id: str, body: schemas.ThreadPatch) -> Response:  # pyright: ignore[reportUnusedFunction]
        backend = office.backend
        await backend.thread(thread_id)
        added = {"metadata": body.metadata or {}}
        await backend.threads.change(
            thread_id,
            lambda found: {
                **found,
                "metadata": {**found["metadata"], **added["metadata"]},
                "updated_at": time.time(),
            },
        )
        state = await backend.graph.aget_state({"configurable": {"thread_id": thread_id}})
        return Json({"checkpoint": checkpoint_of(state.config)})

    @api.get(
        "/threads/{thread_id}/history",
        summary="List a thread's states, the newest first",
        responses=answered(list[answers.State], "States, the newest first"),
    )
    async def history(  # pyright: ignore[reportUnusedFunction]
        thread_id: str,
        limit: Annotated[int, Query(ge=1, le=1000)] = 10,
        before: Annotated[str | None, Query(max_length=1024)] = None,
    ) -> Response:
        return await list_of(thread_id, schemas.HistorySearch(limit=limit, before=before))

    @api.post(
        "/threads/{thread_id}/history",
        summary="Find states of a thread, the newest first",
        responses=answered(list[answers.SomeOfState], "States, the newest first"),
    )
    async def search(  # pyright: ignore[reportUnusedFunction]
        thread_id: str, body: schemas.HistorySearch | None = None
    ) -> Response:
        return await list_of(thread_id, body or schemas.HistorySearch())

    return api
