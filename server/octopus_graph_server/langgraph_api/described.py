"""How endpoints say in the OpenAPI document what they answer: the JSON, the headers, and the events of streams.

A stream's `itemSchema` describes one event, as OpenAPI 3.2 has it and FastAPI writes it: one case for each name an
event may have, with the shape of its `data`.
"""

from typing import Annotated, Any, Literal, NotRequired, cast

from pydantic import Field, TypeAdapter
from starlette.responses import StreamingResponse
from typing_extensions import TypedDict

from octopus_graph_server.langgraph_api.answers import Failure

__all__ = ["REF", "answered", "stream_schemas", "streamed"]

HEADERS = {
    "location": "Where the run can be joined, or listened to again",
    "content-location": "The run: its path ends with its id",
    "x-pagination-next": "The offset of the next page; not sent with the last one",
}
ALWAYS_SENT = ("location", "content-location")
REF = "#/components/schemas/{model}"

Object = dict[str, Any]


def answered(kind: Any, said: str, *headers: str) -> dict[int | str, dict[str, Any]]:
    """Describes an endpoint's answer; a `Response` passes FastAPI as it is, so this costs a request nothing.

    Args:
        kind: The shape of its JSON.
        said: What it is, in a few words.
        headers: The names of its headers.
    """
    return {200: {"model": kind, "description": said, "headers": _headers(headers)}}


def streamed(schema: str, said: str, *headers: str) -> dict[str, Any]:
    """Describes an endpoint that answers with a stream of events: `@api.get(path, **streamed(...))`.

    Args:
        schema: The name of one of `stream_schemas`.
        said: What it is, in a few words.
        headers: The names of its headers.
    """
    content = {"text/event-stream": {"itemSchema": {"$ref": REF.format(model=schema)}}}
    answer = {"content": content, "description": said, "headers": _headers(headers)}
    # FastAPI would promise JSON beside the events, for a class of responses that is always of one media type.
    return {"responses": {200: answer}, "response_class": StreamingResponse}


def _headers(names: tuple[str, ...]) -> dict[str, Any]:
    return {
        name: {"description": HEADERS[name], "required": name in ALWAYS_SENT, "schema": {"type": "string"}}
        for name in names
    }


class RunBegun(TypedDict):
    """A run has begun."""

    run_id: Annotated[str, Field(description="The run's id")]
    attempt: Annotated[int, Field(description="Always 1: a run is not begun twice")]


class RunDone(TypedDict):
    """A run has ended."""

    run_id: Annotated[str, Field(description="The run's id")]


class Params(TypedDict):
    """What an event says, and where."""

    namespace: Annotated[list[str], Field(description="The subgraph it is from; empty for the graph itself")]
    timestamp: Annotated[int, Field(description="When its run began, in milliseconds since 1970")]
    data: Annotated[Any, Field(description="What is said, in the channel's own shape")]
    node: NotRequired[Annotated[str, Field(description="The node it is from")]]


class Told(TypedDict):
    """An event of the newer event streaming."""

    type: Annotated[Literal["event"], Field(description="That it is an event")]
    event_id: Annotated[str, Field(description="The run's id and the event's number in it")]
    seq: Annotated[int, Field(description="Grows through all runs of the thread; `since` goes on after it")]
    method: Annotated[str, Field(description="The channel; for what a human is asked, input.requested")]
    params: Annotated[Params, Field(description="What it says, and where")]


def _said(kind: Any, said: str) -> Any:
    return Annotated[kind, Field(description=said)]


RUN_EVENTS: dict[str, Any] = {
    "metadata": _said(RunBegun, "First of all: the run's id"),
    "values": _said(Object, "The whole state after a step"),
    "updates": _said(Object, "What a step changed, by node; `__interrupt__` where a human is asked"),
    "messages": _said(list[Any], "Mode messages-tuple: a message or a chunk of one, and its metadata"),
    "messages/metadata": _said(Object, "Mode messages: a message's metadata, by its id"),
    "messages/partial": _said(list[Object], "Mode messages: all of a message that has been said so far"),
    "messages/complete": _said(list[Object], "Mode messages: a whole message"),
    "custom": _said(Any, "What a node writes to the stream"),
    "tasks": _said(Object, "A node that begins, or its result"),
    "checkpoints": _said(Object, "A checkpoint that is written"),
    "debug": _said(Object, "Tasks and checkpoints, step by step"),
    "events": _said(Object, "An event of LangChain's astream_events"),
    "error": _said(Failure, "Why the run failed"),
    "end": _said(None, "Last of all"),
}
ONE_RUN = "A number from 1 on: `Last-Event-ID` goes on after it"
THREAD_EVENTS = {name: kind for name, kind in RUN_EVENTS.items() if name != "end"} | {
    "run_done": _said(RunDone, "A run has ended; the stream goes on")
}
ONE_THREAD = "`run_id:number`: `Last-Event-ID` goes on after it"
CHANNEL_EVENTS = {
    "lifecycle": "A run or a subgraph has begun, completed, failed or stopped to ask",
    "messages": "A message, block by block",
    "input.requested": "Channel input: what a human is asked",
    "values": "The whole state after a step",
    "updates": "What a step changed, by node",
    "custom": "What a node writes to the stream",
    "tasks": "A node that begins, or its result",
    "checkpoints": "A checkpoint that is written",
}
STREAMS = {
    "RunEvent": (
        "An event of a run; in a subgraph the name is followed by its namespace: `values|math:…`.",
        ONE_RUN,
        RUN_EVENTS,
    ),
    "ThreadEvent": ("An event of one of a thread's runs, named as those of a run.", ONE_THREAD, THREAD_EVENTS),
    "ChannelEvent": (
        "An event of one of a thread's runs, by channel.",
        "The event's `seq`: `since` goes on after it",
        {name: _said(Told, said) for name, said in CHANNEL_EVENTS.items()},
    ),
}


def stream_schemas() -> dict[str, dict[str, Any]]:
    """Makes the schemas of streams' events, and those they refer to."""
    asked = [
        ((name, event), "serialization", TypeAdapter(kind))
        for name, (_, _, kinds) in STREAMS.items()
        for event, kind in kinds.items()
    ]
    made, parts = TypeAdapter.json_schemas(cast(Any, asked), ref_template=REF)
    found: dict[str, dict[str, Any]] = parts.get("$defs", {})
    for name, (text, number, kinds) in STREAMS.items():
        found[name] = {
            "title": name,
            "description": text,
            "type": "object",
            "required": ["event", "id", "data"],
            "properties": {"id": {"type": "string", "description": number}},
            "oneOf": [_case(event, cast(Any, made)[(name, event), "serialization"]) for event in kinds],
        }
    return found


def _case(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """Describes one event by its name, which in a subgraph is followed by the namespace: `values|math:…`."""
    return {
        "title": name,
        "description": data["description"],
        "properties": {
            "event": {"type": "string", "pattern": f"^{name}(\\|.*)?$"},
            "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": data},
        },
    }
