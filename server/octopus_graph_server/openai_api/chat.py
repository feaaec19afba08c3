"""POST /v1/chat/completions."""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from fastapi import APIRouter
from langchain_core.messages.ai import UsageMetadata
from starlette.responses import JSONResponse, Response

from octopus_graph_server.openai_api.common import (
    OpenAIRoute,
    decision_headers,
    error_of,
    frame,
    streamed,
    summary,
)
from octopus_graph_server.openai_api.conversation import ask_of_chat
from octopus_graph_server.openai_api.schemas import ChatRequest
from octopus_graph_server.running import CallPart, Ended, Run, Words
from octopus_graph_server.service import Service

__all__ = ["routes"]


def routes(service: Service) -> APIRouter:
    """Makes the endpoint."""
    router = APIRouter(route_class=OpenAIRoute)

    @router.post("/v1/chat/completions", summary="Answer a conversation", responses=_DOCUMENTED, response_model=None)
    async def complete(request: ChatRequest) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Routes the request at the end of a conversation and answers it; `model` may name an expert instead.

        The headers `x-octopus-expert`, `-confidence`, `-path` and `-run-id` say who answers; of a stream they are sent
        before the first word, when the path is not yet known beyond its first expert. Tools, response formats and
        images are passed on to the expert's model; such a request takes one hop. `usage` is what the models report,
        and is null where one of them reports nothing.
        """
        ask = ask_of_chat(service, request)
        async with AsyncExitStack() as stack:
            run = await stack.enter_async_context(Run(service, ask))
            decided = await run.decided()
            if request.stream:
                headers = decision_headers(run.id, decided)
                return streamed(service, _stream(run, request, stack.pop_all()), headers)
            ended = await run.ended()
        return JSONResponse(_completion(run.id, request.model, ended), headers=decision_headers(run.id, decided, ended))

    return router


_EXAMPLE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_764_000_000,
    "model": "octopus",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "3x^2"}, "logprobs": None, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 12, "completion_tokens": 4, "total_tokens": 16},
    "octopus": {"run_id": "1", "path": ["math"], "hops": [{"expert": "math", "confidence": 0.99}]},
}
_CHUNKS = 'data: {"object":"chat.completion.chunk","choices":[{"delta":{"content":"3x^2"}, …}], …}\n\ndata: [DONE]\n\n'
_DOCUMENTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; with `stream` its pieces as server-sent events, `[DONE]` last",
        "content": {
            "application/json": {"example": _EXAMPLE},
            "text/event-stream": {"schema": {"type": "string"}, "example": _CHUNKS},
        },
    },
}


def _completion(run_id: str, model: str, ended: Ended) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": ended.answer, "refusal": None}
    if ended.calls:
        message["content"] = ended.answer or None
        message["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": json.dumps(call["args"])},
            }
            for call in ended.calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(ended)}
    return {
        "id": f"chatcmpl-{run_id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [choice],
        "usage": _usage(ended.usage),
        "octopus": summary(run_id, ended),
    }


async def _stream(run: Run, request: ChatRequest, stack: AsyncExitStack) -> AsyncGenerator[bytes]:
    usage = bool(request.stream_options and request.stream_options.include_usage)
    frozen: dict[str, Any] = {
        "id": f"chatcmpl-{run.id}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": request.model,
    }

    def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return frame({**frozen, "choices": [choice], **({"usage": None} if usage else {}), **more})

    async with stack:
        try:
            yield chunk({"role": "assistant", "content": ""})
            async for event in _told(run):
                match event:
                    case Words(text):
                        yield chunk({"content": text})
                    case CallPart():
                        yield chunk({"tool_calls": [_call(event)]})
                    case Ended():
                        yield chunk({}, _reason(event), octopus=summary(run.id, event))
                        if usage:
                            yield frame({**frozen, "choices": [], "usage": _usage(event.usage)})
        except Exception as error:  # noqa: BLE001 - the status is sent: the error becomes the last event
            yield frame(error_of(error))
            return
        yield frame("[DONE]")


async def _told(run: Run) -> AsyncIterator[Words | CallPart | Ended]:
    async for event in run:
        if isinstance(event, Words | CallPart | Ended):
            yield event


def _call(part: CallPart) -> dict[str, Any]:
    if part.id is None:
        return {"index": part.index, "function": {"arguments": part.arguments}}
    function = {"name": part.name, "arguments": part.arguments}
    return {"index": part.index, "id": part.id, "type": "function", "function": function}


def _reason(ended: Ended) -> str:
    return "tool_calls" if ended.calls else "length" if ended.cut else "stop"


def _usage(usage: UsageMetadata | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    into, out = usage.get("input_token_details", {}), usage.get("output_token_details", {})
    return {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
        "prompt_tokens_details": {"cached_tokens": into.get("cache_read", 0), "audio_tokens": into.get("audio", 0)},
        "completion_tokens_details": {
            "reasoning_tokens": out.get("reasoning", 0),
            "audio_tokens": out.get("audio", 0),
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
