"""What the OpenAI endpoints answer, for the OpenAPI document: OpenAI's shapes, and this server's `octopus` in them."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from octopus_graph_server.openai_api.common import DECISION_HEADERS

__all__ = ["EVENTS", "HEADERS", "answer_schemas"]

Object = dict[str, Any]
_SAID = {
    "run-id": "The run's id",
    "expert": "The first expert asked",
    "confidence": "How sure the router was of it",
    "path": "The experts asked, in order; of a stream the first",
    "cache": "What came from the cache: decision, answer-exact, answer-semantic; or none",
}
HEADERS: dict[str, Any] = {
    name: {
        "description": _SAID[name.removeprefix("x-octopus-")],
        "required": name in ("x-octopus-run-id", "x-octopus-cache"),
        "schema": {"type": "string"},
    }
    for name in DECISION_HEADERS
}

EVENTS = {
    "POST /v1/chat/completions": {
        "type": "object",
        "required": ["data"],
        "properties": {
            "data": {"type": "string", "description": "A chunk of the answer as JSON, or an error; [DONE] last"}
        },
    },
    "POST /v1/responses": {
        "type": "object",
        "required": ["event", "data"],
        "properties": {
            "event": {"type": "string", "description": "The event's type, as OpenAI names it; error where it fails"},
            "data": {"type": "string", "description": "The event as JSON"},
        },
    },
}


class Way(TypedDict):
    """How an answer came about; OpenAI's clients pass over it."""

    run_id: Annotated[str, Field(description="The run's id")]
    path: Annotated[list[str], Field(description="The experts asked, in order")]
    hops: Annotated[list[Object], Field(description="Each with expert, token, query, rewritten, confidence")]


class Reply(TypedDict):
    """What the assistant says."""

    role: Annotated[Literal["assistant"], Field(description="Always assistant")]
    content: Annotated[str | None, Field(description="The text; null where there are only calls")]
    refusal: NotRequired[Annotated[None, Field(description="Always null")]]
    tool_calls: NotRequired[Annotated[list[Object], Field(description="The tools to be called, with arguments")]]


class Choice(TypedDict):
    """The answer; there is always one."""

    index: Annotated[Literal[0], Field(description="Always 0")]
    message: Annotated[Reply, Field(description="What the assistant says")]
    logprobs: NotRequired[Annotated[None, Field(description="Always null")]]
    finish_reason: Annotated[Literal["stop", "length", "tool_calls"], Field(description="Why it ends there")]


class ChatUsage(TypedDict):
    """Tokens of all models asked."""

    prompt_tokens: Annotated[int, Field(description="Read")]
    completion_tokens: Annotated[int, Field(description="Written")]
    total_tokens: Annotated[int, Field(description="Both")]
    prompt_tokens_details: NotRequired[Annotated[Object, Field(description="Of those read, how many were cached")]]
    completion_tokens_details: NotRequired[Annotated[Object, Field(description="Of those written, for reasoning")]]


class ChatCompletion(TypedDict):
    """An answer to a conversation."""

    id: Annotated[str, Field(description="`chatcmpl-` and the run's id")]
    object: Annotated[Literal["chat.completion"], Field(description="What this is")]
    created: Annotated[int, Field(description="When, in seconds since 1970")]
    model: Annotated[str, Field(description="The model that was asked for")]
    choices: Annotated[list[Choice], Field(description="The answer, alone")]
    usage: Annotated[ChatUsage | None, Field(description="Null where a model reports nothing")]
    octopus: Annotated[Way, Field(description="How it came about")]


class ResponseUsage(TypedDict):
    """Tokens of all models asked."""

    input_tokens: Annotated[int, Field(description="Read")]
    output_tokens: Annotated[int, Field(description="Written")]
    total_tokens: Annotated[int, Field(description="Both")]
    input_tokens_details: NotRequired[Annotated[Object, Field(description="Of those read, how many were cached")]]
    output_tokens_details: NotRequired[Annotated[Object, Field(description="Of those written, for reasoning")]]


class ResponseAnswer(TypedDict):
    """A response; what the request set is given back beside this, under the request's own names."""

    id: Annotated[str, Field(description="Its id")]
    object: Annotated[Literal["response"], Field(description="What this is")]
    created_at: Annotated[int, Field(description="When, in seconds since 1970")]
    status: Annotated[Literal["completed", "incomplete"], Field(description="Incomplete: cut at max_output_tokens")]
    error: NotRequired[Annotated[None, Field(description="Null: an error is the answer then")]]
    incomplete_details: NotRequired[Annotated[Object | None, Field(description="Why it is incomplete")]]
    model: Annotated[str, Field(description="The model that was asked for")]
    output: Annotated[list[Object], Field(description="Messages and function calls")]
    previous_response_id: NotRequired[Annotated[str | None, Field(description="The response it went on from")]]
    store: NotRequired[Annotated[bool, Field(description="Whether it was to be kept")]]
    usage: Annotated[ResponseUsage | None, Field(description="Null where a model reports nothing")]
    octopus: NotRequired[Annotated[Way, Field(description="How it came about")]]


_OF = {
    "POST /v1/chat/completions": ChatCompletion,
    "POST /v1/responses": ResponseAnswer,
    "GET /v1/responses/{response_id}": ResponseAnswer,
}


def answer_schemas(ref: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Makes the schemas.

    Args:
        ref: How one refers to another, with `{model}` for its name.

    Returns:
        The schema of each endpoint's answer; and the schemas these refer to, by name.
    """
    made, parts = TypeAdapter.json_schemas(
        [(name, "serialization", TypeAdapter(kind)) for name, kind in _OF.items()], ref_template=ref
    )
    return {name: made[name, "serialization"] for name in _OF}, parts.get("$defs", {})
