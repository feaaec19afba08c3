"""The endpoints of the agent streaming protocol: commands, and the events of a thread by channel."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from octopus_graph.errors import OctopusError
from octopus_graph.persistence.records import Document
from octopus_graph_server.langgraph_api import answers, schemas
from octopus_graph_server.langgraph_api.bodies import Deferred, router
from octopus_graph_server.langgraph_api.described import answered, streamed
from octopus_graph_server.langgraph_api.feeds import Stream, line_of
from octopus_graph_server.langgraph_api.listening import Listener
from octopus_graph_server.langgraph_api.plans import place_of
from octopus_graph_server.langgraph_api.protocol import CHANNELS, MODES, PER_MS, Filter, Said, Translator
from octopus_graph_server.langgraph_api.runner import ENDED
from octopus_graph_server.langgraph_api.shapes import Json, dumps, state_of
from octopus_graph_server.problems import NotFoundError, UnprocessableError

__all__ = ["routes"]

LOOK = 0.1
QUIET = 150  # looks without anything new, after which a heartbeat is sent
RECENT = 30.0  # seconds for which the end of a run is still news to whoever begins to listen

CHANNEL = f"^({'|'.join(sorted(CHANNELS))}|custom:.*)$"  # for the document; a wrong one is refused below
Namespace = list[Annotated[str, Field(max_length=1024)]]


class CommandBody(BaseModel):
    """A command."""

    model_config = ConfigDict(extra="ignore")

    id: int = Field(ge=0)
    method: str = Field(max_length=100, examples=["run.start"])
    params: dict[str, Any] = {}


class EventsBody(BaseModel):
    """Which events of a thread are listened to."""

    model_config = ConfigDict(extra="ignore")

    channels: list[Annotated[str, Field(max_length=200, json_schema_extra={"pattern": CHANNEL})]] = Field(
        min_length=1, max_length=100
    )
    namespaces: list[Namespace] | None = Field(default=None, max_length=100)
    depth: int | None = Field(default=None, ge=0)
    since: int | None = Field(default=None, ge=0, description="The last seq known")


class _Start(schemas.Body):
    assistant_id: schemas.Text
    input: Any = None
    config: schemas.Config | None = None
    metadata: schemas.Fields | None = None
    multitask_strategy: Literal["reject", "interrupt", "rollback", "enqueue"] | None = None


class _Answer(schemas.Body):
    interrupt_id: schemas.Text
    response: Any = None


class _Respond(schemas.Body):
    responses: list[_Answer] = Field(min_length=1)
    update: Any = None
    goto: Any = None
    config: schemas.Config | None = None
    metadata: schemas.Fields | None = None


def routes(office: Deferred) -> APIRouter:
    """Makes the endpoints."""
    api = router("Runs", office)
    commands = Commands(office)

    @api.post(
        "/threads/{thread_id}/commands",
        summary="Start a run, answer an interrupt, read the state",
        responses=answered(answers.CommandObeyed | answers.CommandFailed, "What it led to, or why it was not obeyed"),
    )
    async def command(thread_id: str, body: CommandBody) -> Response:  # pyright: ignore[reportUnusedFunction]
        return Json(await commands.obey(thread_id, body))

    @api.post(
        "/threads/{thread_id}/stream/events",
        summary="Listen to a thread, by channel and namespace",
        **streamed("ChannelEvent", "What happens, as it happens"),
    )
    async def events(thread_id: str, body: EventsBody) -> Response:  # pyright: ignore[reportUnusedFunction]
        unknown = [one for one in body.channels if one not in CHANNELS and not one.startswith("custom:")]
        if unknown:
            raise UnprocessableError(f"The channels are {', '.join(sorted(CHANNELS))} and custom:<name>.")
        wanted = Filter(frozenset(body.channels), body.namespaces, body.depth)
        return Stream(_lines(office, thread_id, wanted, body.since), headers={})

    return api


class Commands:
    """Obeys commands."""

    def __init__(self, office: Deferred) -> None:
        """Takes what they work with."""
        self._office = office

    async def obey(self, thread_id: str, command: CommandBody) -> dict[str, Any]:
        """Obeys a command, and answers in the protocol's own shape even where it fails."""
        try:
            match command.method:
                case "run.start":
                    result = await self._start(thread_id, _Start.model_validate(command.params))
                case "input.respond":
                    params = command.params
                    many = params if "responses" in params else {**params, "responses": [params]}
                    result = await self._respond(thread_id, _Respond.model_validate(many))
                case "state.get":
                    result = await self._state(thread_id)
                case "state.listCheckpoints":
                    result = await self._checkpoints(thread_id, command.params)
                case _:
                    return _refused(command.id, "unknown_command", "There is no command of that name here.")
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, one["loc"])) for one in error.errors()[:5])
            return _refused(command.id, "invalid_argument", f"The command's parameters are wrong: {fields}.")
        except NotFoundError as error:
            return _refused(command.id, "no_such_run", str(error))
        except OctopusError as error:
            return _refused(command.id, "invalid_argument", str(error))
        return {"type": "success", "id": command.id, "result": result}

    async def _start(self, thread_id: str, asked: _Start) -> dict[str, Any]:
        backend = self._office.backend
        waiting: list[Any] = []
        if asked.input is not None and await backend.threads.get(thread_id) is not None:
            state = await backend.graph.aget_state({"configurable": {"thread_id": thread_id}})
            waiting = list(state.interrupts)
        fields: dict[str, Any] = {"command": {"resume": asked.input}} if waiting else {"input": asked.input}
        return await self._run(thread_id, asked.assistant_id, asked, fields)

    async def _respond(self, thread_id: str, asked: _Respond) -> dict[str, Any]:
        backend = self._office.backend
        thread = await backend.thread(thread_id)
        state = await backend.graph.aget_state({"configurable": {"thread_id": thread_id}})
        open_ = {one.id for one in state.interrupts}
        if any(one.interrupt_id not in open_ for one in asked.responses):
            raise UnprocessableError("No interrupt of that id waits for an answer on this thread.")
        resume = {one.interrupt_id: one.response for one in asked.responses}
        command = {"resume": resume, "update": asked.update, "goto": asked.goto}
        assistant = thread["metadata"].get("assistant_id") or backend.graph_id
        return await self._run(thread_id, assistant, asked, {"command": command})

    async def _run(
        self, thread_id: str, assistant: str, asked: _Start | _Respond, fields: dict[str, Any]
    ) -> dict[str, Any]:
        configurable = (asked.config.configurable if asked.config else None) or {}
        request = schemas.RunCreate.model_validate(
            {
                "assistant_id": assistant,
                "config": asked.config.model_dump(exclude_none=True) if asked.config else None,
                "metadata": asked.metadata,
                "checkpoint_id": configurable.get("checkpoint_id"),
                "multitask_strategy": getattr(asked, "multitask_strategy", None),
                "stream_mode": MODES,
                "stream_subgraphs": True,
                "stream_resumable": True,
                "if_not_exists": "create",
                **fields,
            }
        )
        going = await self._office.runner.create(request, thread_id, background=True)
        return {"run_id": going.run_id}

    async def _state(self, thread_id: str) -> dict[str, Any]:
        backend = self._office.backend
        await backend.thread(thread_id)
        state = state_of(await backend.graph.aget_state({"configurable": place_of(thread_id, None)}))
        here = state["checkpoint"]
        return {"values": state["values"], "checkpoint": {"id": here["checkpoint_id"], "ns": here["checkpoint_ns"]}}

    async def _checkpoints(self, thread_id: str, params: dict[str, Any]) -> dict[str, Any]:
        backend = self._office.backend
        await backend.thread(thread_id)
        asked = schemas.HistorySearch.model_validate({"limit": params.get("limit"), "before": params.get("before")})
        end = place_of(thread_id, None, asked.before if isinstance(asked.before, str) else None)
        history = backend.graph.aget_state_history(
            {"configurable": place_of(thread_id, None)},
            before={"configurable": end} if asked.before else None,
            limit=asked.limit or 10,
        )
        found = [state_of(one) async for one in history]
        return {
            "checkpoints": [
                {"id": one["checkpoint_id"], "timestamp": one["created_at"], "step": one["metadata"].get("step")}
                for one in found
            ]
        }


