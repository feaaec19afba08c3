"""What requests to the OpenAI API look like: the fields that mean something here; all others are taken and ignored."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from octopus_graph.state import OctopusContext

__all__ = [
    "ChatRequest",
    "Message",
    "ResponseRequest",
    "StreamOptions",
]


class _Open(BaseModel):
    """Clients send fields of their own time and provider: they are no error."""

    model_config = ConfigDict(extra="allow")


class CalledFunction(_Open):
    """A function and the arguments of a call."""

    name: str = Field(min_length=1, max_length=256)
    arguments: str = "{}"


class Called(_Open):
    """A tool call an assistant made."""

    id: str = Field(min_length=1, max_length=512)
    type: Literal["function"] = "function"
    function: CalledFunction


class Part(_Open):
    """A part of a message: text, or something else that the expert's model may understand."""

    type: str
    text: str | None = None


class Message(_Open):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[Called] | None = None
    tool_call_id: str | None = None


class Function(_Open):
    """A function that may be called."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(_Open):
    """A tool of the client."""

    type: Literal["function"]
    function: Function


class StreamOptions(_Open):
    """What a stream is to hold."""

    include_usage: bool | None = None


class _Sampling(_Open):
    """What tunes the experts' models, where they have such a setting."""

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    tool_choice: Literal["auto", "none", "required"] | dict[str, Any] | None = Field(
        default=None, description="Which tool is to be called"
    )
    parallel_tool_calls: bool | None = None
    octopus: OctopusContext | None = Field(
        default=None, description="This server's own: the run's settings, as of `context` in the LangGraph API"
    )


class ChatRequest(_Sampling):
    """A request for a chat completion."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {"model": "octopus", "messages": [{"role": "user", "content": "What is the derivative of x^3?"}]}
            ]
        },
    )

    model: str = Field(description="The graph's name, which routes, or an expert's, which is then asked")
    messages: list[Message] = Field(min_length=1, description="The whole conversation, the request last")
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    tools: list[Tool] | None = Field(default=None, description="Passed on to the expert's model; with them, one hop")
    response_format: dict[str, Any] | None = Field(default=None, description="Passed on as well; with it, one hop")
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    reasoning_effort: str | None = None
    n: int | None = Field(default=1, description="1: an answer is one run")
    logprobs: bool | None = False
    modalities: list[str] | None = None


class ResponseTool(_Open):
    """A tool of the client, as responses have it."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class TextConfig(_Open):
    """The form of the answer."""

    format: dict[str, Any] | None = None


class Reasoning(_Open):
    """How much a model is to think."""

    effort: str | None = None


class ResponseRequest(_Sampling):
    """A request for a response."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"examples": [{"model": "octopus", "input": "What is the derivative of x^3?"}]}
    )

    model: str = Field(description="The graph's name, which routes, or an expert's, which is then asked")
    input: str | list[dict[str, Any]] = Field(description="The request, or the items of a conversation")
    instructions: str | None = Field(default=None, description="A system message of this response alone")
    previous_response_id: str | None = Field(default=None, max_length=128, description="The response to go on from")
    store: bool | None = Field(default=True, description="Whether the conversation is kept, to go on from it")
    stream: bool | None = False
    tools: list[ResponseTool] | None = Field(default=None, description="Functions, passed on to the expert's model")
    text: TextConfig | None = None
    reasoning: Reasoning | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    metadata: dict[str, str] | None = None
    background: bool | None = False
    conversation: Any = None
