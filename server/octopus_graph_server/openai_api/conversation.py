"""Requests as OpenAI has them, made into an `Ask`."""

import json
from collections.abc import Sequence
from typing import Any, cast

from langchain_core.messages import AnyMessage, convert_to_messages
from pydantic import ValidationError

from octopus_graph.options import ModelOptions
from octopus_graph.state import OctopusContext
from octopus_graph_server.openai_api.common import expert_named
from octopus_graph_server.openai_api.schemas import ChatRequest, Message, ResponseRequest
from octopus_graph_server.problems import BadRequestError
from octopus_graph_server.running import Ask
from octopus_graph_server.service import Service

__all__ = ["ask_of_chat", "ask_of_response", "checked", "items_to_messages"]


def ask_of_chat(service: Service, request: ChatRequest) -> Ask:
    """Reads a request for a chat completion.

    Raises:
        BadRequestError: If it asks for what this server does not do.
        NotFoundError: If there is no such model.
        TooLargeError: If the conversation is too long.
    """
    expert = expert_named(service, request.model)
    if request.n not in (None, 1):
        raise BadRequestError("n must be 1: an answer is one run; ask again for another one.", param="n")
    if request.logprobs:
        raise BadRequestError("There are no logprobs here: leave them out.", param="logprobs")
    if set(request.modalities or ["text"]) != {"text"}:
        raise BadRequestError("Answers are text: leave modalities out.", param="modalities")
    if request.model_extra and (request.model_extra.get("functions") or request.model_extra.get("audio")):
        raise BadRequestError("functions and audio are not taken here: use tools, and text.", param="functions")
    tools = [tool.model_dump(exclude_none=True) for tool in request.tools or []]
    options = ModelOptions(
        temperature=request.temperature,
        top_p=request.top_p,
        max_tokens=request.max_completion_tokens or request.max_tokens,
        seed=request.seed,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        reasoning_effort=request.reasoning_effort,
        stop=[request.stop] if isinstance(request.stop, str) else request.stop or None,
        tools=tools or None,
        tool_choice=_choice(request.tool_choice, tools),
        parallel_tool_calls=request.parallel_tool_calls if tools else None,
        response_format=_format(request.response_format, "response_format"),
    )
    messages = read_messages([message.model_dump(exclude_none=True) for message in request.messages])
    checked(service, messages)
    return Ask(messages, expert, options, request.octopus or OctopusContext(), words=bool(request.stream))


def ask_of_response(service: Service, request: ResponseRequest, earlier: Sequence[AnyMessage]) -> Ask:
    """Reads a request for a response.

    Args:
        service: The graph.
        request: The request.
        earlier: The conversation it goes on from.

    Raises:
        As `ask_of_chat`.
    """
    expert = expert_named(service, request.model)
    if request.background or request.conversation:
        raise BadRequestError(
            "Responses are neither made in the background nor kept in conversations here: go on with"
            " previous_response_id.",
            param="background" if request.background else "conversation",
        )
    others = sorted({tool.type for tool in request.tools or [] if tool.type != "function"})
    if others:
        raise BadRequestError(f"This server runs no tools of type {', '.join(others)}: send functions.", param="tools")
    tools: list[dict[str, Any]] = [
        {"type": "function", "function": tool.model_dump(include=_FUNCTION, exclude_none=True)}
        for tool in request.tools or []
    ]
    if any("name" not in tool["function"] for tool in tools):
        raise BadRequestError("A function needs a name.", param="tools")
    options = ModelOptions(
        temperature=request.temperature,
        top_p=request.top_p,
        max_tokens=request.max_output_tokens,
        reasoning_effort=request.reasoning.effort if request.reasoning else None,
        tools=tools or None,
        tool_choice=_choice(request.tool_choice, tools),
        parallel_tool_calls=request.parallel_tool_calls if tools else None,
        response_format=_format(request.text.format if request.text else None, "text.format"),
    )
    said = [{"role": "system", "content": request.instructions}] if request.instructions else []
    messages = [*read_messages(said), *earlier, *items_to_messages(request.input)]
    checked(service, messages)
    return Ask(messages, expert, options, request.octopus or OctopusContext(), words=bool(request.stream))


_FUNCTION = {"name", "description", "parameters", "strict"}


