"""Calls of chat models written once: logic that yields them is run, awaited, or streamed chunk by chunk.

The logic is that of `octopus_graph.effects`, whose `run` and `arun` wait for whole answers. `stream` and `astream` here
pass on what comes in between, under one message id, so that several answers in a row are one message to whoever reads.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import add_usage

from octopus_graph.effects import Invoke, Logic

__all__ = ["PART", "astream", "joined", "stream"]

PART = "\n\n"
"""Stands between the answers of several experts."""


def joined(answers: Sequence[AIMessage], metadata: dict[str, Any]) -> AIMessage:
    """Makes one message of one or several answers: texts in a row, usage added up, all else that of the last."""
    last = answers[-1]
    update: dict[str, Any] = {"response_metadata": {**last.response_metadata, **metadata}}
    if len(answers) > 1:
        update["content"] = PART.join(str(answer.text) for answer in answers)
        if any(answer.usage_metadata for answer in answers):
            usage = None
            for answer in answers:
                usage = add_usage(usage, answer.usage_metadata)
            update["usage_metadata"] = usage
    return last.model_copy(update=update)


def stream(logic: Logic[AIMessage]) -> Iterator[AIMessageChunk]:
    """Runs logic in this thread and yields what the chat models it calls say, as they say it.

    The last chunk is empty and carries the metadata of the message that the logic returned.
    """
    said = _Said()
    try:
        effect = next(logic)
        while True:
            said.begin()
            try:
                if isinstance(effect, Invoke):
                    for message in effect.runnable.stream(effect.input, effect.config):
                        yield from said.chunks(message)
                    result: Any = said.answer()
                else:
                    result = effect.wait()
            except Exception as error:
                if said.anything:  # somebody has read it: nobody can answer in this one's place any more
                    raise
                effect = logic.throw(error)
            else:
                effect = logic.send(result)
    except StopIteration as end:
        yield said.end(end.value)


async def astream(logic: Logic[AIMessage]) -> AsyncIterator[AIMessageChunk]:
    """Runs logic without holding the event loop; otherwise as `stream`."""
    said = _Said()
    try:
        effect = next(logic)
        while True:
            said.begin()
            try:
                if isinstance(effect, Invoke):
                    async for message in effect.runnable.astream(effect.input, effect.config):
                        for chunk in said.chunks(message):
                            yield chunk
                    result: Any = said.answer()
                else:
                    result = await effect.wait_async()
            except Exception as error:
                if said.anything:
                    raise
                effect = logic.throw(error)
            else:
                effect = logic.send(result)
    except StopIteration as end:
        yield said.end(end.value)


class _Said:
    """What was passed on so far: the answer that is coming, and whether others came before it."""

    def __init__(self) -> None:
        self._coming: AIMessageChunk | None = None
        self._id: str | None = None
        self._answers = 0

    @property
    def anything(self) -> bool:
        return self._coming is not None

    def begin(self) -> None:
        self._coming = None

    def chunks(self, message: AIMessage) -> Iterator[AIMessageChunk]:
        """Takes in a chunk, and gives what is passed on: metadata and the mark of the end wait for the end."""
        chunk = message if isinstance(message, AIMessageChunk) else _as_chunk(message)
        self._id = self._id or chunk.id
        if self._coming is None and self._answers:
            yield AIMessageChunk(content=PART, id=self._id)
        self._coming = chunk if self._coming is None else self._coming + chunk
        yield chunk.model_copy(update={"response_metadata": {}, "chunk_position": None, "id": self._id})

    def answer(self) -> AIMessageChunk:
        if self._coming is None:
            raise ValueError("its model said nothing")
        self._answers += 1
        return self._coming

    def end(self, answer: AIMessage) -> AIMessageChunk:
        return AIMessageChunk(
            content="" if isinstance(answer.content, str) else [],
            response_metadata=answer.response_metadata,
            chunk_position="last",
            id=self._id,
        )


def _as_chunk(message: AIMessage) -> AIMessageChunk:
    """A chat model that does not stream gives its whole message."""
    return AIMessageChunk(
        content=message.content,
        additional_kwargs=message.additional_kwargs,
        response_metadata=message.response_metadata,
        tool_calls=message.tool_calls,
        invalid_tool_calls=message.invalid_tool_calls,
        usage_metadata=message.usage_metadata,
        id=message.id,
    )
