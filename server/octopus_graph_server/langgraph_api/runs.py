"""Runs: waited for, streamed, left in the background, listed, joined, stopped, deleted."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from octopus_graph.persistence.records import Document
from octopus_graph_server.langgraph_api import answers, schemas
from octopus_graph_server.langgraph_api.bodies import Deferred, router
from octopus_graph_server.langgraph_api.described import answered, streamed
from octopus_graph_server.langgraph_api.feeds import Stream
from octopus_graph_server.langgraph_api.listening import Listener, number_of
from octopus_graph_server.langgraph_api.runner import ENDED, Going
from octopus_graph_server.langgraph_api.shapes import Json, chosen, dumps, iso
from octopus_graph_server.problems import ConflictError, NotFoundError, UnprocessableError

__all__ = ["routes"]

PATIENCE = 5.0  # seconds after which a waiting client is sent a line break, so that nothing on the way gives up
NUMBER = "^(.*:)?(-[0-9]{1,11}|[0-9]{1,12})$"
LastEvent = Annotated[str | None, Header(alias="last-event-id", max_length=200, json_schema_extra={"pattern": NUMBER})]
Modes = Annotated[list[str] | None, Query()]
Action = Annotated[str, Query(pattern="^(interrupt|rollback)$")]

EVENTS = streamed("RunEvent", "What happens, event by event", "location", "content-location")
RESULT = answered(answers.Result, "The result", "location", "content-location")
BEGUN = answered(answers.Run, "The run", "content-location")
STOPPED = answered(answers.Stopped, "With `wait`: it has stopped") | {202: {"description": "It was told to stop"}}


def routes(office: Deferred) -> APIRouter:  # noqa: C901, PLR0915 - one function for each endpoint
    """Makes the endpoints."""
    api = router("Runs", office)

    async def stream(body: schemas.RunCreate, thread_id: str | None) -> Response:
        going = await office.runner.create(body, thread_id)
        leave = _stops(office, going) if body.on_disconnect == "cancel" else None
        lines = Listener(office.backend, office.runner).lines(going.run_id, 0, ())
        return Stream(lines, headers=_places(going.document, "stream", thread_id), on_leave=leave)

    async def wait(body: schemas.RunCreate, thread_id: str | None) -> Response:
        going = await office.runner.create(body, thread_id)
        leave = _stops(office, going) if body.on_disconnect == "cancel" else None
        headers = _places(going.document, "join", thread_id)
        return Stream(_patient(_result(office, going)), headers=headers, on_leave=leave, media_type="application/json")

    async def create(body: schemas.RunCreate, thread_id: str | None) -> Document:
        return (await office.runner.create(body, thread_id, background=True)).document

    @api.post("/threads/{thread_id}/runs/stream", summary="Run on a thread, and stream what is said", **EVENTS)
    async def stream_on(thread_id: str, body: schemas.RunCreate) -> Response:  # pyright: ignore[reportUnusedFunction]
        return await stream(body, thread_id)

    @api.post("/runs/stream", summary="Run without a thread, and stream what is said", **EVENTS)
    async def stream_once(body: schemas.RunCreate) -> Response:  # pyright: ignore[reportUnusedFunction]
        return await stream(body, None)

    @api.post("/threads/{thread_id}/runs/wait", summary="Run on a thread, and wait for the result", responses=RESULT)
    async def wait_on(thread_id: str, body: schemas.RunCreate) -> Response:  # pyright: ignore[reportUnusedFunction]
        return await wait(body, thread_id)

    @api.post("/runs/wait", summary="Run without a thread, and wait for the result", responses=RESULT)
    async def wait_once(body: schemas.RunCreate) -> Response:  # pyright: ignore[reportUnusedFunction]
        return await wait(body, None)

    @api.post("/threads/{thread_id}/runs", summary="Run on a thread in the background", responses=BEGUN)
    async def create_on(thread_id: str, body: schemas.RunCreate) -> Response:  # pyright: ignore[reportUnusedFunction]
        run = await create(body, thread_id)
        return Json(_shown(run), headers={"content-location": f"/threads/{run['thread_id']}/runs/{run['run_id']}"})

    @api.post("/runs", summary="Run without a thread in the background", responses=BEGUN)
    async def create_once(body: schemas.RunCreate) -> Response:  # pyright: ignore[reportUnusedFunction]
        run = await create(body, None)
        return Json(_shown(run), headers={"content-location": f"/runs/{run['run_id']}"})

    @api.post(
        "/runs/batch",
        summary="Run several times in the background, without threads",
        responses=answered(list[answers.Run], "The runs, in the order of their bodies"),
    )
    async def batch(body: list[schemas.RunCreate]) -> Response:  # pyright: ignore[reportUnusedFunction]
        if len(body) > 100:
            raise UnprocessableError("A batch holds at most 100 runs.")
        return Json([_shown(await create(one, None)) for one in body])

    @api.post("/runs/cancel", status_code=204, summary="Stop runs")
    async def cancel_many(  # pyright: ignore[reportUnusedFunction]
        body: schemas.RunsCancel, action: Action = "interrupt"
    ) -> Response:
        for run in await _chosen_runs(office, body):
            await office.runner.stop(run, action)
        return Response(status_code=204)

    @api.get(
        "/threads/{thread_id}/runs",
        summary="List the runs of a thread, the newest first",
        responses=answered(list[answers.SomeOfRun], "A page of runs"),
    )
    async def list_runs(  # pyright: ignore[reportUnusedFunction]
        thread_id: str,
        limit: Annotated[int, Query(ge=1, le=1000)] = 10,
        offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
        status: str | None = None,
        select: Modes = None,
    ) -> Response:
        await office.backend.thread(thread_id)
        where = {"thread_id": thread_id, **({"status": status} if status else {})}
        found = await office.backend.runs.find(where, by="created_at", offset=offset, limit=limit)
        return Json([chosen(_shown(run), select) for run in found])

    @api.get("/threads/{thread_id}/runs/{run_id}", summary="Read a run", responses=answered(answers.Run, "The run"))
    async def get(thread_id: str, run_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        return Json(_shown(await _known(office, thread_id, run_id)))

    @api.get("/threads/{thread_id}/runs/{run_id}/join", summary="Wait for a run's result", responses=RESULT)
    async def join(  # pyright: ignore[reportUnusedFunction]
        thread_id: str, run_id: str, cancel_on_disconnect: bool = False
    ) -> Response:
        run = await _known(office, thread_id, run_id)
        leave = _stops_run(office, run) if cancel_on_disconnect else None
        lines = _patient(_joined(office, run))
        return Stream(lines, headers=_places(run, "join", thread_id), on_leave=leave, media_type="application/json")

    async def listen(
        thread_id: str | None, run_id: str, modes: list[str] | None, last_event_id: str | None, *, stop: bool
    ) -> Response:
        run = await _known(office, thread_id, run_id)
        leave = _stops_run(office, run) if stop else None
        lines = Listener(office.backend, office.runner).lines(run_id, number_of(last_event_id), _modes(modes))
        return Stream(lines, headers=_places(run, "stream", thread_id), on_leave=leave)

    @api.get("/runs/{run_id}/stream", summary="Listen to a run without a thread, from an event on", **EVENTS)
    async def join_once(  # pyright: ignore[reportUnusedFunction]
        run_id: str, cancel_on_disconnect: bool = False, stream_mode: Modes = None, last_event_id: LastEvent = None
    ) -> Response:
        return await listen(None, run_id, stream_mode, last_event_id, stop=cancel_on_disconnect)

    @api.get("/threads/{thread_id}/runs/{run_id}/stream", summary="Listen to a run, from an event on", **EVENTS)
    async def join_on(  # pyright: ignore[reportUnusedFunction]
        thread_id: str,
        run_id: str,
        cancel_on_disconnect: bool = False,
        stream_mode: Modes = None,
        last_event_id: LastEvent = None,
    ) -> Response:
        return await listen(thread_id, run_id, stream_mode, last_event_id, stop=cancel_on_disconnect)

    @api.post("/threads/{thread_id}/runs/{run_id}/cancel", summary="Stop a run", responses=STOPPED)
    async def cancel(  # pyright: ignore[reportUnusedFunction]
        thread_id: str, run_id: str, wait: bool = False, action: Action = "interrupt"
    ) -> Response:
        run = await _known(office, thread_id, run_id)
        if run["status"] in ENDED:
            raise ConflictError("The run has ended: there is nothing to stop.")
        await office.runner.stop(run, action, wait=wait)
        return Json({}) if wait else Response(status_code=202)

    @api.delete("/threads/{thread_id}/runs/{run_id}", status_code=204, summary="Delete a run that has ended")
    async def delete(thread_id: str, run_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        run = await _known(office, thread_id, run_id)
        if run["status"] not in ENDED:
            raise ConflictError("The run goes on: stop it before you delete it.")
        await office.backend.journal.remove(run_id)
        await office.backend.runs.remove(run_id)
        return Response(status_code=204)

    @api.get(
        "/threads/{thread_id}/stream",
        summary="Listen to all runs of a thread",
        **streamed("ThreadEvent", "What happens, as it happens"),
    )
    async def thread_stream(  # pyright: ignore[reportUnusedFunction]
        thread_id: str, stream_mode: Modes = None, stream_modes: Modes = None, last_event_id: LastEvent = None
    ) -> Response:
        await office.backend.thread(thread_id)
        modes = _modes(stream_mode or stream_modes) or ["run_modes"]
        lines = Listener(office.backend, office.runner).thread_lines(thread_id, modes, last_event_id)
        return Stream(lines, headers={})

    return api


async def _known(office: Deferred, thread_id: str | None, run_id: str) -> Document:
    """Reads a run, from here if it goes on here: one without a thread may be known nowhere else."""
    going = office.runner.going.get(run_id)
    found = await office.backend.runs.get(run_id)
    if found is None and going is not None:
        found = going.document
    if found is None or thread_id not in (None, found["thread_id"]):
        raise NotFoundError("There is no run of that id on this thread.")
    return found


def _shown(run: Document) -> dict[str, Any]:
    times = {"created_at": iso(run["created_at"]), "updated_at": iso(run["updated_at"])}
    hidden = ("owner", "temporary", "forgotten_at", "begun_at")
    return {**{name: one for name, one in run.items() if name not in hidden}, **times}


def _places(run: Document, end: str, thread_id: str | None) -> dict[str, str]:
    place = f"/threads/{run['thread_id']}/runs/{run['run_id']}"
    return {"location": f"{place}/{end}", "content-location": place if thread_id else f"/runs/{run['run_id']}"}


def _modes(given: list[str] | None) -> list[str]:
    """Reads modes as the clients write them: one each, with commas, or as a JSON list."""
    modes: list[str] = []
    for one in given or ():
        if one.startswith("["):
            try:
                modes += [str(mode) for mode in orjson.loads(one)]
            except orjson.JSONDecodeError:
                raise UnprocessableError("The stream modes are not a JSON list.", param="stream_mode") from None
        else:
            modes += [mode.strip() for mode in one.split(",") if mode.strip()]
    return modes


def _stops(office: Deferred, going: Going) -> Any:
    async def leave() -> None:
        office.runner.stop_here(going, "interrupt")

    return leave


def _stops_run(office: Deferred, run: Document) -> Any:
    async def leave() -> None:
        await office.runner.stop(run, "interrupt")

    return leave


async def _chosen_runs(office: Deferred, body: schemas.RunsCancel) -> list[Document]:
    backend = office.backend
    if body.status is not None:
        if body.thread_id or body.run_ids:
            raise UnprocessableError("Name a status, or a thread and its runs, not both.")
        wanted = ("pending", "running") if body.status == "all" else (body.status,)
        return [run for status in wanted for run in await backend.runs.find({"status": status}, by="created_at")]
    if not body.thread_id or not body.run_ids:
        raise UnprocessableError("Name a status, or a thread and its runs.")
    found = [await backend.run(body.thread_id, run_id) for run_id in body.run_ids]
    return [run for run in found if run["status"] not in ENDED]


async def _result(office: Deferred, going: Going) -> bytes:
    """The result of a run of this process."""
    await going.ended.wait()
    if going.error is not None:
        return dumps({"__error__": going.error})
    if going.plan.values is None and not going.temporary:
        return await _joined(office, going.document)
    return dumps(going.plan.values if going.plan.values is not None else {})


async def _joined(office: Deferred, run: Document) -> bytes:
    """The result of a run that goes on anywhere, or has ended."""
    backend = office.backend
    going = office.runner.going.get(run["run_id"])
    found = await office.runner.ended(run["run_id"])
    if found is not None and found["error"]:
        return dumps({"__error__": found["error"]})
    if going is not None and going.plan.values is not None:
        return dumps(going.plan.values)
    if run["temporary"]:
        said = await Listener(backend, office.runner).last_values(run["run_id"])
        return b"{}" if said is None else said
    snapshot = await backend.graph.aget_state({"configurable": {"thread_id": run["thread_id"]}})
    values: Any = snapshot.values
    return dumps({**values, "__interrupt__": list(snapshot.interrupts)} if snapshot.interrupts else values)


async def _patient(result: Any) -> AsyncGenerator[bytes]:
    """Sends line breaks until the result is there; JSON may begin with them."""
    task = asyncio.ensure_future(result)
    try:
        while not (await asyncio.wait({task}, timeout=PATIENCE))[0]:
            yield b"\n"
        yield task.result()
    finally:
        task.cancel()