def items_to_messages(items: str | Sequence[dict[str, Any]]) -> list[AnyMessage]:
    """Makes messages of the items of a response's input; calls made together become one message, as models want it.

    Raises:
        BadRequestError: If an item cannot be used.
    """
    if isinstance(items, str):
        return read_messages([{"role": "user", "content": items}])
    found: list[dict[str, Any]] = []
    for place, item in enumerate(items):
        match item.get("type", "message"):
            case "message":
                found.append({"role": item.get("role"), "content": _parts(item.get("content"), place)})
            case "function_call":
                function = {"name": item.get("name"), "arguments": item.get("arguments") or "{}"}
                call = {"id": item.get("call_id"), "type": "function", "function": function}
                if not (found and found[-1]["role"] == "assistant"):
                    found.append({"role": "assistant", "content": ""})
                found[-1].setdefault("tool_calls", []).append(call)
            case "function_call_output":
                output = item.get("output")
                content = output if isinstance(output, str) else _parts(output, place)
                found.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": content})
            case "reasoning":
                pass  # a model's own notes, of no use to another one
            case other:
                raise BadRequestError(
                    f"Items of type {str(other)[:64]!r} are not taken: send messages, function calls and outputs.",
                    param=f"input.{place}",
                )
    try:
        valid = [Message.model_validate(message).model_dump(exclude_none=True) for message in found]
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise BadRequestError(f"An item of the input lacks a usable {place}.", param="input") from None
    return read_messages(valid)


def _parts(content: Any, place: int) -> Any:
    """Turns the parts of an item into those of a chat message."""
    if not isinstance(content, list):
        return content
    parts: list[dict[str, Any]] = []
    for given in cast(list[object], content):
        part = cast(dict[str, Any], given) if isinstance(given, dict) else {}
        kind = str(part.get("type"))
        if kind in {"input_text", "output_text", "text"}:
            parts.append({"type": "text", "text": str(part.get("text") or "")})
        elif kind == "refusal":
            parts.append({"type": "text", "text": str(part.get("refusal") or "")})
        elif kind == "input_image" and isinstance(part.get("image_url"), str):
            image = {"url": part["image_url"], "detail": part.get("detail") or "auto"}
            parts.append({"type": "image_url", "image_url": image})
        else:
            raise BadRequestError(
                f"Content of type {kind[:64]!r} is not taken: send text, or images by URL.",
                param=f"input.{place}.content",
            )
    return parts


def read_messages(messages: Sequence[dict[str, Any]]) -> list[AnyMessage]:
    """Makes LangChain's messages of OpenAI's, the arguments of tool calls read.

    Raises:
        BadRequestError: If one cannot be used.
    """
    for place, message in enumerate(messages):
        if message["role"] == "tool" and not message.get("tool_call_id"):
            raise BadRequestError("A tool message needs the id of its call.", param=f"messages.{place}.tool_call_id")
        if message["role"] != "assistant" and message.get("content") is None:
            raise BadRequestError("The message has no content.", param=f"messages.{place}.content")
        for call in message.get("tool_calls", ()):
            if not _is_object(call["function"]["arguments"]):
                raise BadRequestError(
                    "The arguments of a tool call are not a JSON object.", param=f"messages.{place}.tool_calls"
                )
    try:
        return list(convert_to_messages([{"content": "", **message} for message in messages]))  # pyright: ignore[reportReturnType]
    except (ValueError, TypeError, KeyError, NotImplementedError):
        raise BadRequestError(
            "The messages cannot be read: see OpenAI's description of them.", param="messages"
        ) from None


def checked(service: Service, messages: Sequence[AnyMessage]) -> None:
    """Refuses a conversation that is too long.

    Raises:
        TooLargeError: If it is.
    """
    service.check_prompt("".join(str(message.text) for message in messages))


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text or "{}"), dict)
    except ValueError:
        return False


_FORMS = ("text", "json_object", "json_schema")


def _format(given: dict[str, Any] | None, param: str) -> dict[str, Any] | None:
    """Returns the form of an answer as chat completions have it; responses have the schema beside its type."""
    if given is None or given.get("type") == "text":
        return None
    form = given
    if given.get("type") == "json_schema" and "json_schema" not in given:
        form = {"type": "json_schema", "json_schema": {name: value for name, value in given.items() if name != "type"}}
    schema = form.get("json_schema")
    named = isinstance(schema, dict) and isinstance(cast(dict[str, Any], schema).get("name"), str)
    if form.get("type") not in _FORMS or (form["type"] == "json_schema" and not named):
        raise BadRequestError(
            f"The form of an answer is one of {', '.join(_FORMS)}; a json_schema has a name.", param=param
        )
    return form


def _choice(given: Any, tools: Sequence[dict[str, Any]]) -> Any:
    """Returns which tool is to be called as chat completions have it; responses name the function beside its type."""
    if not tools or not isinstance(given, dict):
        return given if tools else None
    choice = cast(dict[str, Any], given)
    function = choice.get("function", choice)
    name = cast(dict[str, Any], function).get("name") if isinstance(function, dict) else None
    if choice.get("type") != "function" or name not in [tool["function"].get("name") for tool in tools]:
        raise BadRequestError("tool_choice names none of the tools: name a function of them.", param="tool_choice")
    return {"type": "function", "function": {"name": name}}