def _refused(command: int, error: str, message: str) -> dict[str, Any]:
    return {"type": "error", "id": command, "error": error, "message": message}


async def _lines(office: Deferred, thread_id: str, wanted: Filter, since: int | None) -> AsyncGenerator[bytes]:
    """Gives what the runs of a thread say, run after run, until the client leaves. The thread may be made later."""
    heard: set[str] = set()
    looks = 0
    first = True
    while True:
        for run in await _runs(office, thread_id, since, heard, first=first):
            looks = 0
            heard.add(run["run_id"])
            async with aclosing(_said(office, run)) as events:
                async for said in events:
                    if said is None:
                        yield line_of(None)
                    elif said["seq"] > (since or 0) and wanted.takes(said):
                        yield _line(said)
        first = False
        looks += 1
        if looks % QUIET == 0:
            yield line_of(None)
        await asyncio.sleep(LOOK)


async def _runs(office: Deferred, thread_id: str, since: int | None, heard: set[str], *, first: bool) -> list[Document]:
    """The runs to listen to, the oldest first: those not heard yet; at the beginning, the newest if it just ended."""
    backend = office.backend
    newest = await backend.runs.find({"thread_id": thread_id}, by="created_at", limit=20)
    now = office.backend.service.clock().timestamp()
    found: list[Document] = []
    for run in newest:
        if run["run_id"] in heard:
            continue
        going = run["status"] not in ENDED
        missed = since is not None and round(run["updated_at"] * 1000 + 10) * PER_MS > since
        fresh = since is None and first and run is newest[0] and now - run["updated_at"] < RECENT
        if going or missed or fresh or not first:
            found.append(run)
        else:
            heard.add(run["run_id"])
    return found[::-1]


async def _said(office: Deferred, run: Document) -> AsyncGenerator[Said | None]:
    backend = office.backend
    known = dict(run)
    translator = Translator(known, backend.graph_id, lambda: str(known["status"]))
    async with aclosing(Listener(backend, office.runner).events(run["run_id"], 0)) as events:
        async for event in events:
            if event is None:
                yield None
                continue
            if event.name in ("metadata", "end"):  # by now it has begun, and at its end its status is known
                known.update(await backend.runs.get(run["run_id"]) or {})
            for said in translator.of(event):
                yield said


def _line(said: Said) -> bytes:
    return f"event: {said['method']}\nid: {said['seq']}\ndata: ".encode() + dumps(said) + b"\n\n"
