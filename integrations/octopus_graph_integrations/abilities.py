"""What an expert's chat model can do, asked of the model itself and never guessed from its name.

    tools              it has a bind_tools that takes them
    structured output  it has a with_structured_output that takes the schema
    images, sound …    its profile does not deny them (LangChain's `model.profile`: `{"image_inputs": False}`)

Experts that are not able are left out of the choice; where nobody is left, the error names each and says what to
change.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable
from langchain_core.runnables.base import RunnableBinding

from octopus_graph.errors import ConfigurationError, InputError
from octopus_graph.experts import Expert

__all__ = ["ChatRunnable", "able_to", "chat_experts", "seeing", "with_structure", "with_tools"]

ChatRunnable = Runnable[Any, Any]

_MEDIA = {"image": "image_inputs", "audio": "audio_inputs", "video": "video_inputs", "file": "pdf_inputs"}


def chat_experts(given: object) -> dict[str, Expert]:
    """Reads the experts of a chat model: a mapping of chat models or experts, or a list of experts.

    Raises:
        ConfigurationError: If there is none, two bear one name, or one is not a chat model.
    """
    experts: dict[str, Expert] = {}
    named = cast(Mapping[str, Any], given).items() if isinstance(given, Mapping) else _by_name(given)
    for name, value in named:
        expert = value if isinstance(value, Expert) else Expert(name, "", value)
        if expert.name != name:
            raise ConfigurationError(f"The expert {expert.name!r} stands under {name!r}: give it one name.")
        if name in experts:
            raise ConfigurationError(f"Two experts are named {name!r}: rename one of them.")
        chat: Any = expert.runnable
        if not isinstance(chat, Runnable) or not hasattr(cast(Any, chat), "bind_tools"):
            kind = type(cast(object, chat)).__name__
            raise ConfigurationError(
                f"The expert {name!r} is a {kind} and not a chat model: give it a chat model, or join experts of any"
                " kind with create_octopus_graph."
            )
        experts[name] = expert
    if not experts:
        raise ConfigurationError("There is no expert: give at least one chat model under its name.")
    return experts


def with_tools(chat: ChatRunnable, tools: Sequence[Any], settings: Mapping[str, Any]) -> ChatRunnable:
    """Binds tools to a chat model, also through what was bound to it before.

    Raises:
        NotImplementedError: If it cannot call tools.
    """
    if isinstance(chat, RunnableBinding):
        return chat.model_copy(update={"bound": with_tools(chat.bound, tools, settings)})
    if _denies(chat, "tool_calling"):
        raise NotImplementedError
    return cast(Any, chat).bind_tools(tools, **settings)


def with_structure(chat: ChatRunnable, schema: Any, settings: Mapping[str, Any]) -> ChatRunnable:
    """Makes a chat model answer in a schema.

    Raises:
        NotImplementedError: If it cannot.
    """
    if isinstance(chat, RunnableBinding):
        return with_structure(chat.bound, schema, settings).bind(**chat.kwargs).with_config(chat.config)
    if _denies(chat, "structured_output") and _denies(chat, "tool_calling"):
        raise NotImplementedError
    return cast(Any, chat).with_structured_output(schema, **settings)


def able_to(
    what: str, experts: Mapping[str, Expert], prepare: Callable[[ChatRunnable], ChatRunnable]
) -> dict[str, ChatRunnable]:
    """Prepares the experts that can do something, and leaves the others out.

    Args:
        what: What is asked of them, as in "… cannot call tools".
        experts: By name.
        prepare: Raises NotImplementedError for a chat model that is not able.

    Raises:
        ConfigurationError: If none of them is able.
    """
    able: dict[str, ChatRunnable] = {}
    for name, expert in experts.items():
        try:
            able[name] = prepare(expert.runnable)
        except NotImplementedError:
            continue
    if not able:
        raise ConfigurationError(
            f"No expert can {what}: {_named(experts)}; give at least one of them a chat model that can."
        )
    return able


def seeing(messages: Sequence[BaseMessage], experts: Mapping[str, Expert]) -> list[str]:
    """Returns the experts that can read everything in a conversation.

    Raises:
        InputError: If nobody can.
    """
    held = {kind for message in messages if not isinstance(message.content, str) for kind in _kinds(message)}
    able = [
        name
        for name, expert in experts.items()
        if not any(_denies(expert.runnable, ability) for kind, ability in _MEDIA.items() if kind in held)
    ]
    if not able:
        raise InputError(
            f"The conversation holds {' and '.join(sorted(held & _MEDIA.keys()))} content, which no expert that may be"
            f" asked can read: {_named(experts)}; give one of them a model that can, or send text."
        )
    return able


def _kinds(message: BaseMessage) -> set[str]:
    return {str(block["type"]) for block in message.content_blocks}


def _denies(chat: Any, ability: str) -> bool:
    while isinstance(chat, RunnableBinding):
        chat = cast(Any, chat).bound
    profile: Any = getattr(chat, "profile", None) if isinstance(chat, BaseChatModel) else None
    return isinstance(profile, Mapping) and cast(Mapping[str, Any], profile).get(ability) is False


def _named(experts: Mapping[str, Expert]) -> str:
    return ", ".join(f"{name} ({type(expert.runnable).__name__})" for name, expert in experts.items())


def _by_name(given: Any) -> list[tuple[str, Expert]]:
    for expert in given:
        if not isinstance(expert, Expert):
            raise ConfigurationError(
                f"The list of experts holds a {type(cast(object, expert)).__name__}: name chat models in a mapping."
            )
    return [(expert.name, expert) for expert in given]
