"""What requests to the OpenAI API look like: the fields that mean something here; all others are taken and ignored."""

from typing import Annotated, Any, Literal

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

    name: str = Field(min_length=1, max_length=256, description="The function's name")
    arguments: str = Field(default="{}", description="A JSON object, as text")


class Called(_Open):
    """A tool call an assistant made."""

    id: str = Field(min_length=1, max_length=512, description="What its result names it by; it says whose call it is")
    type: Literal["function"] = Field(default="function", description="Functions alone are called")
    function: CalledFunction


class Part(_Open):
    """A part of a message: text, or something else that the expert's model may understand."""

    type: str = Field(description="text, image_url, or what else the expert's model understands")
    text: str | None = Field(default=None, description="The words of a part of type text")


class Message(_Open):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"] = Field(description="Who speaks")
    content: str | list[Part] | None = Field(default=None, description="What is said")
    name: str | None = Field(default=None, description="The speaker's name")
    tool_calls: list[Called] | None = Field(default=None, description="Of an assistant: what it has called")
    tool_call_id: str | None = Field(default=None, description="Of a tool: the call whose result it is")


class Function(_Open):
    """A function that may be called."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The name it is called by")
    description: str | None = Field(default=None, description="What it is good for")
    parameters: dict[str, Any] | None = Field(default=None, description="A JSON schema of its arguments")
    strict: bool | None = Field(default=None, description="Whether arguments must fit the schema")


class Tool(_Open):
    """A tool of the client."""

    type: Literal["function"] = Field(description="Functions alone are called")
    function: Function


class StreamOptions(_Open):
    """What a stream is to hold."""

    include_usage: bool | None = Field(default=None, description="Whether a last chunk counts the tokens")


class _Sampling(_Open):
    """What tunes the experts' models, where they have such a setting."""

    temperature: float | None = Field(
        default=None, ge=0, le=2, description="Of the expert's model, where it has such a setting; so are those below"
    )
    top_p: float | None = Field(default=None, gt=0, le=1, description="Of the expert's model")
    tool_choice: Literal["auto", "none", "required"] | dict[str, Any] | None = Field(
        default=None, description="Which tool is to be called"
    )
    parallel_tool_calls: bool | None = Field(default=None, description="Whether several tools may be called at once")
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
    stream: bool | None = Field(default=False, description="Whether the answer comes in pieces, as it is spoken")
    stream_options: StreamOptions | None = Field(default=None, description="What the stream is to hold")
    tools: list[Tool] | None = Field(default=None, description="Passed on to the expert's model; with them, one hop")
    response_format: dict[str, Any] | None = Field(default=None, description="Passed on as well; with it, one hop")
    max_tokens: int | None = Field(default=None, ge=1, description="The most tokens of each expert's answer")
    max_completion_tokens: int | None = Field(default=None, ge=1, description="The same, by its newer name")
    stop: str | list[Annotated[str, Field(min_length=1)]] | None = Field(
        default=None, description="Where an expert's answer ends"
    )
    seed: int | None = Field(default=None, description="Of the expert's model")
    presence_penalty: float | None = Field(default=None, ge=-2, le=2, description="Of the expert's model")
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2, description="Of the expert's model")
    reasoning_effort: str | None = Field(default=None, description="Of the expert's model")
    n: int | None = Field(default=1, description="1: an answer is one run")
    logprobs: bool | None = Field(default=False, description="False: there are none")
    modalities: list[str] | None = Field(default=None, description="text alone")


class ResponseTool(_Open):
    """A tool of the client, as responses have it."""

    type: str = Field(description="function; this server runs no tools of its own")
    name: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The name the function is called by"
    )
    description: str | None = Field(default=None, description="What it is good for")
    parameters: dict[str, Any] | None = Field(default=None, description="A JSON schema of its arguments")
    strict: bool | None = Field(default=None, description="Whether arguments must fit the schema")


class TextConfig(_Open):
    """The form of the answer."""

    format: dict[str, Any] | None = Field(default=None, description="text, json_object or a json_schema")


class Reasoning(_Open):
    """How much a model is to think."""

    effort: str | None = Field(default=None, description="Of the expert's model")


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
    stream: bool | None = Field(default=False, description="Whether it is told by events, as it is made")
    tools: list[ResponseTool] | None = Field(default=None, description="Functions, passed on to the expert's model")
    text: TextConfig | None = Field(default=None, description="The form of the answer; passed on, and one hop")
    reasoning: Reasoning | None = Field(default=None, description="How much the expert's model is to think")
    max_output_tokens: int | None = Field(default=None, ge=1, description="The most tokens of each expert's answer")
    metadata: dict[str, str] | None = Field(default=None, description="The client's own notes, given back")
    background: bool | None = Field(default=False, description="False: responses are made while one waits")
    conversation: Any = Field(default=None, description="Not taken: go on with previous_response_id")
