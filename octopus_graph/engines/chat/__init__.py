"""Chat models for experts. Each function is the door to one kind, and says what to install where it is missing.

    embedded_chat            the model the router stands on, or the embedded one: one copy in memory for all experts
    local_chat               any transformers model in this process, shared by any number of experts
    huggingface_chat         one through langchain-huggingface's pipeline, by Hugging Face id or folder
    hosted_chat              a Hugging Face model at an inference provider, through langchain-huggingface
    openai_compatible_chat   an address that speaks OpenAI's chat completions
    named_chat               anything LangChain's init_chat_model names, such as "openai:gpt-4o-mini"

Retries are the expert's business: clients that retry by themselves are told not to, or the two would multiply.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakValueDictionary

from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

from octopus_graph import weights
from octopus_graph.engines.base import Engine
from octopus_graph.errors import ConfigurationError, MissingExtraError
from octopus_graph.tokens import END

if TYPE_CHECKING:  # loads torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from octopus_graph.engines.chat.local import SharedModel

__all__ = [
    "EMBEDDED_CONTEXT",
    "HasEngine",
    "embedded_chat",
    "hosted_chat",
    "huggingface_chat",
    "huggingface_model",
    "loaded_model",
    "local_chat",
    "named_chat",
    "openai_compatible_chat",
]

EMBEDDED_CONTEXT = 2048
"""Tokens. The embedded model reads four times as many, in most of a minute on two cores: too long for its answers."""

HOSTED_TOKENS = 512

# By the model's id() or its name, for as long as somebody uses it: whoever asks for the same model gets the same lock.
_shared: "WeakValueDictionary[int | str, SharedModel]" = WeakValueDictionary()
_sharing = threading.Lock()


class HasEngine(Protocol):
    """Whatever stands on an engine: an `OctopusRouter`."""

    @property
    def engine(self) -> Engine:
        """The engine."""
        ...


def embedded_chat(router: HasEngine | None = None, **settings: Any) -> BaseChatModel:
    """Makes a chat model over the one base that router and experts share; any number of them take its memory once.

    That is the base of the router's engine, before functional tokens and adapters, where the engine runs in this
    process. Without a router, with an engine elsewhere, or where the base is itself a router (Octopus-v4 answers in
    functional tokens, not in words), it is the embedded model, loaded when it is first asked.

    Example:
        >>> math = embedded_chat(router)  # doctest: +SKIP
        >>> math.invoke([("system", "You are a tutor."), ("user", "What is 2 + 2?")]).text  # doctest: +SKIP

    Args:
        router: The router whose base to use.
        settings: As for `local_chat`; `context` is `EMBEDDED_CONTEXT` unless said.

    Raises:
        MissingExtraError: If the extra `local` is not installed.
        ModelNotFoundError: If the embedded model is needed, not here and not to be fetched; raised by the first call.
    """
    _local()
    from octopus_graph.engines.hf import HFEngine

    settings = {"context": EMBEDDED_CONTEXT, **settings}
    if router is not None and isinstance(router.engine, HFEngine):
        model, tokenizer = router.engine.base
        if END not in tokenizer.get_vocab():
            return local_chat(loaded_model(model, tokenizer), **settings)
    return local_chat(huggingface_model(weights.EMBEDDED), **settings)


def loaded_model(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> "SharedModel":
    """Makes a model that is in memory already sharable; the same model gives the same `SharedModel`.

    Raises:
        MissingExtraError: If the extra `local` is not installed.
    """
    name = str(model.name_or_path).rstrip("/").rpartition("/")[2]
    return _share(id(model), name, lambda: (model, tokenizer))


def huggingface_model(model: str) -> "SharedModel":
    """Names a model that is fetched and loaded when it is first needed; the same name gives the same `SharedModel`.

    Args:
        model: `weights.EMBEDDED`, a Hugging Face id, or a model folder; a folder is checked at once.

    Raises:
        MissingExtraError: If the extra `local` is not installed.
        ModelNotFoundError: If it is neither a folder nor an id.
        WeightsError: If the folder holds no whole model.
    """
    _local()

    def load() -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
        from octopus_graph.engines.hf.loading import load_base

        return load_base(weights.resolve(model))

    _check(model)
    return _share(model, model, load)


def local_chat(shared: "SharedModel", **settings: Any) -> BaseChatModel:
    """Makes a chat model over a shared model.

    Example:
        >>> base = loaded_model(*router.engine.base)  # doctest: +SKIP
        >>> tutor = local_chat(base, max_seconds=60)  # doctest: +SKIP

    Args:
        shared: The model; its memory is taken once for all who share it.
        settings: Fields of `LocalChat`: `max_new_tokens`, `temperature`, `repetition_penalty`, `context`,
            `max_seconds`.

    Raises:
        MissingExtraError: If the extra `local` is not installed.
    """
    return _local().LocalChat(shared=shared, **settings)


def huggingface_chat(model_id: str, *, max_new_tokens: int = 160) -> BaseChatModel:
    """Makes a chat model that runs a Hugging Face model in this process through langchain-huggingface.

    What it gives of safety: special tokens written out in a message are broken up with a space before the chat
    template sees them, so an `<|im_end|>` ends no turn. What it cannot give: messages reach the model as one string
    that is tokenised with special tokens, so a message that speaks of such a token is not read letter by letter, and
    safety rests on the tokenizer listing all of its special tokens. Where that is not enough use
    `local_chat(huggingface_model(model_id))`, which tokenises messages apart from the frame around them.

    Args:
        model_id: A Hugging Face id, or a model folder. It is fetched and loaded when it is first asked.
        max_new_tokens: The longest answer.

    Raises:
        MissingExtraError: If the extra `local` is not installed.
        ModelNotFoundError: If it is neither a folder nor an id.
        WeightsError: If the folder holds no whole model.
    """
    try:
        from octopus_graph.engines.chat.pipeline import PipelineChat
    except ModuleNotFoundError as error:
        raise MissingExtraError("local", f"Running {model_id} in this process") from error
    _check(model_id)
    return PipelineChat(model_id=model_id, max_new_tokens=max_new_tokens)


def hosted_chat(
    model: str, provider: str, api_key: str | None = None, *, timeout: float | None = None
) -> BaseChatModel:
    """Makes a chat model that asks one of Hugging Face's inference providers.

    Args:
        model: A Hugging Face id.
        provider: The provider's name, or `auto`.
        api_key: The provider's or Hugging Face's key; `None` for the one the hub's client is logged in with.
        timeout: The most seconds a request may take.

    Raises:
        MissingExtraError: If the extra `local` is not installed.
        ConfigurationError: If langchain-huggingface refuses the settings.
    """
    try:
        from langchain_huggingface import ChatHuggingFace, HuggingFaceEndpoint
    except ModuleNotFoundError as error:
        raise MissingExtraError("local", f"Asking {provider} for {model}") from error
    settings: dict[str, Any] = {"repo_id": model, "provider": provider, "task": "conversational"}
    settings |= {"huggingfacehub_api_token": api_key, "max_new_tokens": HOSTED_TOKENS}
    if timeout is not None:
        settings["timeout"] = max(1, round(timeout))
    try:
        return ChatHuggingFace(llm=HuggingFaceEndpoint(**settings))
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"The model {model} cannot be set up at {provider}: {_first_line(error)}.") from error


def openai_compatible_chat(
    url: str, model: str, api_key: str | None = None, *, timeout: float | None = None
) -> BaseChatModel:
    """Makes a chat model that asks an address which speaks OpenAI's chat completions: vLLM, llama.cpp, a gateway.

    Args:
        url: The address up to and including `/v1`.
        model: What the server calls the model.
        api_key: The key, if it wants one. What the environment holds for OpenAI (`OPENAI_API_KEY`, `OPENAI_ORG_ID`) is
            never sent there.
        timeout: The most seconds a request may take.

    Raises:
        MissingExtraError: If the extra `openai` is not installed.
    """
    try:
        from langchain_openai import ChatOpenAI
    except ModuleNotFoundError as error:
        raise MissingExtraError("openai", f"Asking {url}") from error
    key = SecretStr(api_key or "none")
    made = ChatOpenAI(base_url=url, model=model, api_key=key, timeout=timeout, max_retries=0, use_responses_api=False)
    for client in (made.root_client, made.root_async_client):
        client.organization = client.project = None  # taken from the environment, they belong to another account
    return made


def named_chat(name: str) -> BaseChatModel:
    """Makes a chat model by LangChain's name for it; its key is where LangChain looks for it, such as `OPENAI_API_KEY`.

    Args:
        name: `provider:model`, or a model whose provider init_chat_model can tell.

    Raises:
        MissingExtraError: If the extra `openai` is needed and not installed.
        ConfigurationError: If there is no such provider, its package is not installed, or its key is missing.
    """
    from langchain.chat_models import init_chat_model

    try:
        return init_chat_model(name)
    except ImportError as error:
        if "langchain-openai" in str(error):
            raise MissingExtraError("openai", f"The model {name}") from error
        raise ConfigurationError(
            f"The model {name} needs a package that is not installed: {_first_line(error)}"
        ) from error
    except Exception as error:  # every provider's client has errors of its own for a missing key
        raise ConfigurationError(f"The model {name} cannot be set up: {_first_line(error)}") from error


def _check(model: str) -> None:
    """Says now what is wrong with a folder; an id is left to the first call, as it may have to be fetched."""
    if model != weights.EMBEDDED and (model.count("/") != 1 or Path(model).expanduser().is_dir()):
        weights.resolve(model)


def _share(key: int | str, name: str, load: "Callable[[], tuple[PreTrainedModel, PreTrainedTokenizerBase]]") -> Any:
    local = _local()
    with _sharing:
        shared = _shared.get(key)
        if shared is None:
            shared = _shared[key] = local.SharedModel(name, load)
        return shared


def _local() -> Any:
    try:
        from octopus_graph.engines.chat import local
    except ModuleNotFoundError as error:
        raise MissingExtraError("local", "A chat model in this process") from error
    return local


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
