"""What goes out: JSON, times, states and checkpoints in the shapes that LangGraph's clients read."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid5

import orjson
from langchain_core.runnables import RunnableConfig
from langgraph.types import Interrupt, Send, StateSnapshot  # pyright: ignore[reportMissingTypeStubs]
from starlette.responses import Response

__all__ = [
    "Json",
    "assistant_id_of",
    "checkpoint_of",
    "chosen",
    "dumps",
    "interrupt_of",
    "iso",
    "state_of",
]

ASSISTANTS = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")  # LangGraph's clients know a graph's own assistant by it


def assistant_id_of(graph: str) -> str:
    """Names a graph's own assistant."""
    return str(uuid5(ASSISTANTS, graph))


def dumps(value: Any) -> bytes:
    """Writes JSON; messages and other models as their fields, what JSON has no word for as text."""
    try:
        return orjson.dumps(value, _plain, _OPTIONS)
    except TypeError:  # a lone surrogate, an integer beyond 64 bits, or a key that is none
        return orjson.dumps(_mended(value), _plain, _OPTIONS)


_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATACLASS


class Json(Response):
    """A response whose body is written by `dumps`."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Writes the body."""
        return dumps(content)


def _plain(value: Any) -> Any:
    match value:
        case Interrupt():
            plain: Any = interrupt_of(value)
        case Send():
            plain = {"node": value.node, "input": value.arg}
        case BaseException():
            plain = {"error": type(value).__name__, "message": "The step failed; the server's log names it."}
        case type():
            plain = value.__name__
        case set() | frozenset():
            plain = list(cast(set[Any], value))
        case _ if hasattr(value, "model_dump"):
            plain = value.model_dump()
        case _ if is_dataclass(value):
            plain = {one.name: getattr(value, one.name) for one in fields(value)}
        case _:
            plain = str(value)
    return plain


def _mended(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case bool() | float() | None:
            return value
        case int():
            return value if -(2**63) <= value < 2**64 else str(value)
        case Mapping():
            pairs = cast(Mapping[Any, Any], value)
            return {_mended(key) if isinstance(key, str) else str(key): _mended(one) for key, one in pairs.items()}
        case Sequence() if not isinstance(value, bytes | bytearray):
            return [_mended(one) for one in cast(Sequence[Any], value)]
        case _:
            return _mended(_plain(value))


def iso(seconds: float | None) -> str | None:
    """Writes a time."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def interrupt_of(interrupt: Any) -> dict[str, Any]:
    """Writes an interrupt."""
    if isinstance(interrupt, dict):
        known = cast(dict[str, Any], interrupt)
    else:
        known = {name: getattr(interrupt, name, None) for name in ("id", "value", "response_schema")}
    return {name: one for name, one in known.items() if name in ("id", "value") or one is not None}


def checkpoint_of(config: RunnableConfig | None) -> dict[str, Any] | None:
    """Writes where a config points; `None` where it names no checkpoint."""
    place: dict[str, Any] = (config or {}).get("configurable", {})
    if not place.get("checkpoint_id"):
        return None
    return {
        "thread_id": place["thread_id"],
        "checkpoint_ns": place.get("checkpoint_ns") or "",
        "checkpoint_id": place["checkpoint_id"],
        "checkpoint_map": place.get("checkpoint_map"),
    }


def state_of(snapshot: StateSnapshot) -> dict[str, Any]:
    """Writes the state of a thread."""
    here, before = checkpoint_of(snapshot.config), checkpoint_of(snapshot.parent_config)
    if here is None:
        place: dict[str, Any] = snapshot.config.get("configurable", {})
        here = {
            "thread_id": place.get("thread_id"),
            "checkpoint_ns": place.get("checkpoint_ns") or "",
            "checkpoint_id": None,
            "checkpoint_map": None,
        }
    return {
        "values": snapshot.values,
        "next": list(snapshot.next),
        "tasks": [_task_of(task) for task in snapshot.tasks],
        "metadata": snapshot.metadata or {},
        "created_at": snapshot.created_at,
        "checkpoint": here,
        "parent_checkpoint": before,
        "checkpoint_id": here["checkpoint_id"],
        "parent_checkpoint_id": before["checkpoint_id"] if before else None,
        "interrupts": [interrupt_of(one) for one in snapshot.interrupts],
    }


def _task_of(task: Any) -> dict[str, Any]:
    below: Any = task.state
    return {
        "id": task.id,
        "name": task.name,
        "path": task.path,
        "error": None if task.error is None else type(task.error).__name__,
        "interrupts": [interrupt_of(one) for one in task.interrupts],
        "checkpoint": cast(dict[str, Any], below).get("configurable") if isinstance(below, dict) else None,
        "state": state_of(below) if isinstance(below, StateSnapshot) else None,
        "result": task.result,
    }


def chosen(document: dict[str, Any], select: Sequence[str] | None) -> dict[str, Any]:
    """Keeps the fields that are asked for; `values.messages` names one inside another."""
    if not select:
        return document
    kept: dict[str, Any] = {}
    for name in select:
        field, _, inner = name.partition(".")
        if field not in document:
            continue
        if not inner:
            kept[field] = document[field]
        elif isinstance(document[field], dict) and not isinstance(kept.get(field), list):
            part = cast(dict[str, Any], document[field])
            kept.setdefault(field, {}).update({inner: part[inner]} if inner in part else {})
    return kept
