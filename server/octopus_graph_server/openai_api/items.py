"""The objects a response is made of, and the events in which a stream tells them."""

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from langchain_core.messages.ai import UsageMetadata

from octopus_graph_server.openai_api.common import summary
from octopus_graph_server.openai_api.schemas import ResponseRequest
from octopus_graph_server.running import CallPart, Ended, Event, Words

__all__ = ["Draft", "Events"]


class Draft:
    """A response as it grows: a message, and the function calls after it."""

    def __init__(self, request: ResponseRequest, response_id: str) -> None:
        """Begins an empty one."""
        self.id = response_id
        self.output: list[dict[str, Any]] = []
        self._request = request
        self._created = int(time.time())

    def body(self, status: str, run_id: str = "", ended: Ended | None = None) -> dict[str, Any]:
        """Returns the response as an object."""
        asked = self._request
        cut = bool(ended and ended.cut)
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._created,
            "status": "incomplete" if cut else status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "instructions": asked.instructions,
            "max_output_tokens": asked.max_output_tokens,
            "metadata": asked.metadata or {},
            "model": asked.model,
            "output": self.output,
            "parallel_tool_calls": asked.parallel_tool_calls is not False,
            "previous_response_id": asked.previous_response_id,
            "reasoning": {"effort": asked.reasoning.effort if asked.reasoning else None, "summary": None},
            "store": asked.store is not False,
            "temperature": asked.temperature,
            "text": {"format": (asked.text.format if asked.text else None) or {"type": "text"}},
            "tool_choice": asked.tool_choice or "auto",
            "tools": [tool.model_dump() for tool in asked.tools or []],
            "top_p": asked.top_p,
            "truncation": "disabled",
            "usage": _usage(ended.usage) if ended else None,
            **({"octopus": summary(run_id, ended)} if ended else {}),
        }

    def fill(self, ended: Ended) -> None:
        """Puts a whole answer in."""
        if ended.answer or not ended.calls:
            self.output.append(_message(ended.answer, "completed"))
        for call in ended.calls:
            from json import dumps

            self.output.append(_call(str(call["id"]), call["name"], dumps(call["args"]), "completed"))


class Events:
    """A run's events as those of a response's stream, numbered.

    Example:
        for event in events.open(): ...
        async for told in run:
            for event in events.tell(told): ...
    """

    def __init__(self, draft: Draft) -> None:
        """Takes the response to fill."""
        self._draft = draft
        self._number = 0
        self._message: dict[str, Any] | None = None
        self._calls: dict[int, dict[str, Any]] = {}

    def open(self) -> Iterator[dict[str, Any]]:
        """Begins the stream."""
        yield self._event("response.created", response=self._draft.body("in_progress"))
        yield self._event("response.in_progress", response=self._draft.body("in_progress"))

    def tell(self, event: Event) -> Iterator[dict[str, Any]]:
        """Translates one event of a run."""
        match event:
            case Words(text):
                yield from self._words(text)
            case CallPart():
                yield from self._call(event)
            case Ended():
                yield from self._end(event)
            case _:
                pass

    def close(self, run_id: str, ended: Ended) -> dict[str, Any]:
        """Ends the stream."""
        body = self._draft.body("completed", run_id, ended)
        return self._event(f"response.{body['status']}", response=body)

    def fail(self, error: dict[str, Any]) -> dict[str, Any]:
        """Ends the stream where something went wrong."""
        body = self._draft.body("failed")
        body["error"] = {"code": error["code"] or "server_error", "message": error["message"]}
        return self._event("response.failed", response=body)

    def _words(self, text: str) -> Iterator[dict[str, Any]]:
        if self._message is None:
            self._message = _message("", "in_progress")
            self._message["content"] = []
            yield self._added(self._message)
            self._message["content"] = [_text("")]
            yield self._event("response.content_part.added", **self._place(self._message, content=True), part=_text(""))
        self._message["content"][0]["text"] += text
        yield self._event(
            "response.output_text.delta", **self._place(self._message, content=True), delta=text, logprobs=[]
        )

    def _call(self, part: CallPart) -> Iterator[dict[str, Any]]:
        call = self._calls.get(part.index)
        if call is None:
            call = self._calls[part.index] = _call(str(part.id), str(part.name), "", "in_progress")
            yield self._added(call)
        if part.arguments:
            call["arguments"] += part.arguments
            place = self._place(call)
            yield self._event("response.function_call_arguments.delta", **place, delta=part.arguments)

    def _end(self, ended: Ended) -> Iterator[dict[str, Any]]:
        if self._message is None and not self._calls:  # an empty answer is a message all the same
            yield from self._words("")
        if (message := self._message) is not None:
            place, text = self._place(message, content=True), message["content"][0]["text"]
            yield self._event("response.output_text.done", **place, text=text, logprobs=[])
            yield self._event("response.content_part.done", **place, part=_text(text))
            yield self._done(message)
        for call in self._calls.values():
            place = self._place(call)
            said = {"name": call["name"], "arguments": call["arguments"]}
            yield self._event("response.function_call_arguments.done", **place, **said)
            yield self._done(call)
        del ended

    def _added(self, item: dict[str, Any]) -> dict[str, Any]:
        self._draft.output.append(item)
        return self._event("response.output_item.added", output_index=len(self._draft.output) - 1, item=dict(item))

    def _done(self, item: dict[str, Any]) -> dict[str, Any]:
        item["status"] = "completed"
        return self._event("response.output_item.done", output_index=self._draft.output.index(item), item=item)

    def _place(self, item: dict[str, Any], *, content: bool = False) -> dict[str, Any]:
        place = {"item_id": item["id"], "output_index": self._draft.output.index(item)}
        return place | ({"content_index": 0} if content else {})

    def _event(self, kind: str, **rest: Any) -> dict[str, Any]:
        self._number += 1
        return {"type": kind, "sequence_number": self._number - 1, **rest}


def _message(text: str, status: str) -> dict[str, Any]:
    return {
        "type": "message",
        "id": f"msg_{uuid4().hex}",
        "role": "assistant",
        "status": status,
        "content": [_text(text)],
    }


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _call(call_id: str, name: str, arguments: str, status: str) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{uuid4().hex}",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": status,
    }


def _usage(usage: UsageMetadata | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {
        "input_tokens": usage["input_tokens"],
        "input_tokens_details": {"cached_tokens": usage.get("input_token_details", {}).get("cache_read", 0)},
        "output_tokens": usage["output_tokens"],
        "output_tokens_details": {"reasoning_tokens": usage.get("output_token_details", {}).get("reasoning", 0)},
        "total_tokens": usage["total_tokens"],
    }
