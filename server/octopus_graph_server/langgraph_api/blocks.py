"""Streamed messages as content blocks that begin, grow and end, one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

__all__ = ["Blocks"]

Said = dict[str, Any]
Space = tuple[str, ...]


@dataclass
class _Open:
    """A message that is being said: its block that grows, and what is to be told at its end."""

    id: str
    node: str | None
    index: int = -1
    key: Any = None
    block: dict[str, Any] = field(default_factory=dict[str, Any])
    usage: dict[str, Any] | None = None


class Blocks:
    """Follows the messages of one run, by the namespace they are said in."""

    def __init__(self) -> None:
        """Begins before the first message."""
        self._open: dict[Space, _Open] = {}
        self._done: set[str] = set()

    def of(self, space: Space, node: str | None, message: dict[str, Any]) -> Iterator[Said]:
        """Translates a message, or a chunk of one; only the model's own words are told."""
        kind, name = message.get("type"), str(message.get("id"))
        if kind not in ("ai", "AIMessageChunk") or name in self._done:
            return
        opened = self._open.get(space)
        if opened is not None and opened.id != name:
            yield from self._finish(space)
            opened = None
        if opened is None:
            opened = self._open[space] = _Open(name, node)
            yield {"event": "message-start", "role": "ai", "id": name}
        for key, part in _parts(message):
            yield from self._grow(opened, key, part)
        opened.usage = message.get("usage_metadata") or opened.usage
        if kind == "ai" or message.get("chunk_position") == "last":
            yield from self._finish(space)

    def close(self, space: Space) -> Iterator[tuple[str | None, Space, Said]]:
        """Ends what is open in a namespace and below it: something else has been said there."""
        for place in [one for one in self._open if one[: len(space)] == space]:
            node = self._open[place].node
            for said in self._finish(place):
                yield node, place, said

    def _finish(self, space: Space) -> Iterator[Said]:
        opened = self._open.pop(space)
        self._done.add(opened.id)
        yield from _end_of_block(opened)
        yield {"event": "message-finish", **({"usage": opened.usage} if opened.usage else {})}

    def _grow(self, opened: _Open, key: Any, part: dict[str, Any]) -> Iterator[Said]:
        kind = part["type"]
        if opened.key != key:
            yield from _end_of_block(opened)
            opened.key, opened.index = key, opened.index + 1
            opened.block = {**part, **dict.fromkeys(_GROWS.get(kind, ()), "")}
            yield {"event": "content-block-start", "index": opened.index, "content": dict(opened.block)}
        if kind not in _GROWS:
            return
        (name,) = _GROWS[kind]
        added = part.get(name) or ""
        opened.block[name] += added
        if kind == "tool_call_chunk":
            for known in ("id", "name"):
                opened.block[known] = part.get(known) or opened.block.get(known)
            delta: dict[str, Any] = {"type": "block-delta", "fields": dict(opened.block)}
        else:
            delta = {"type": f"{kind}-delta", name: added}
        if added:
            yield {"event": "content-block-delta", "index": opened.index, "delta": delta}


_GROWS = {"text": ("text",), "reasoning": ("reasoning",), "tool_call_chunk": ("args",)}


def _end_of_block(opened: _Open) -> Iterator[Said]:
    if opened.key is None:
        return
    yield {"event": "content-block-finish", "index": opened.index, "content": _final(opened.block)}
    opened.key = None


def _final(block: dict[str, Any]) -> dict[str, Any]:
    if block["type"] != "tool_call_chunk":
        return block
    known = {"id": block.get("id"), "name": block.get("name")}
    try:
        arguments = orjson.loads(block["args"] or "{}")
    except orjson.JSONDecodeError:
        arguments = None
    if isinstance(arguments, dict) and known["name"]:
        return {"type": "tool_call", **known, "args": arguments}
    return {"type": "invalid_tool_call", **known, "args": block["args"], "error": "The arguments are not JSON."}


def _parts(message: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    content = message.get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    for position, block in enumerate(blocks):
        plain = {"type": "text", "text": block} if isinstance(block, str) else block
        kind = plain.get("type", "non_standard")
        if kind == "text" and plain.get("text"):
            yield ("text", plain.get("index")), {"type": "text", "text": plain["text"]}
        elif kind == "reasoning" and plain.get("reasoning"):
            yield ("reasoning", plain.get("index")), {"type": "reasoning", "reasoning": plain["reasoning"]}
        elif kind not in ("text", "reasoning", "tool_call_chunk", "tool_call", "tool_use", "input_json_delta"):
            yield (kind, plain.get("index", position)), plain
    for chunk in message.get("tool_call_chunks") or ():
        yield ("tool", chunk.get("index")), {**chunk, "type": "tool_call_chunk"}
    if not message.get("tool_call_chunks") and message.get("type") == "ai":
        for position, call in enumerate(message.get("tool_calls") or ()):
            yield ("call", position), {**call, "type": "tool_call"}
