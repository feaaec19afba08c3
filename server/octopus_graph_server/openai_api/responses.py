"""POST /v1/responses, and what is kept of a response, so that another one can go on from it.

A response that is stored is a thread of its own in the graph's saver, with the whole conversation up to it.
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Annotated, Any, cast
from uuid import uuid4

from fastapi import APIRouter, Path
from langchain_core.messages import AIMessage, AnyMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from octopus_graph_server.openai_api.common import OpenAIRoute, decision_headers, error_of, frame, streamed
from octopus_graph_server.openai_api.conversation import ask_of_response
from octopus_graph_server.openai_api.items import Draft, Events
from octopus_graph_server.openai_api.schemas import ResponseRequest
from octopus_graph_server.problems import BadRequestError, NotFoundError
from octopus_graph_server.running import Ask, Ended, Run
from octopus_graph_server.service import Service

__all__ = ["routes"]

_KEPT = "octopus_response"
ResponseId = Annotated[str, Path(max_length=128, description="The id of a stored response")]


class Deleted(BaseModel):
    """That a response is gone."""

    id: str = Field(description="Its id", examples=["resp_1"])
    object: str = Field(default="response", description="What it was")
    deleted: bool = Field(default=True, description="Always true")


def routes(service: Service) -> APIRouter:
    """Makes the endpoints."""
    router = APIRouter(route_class=OpenAIRoute)
    kept = Kept(service)

    @router.post("/v1/responses", summary="Make a response", responses=_DOCUMENTED, response_model=None)
    async def respond(request: ResponseRequest) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Routes and answers as chat completions do.

        With `previous_response_id` it goes on from a stored response. Functions are the only tools; built-in ones are
        refused. Headers and `usage` are those of chat completions.
        """
        earlier: list[AnyMessage] = []
        if request.previous_response_id:
            earlier, _ = await kept.find(request.previous_response_id, "previous_response_id")
        ask = ask_of_response(service, request, earlier)
        keeper = kept if request.store is not False and service.saver is not None else None
        draft = Draft(request, f"resp_{uuid4().hex}")
        async with AsyncExitStack() as stack:
            run = await stack.enter_async_context(Run(service, ask))
            decided = await run.decided()
            if request.stream:
                headers = decision_headers(run.id, decided)
                return streamed(service, _stream(run, ask, draft, keeper, stack.pop_all()), headers)
            ended = await run.ended()
        draft.fill(ended)
        body = draft.body("completed", run.id, ended)
        if keeper:
            await keeper.keep(ask, ended, body)
        return JSONResponse(body, headers=decision_headers(run.id, decided, ended))

    @router.get("/v1/responses/{response_id}", summary="Get a stored response", responses=_STORED, response_model=None)
    async def stored(response_id: ResponseId) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Returns a response as it was."""
        _, body = await kept.find(response_id, "response_id")
        return JSONResponse(body)

    @router.delete("/v1/responses/{response_id}", summary="Delete a stored response")
    async def delete(response_id: ResponseId) -> Deleted:  # pyright: ignore[reportUnusedFunction]
        """Deletes a response and the conversation up to it; responses that went on from it stay."""
        await kept.find(response_id, "response_id")
        await kept.delete(response_id)
        return Deleted(id=response_id)

    return router


_EXAMPLE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1_764_000_000,
    "status": "completed",
    "model": "octopus",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "3x^2", "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 12, "output_tokens": 4, "total_tokens": 16},
}
_EVENTS = 'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"3x^2", …}\n\n'
_STORED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The response", "content": {"application/json": {"example": _EXAMPLE}}}
}
_DOCUMENTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The response; with `stream` its events",
        "content": {
            "application/json": {"example": _EXAMPLE},
            "text/event-stream": {"schema": {"type": "string"}, "example": _EVENTS},
        },
    },
}


class Kept:
    """The responses in the graph's saver."""

    def __init__(self, service: Service) -> None:
        """Takes the graph."""
        self._service = service

    async def find(self, response_id: str, param: str) -> tuple[list[AnyMessage], dict[str, Any]]:
        """Returns the conversation up to a response, and the response.

        Raises:
            NotFoundError: If it is not there.
            BadRequestError: If nothing is kept here at all.
        """
        if self._service.saver is None:
            raise BadRequestError("This server keeps no responses: send the whole conversation as input.", param=param)
        messages: list[AnyMessage] = []
        if response_id.startswith("resp_"):
            state = await self._service.graph.aget_state(_thread(response_id))
            messages = state.values.get("messages", [])
        body = messages[-1].response_metadata.get(_KEPT) if messages and isinstance(messages[-1], AIMessage) else None
        if not isinstance(body, dict):
            raise NotFoundError(
                f"There is no response {response_id[:64]!r} here: it was not stored, or is gone.", param=param
            )
        # The responses before need not be written down again with the next one.
        bare: list[Any] = [message.model_copy(update={"response_metadata": {}}) for message in messages]
        return bare, cast(dict[str, Any], body)

    async def keep(self, ask: Ask, ended: Ended, body: dict[str, Any]) -> None:
        """Writes a conversation down; the instructions belong to one response alone and are left out."""
        asked = list(ask.messages)
        if body["instructions"] and isinstance(asked[0], SystemMessage):
            asked.pop(0)
        said = AIMessage(ended.answer, tool_calls=list(ended.calls), response_metadata={_KEPT: body})
        graph = self._service.graph
        last = "finish" if "finish" in graph.nodes else "__start__"
        await graph.aupdate_state(_thread(body["id"]), {"messages": [*asked, said]}, as_node=last)

    async def delete(self, response_id: str) -> None:
        """Deletes one."""
        if self._service.saver is not None:
            await self._service.saver.adelete_thread(response_id)


def _thread(response_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": response_id}}


async def _stream(
    run: Run, ask: Ask, draft: Draft, keeper: Kept | None, stack: AsyncExitStack
) -> AsyncGenerator[bytes]:
    events = Events(draft)
    async with stack:
        for event in events.open():
            yield frame(event, event["type"])
        try:
            async for told in run:
                for event in events.tell(told):
                    yield frame(event, event["type"])
                if isinstance(told, Ended):
                    last = events.close(run.id, told)
                    if keeper:
                        await keeper.keep(ask, told, last["response"])
                    yield frame(last, last["type"])
        except Exception as error:  # noqa: BLE001 - the status is sent: the error becomes the last event
            failed = events.fail(error_of(error)["error"])
            yield frame(failed, failed["type"])
