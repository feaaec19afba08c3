"""What one run wants of its experts' chat models: temperature, tools, the form of the answer.

The options travel in the run's config, where `Expert.ask` finds them; nothing of the model itself is changed. What
shapes the answer (tools, a response format) is refused where a model cannot do it; what only tunes it (temperature, a
limit) is set on models that have such a setting.
"""

import inspect
from typing import Any, Literal, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.base import RunnableBindingBase
from pydantic import BaseModel, ConfigDict, Field

from octopus_graph.errors import InputError

__all__ = ["ModelOptions", "chat_model_of", "options_of", "with_options"]

_KEY = "octopus_model_options"
# What chat models call their settings.
_NAMES = {
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "max_tokens": ("max_tokens", "max_output_tokens", "max_new_tokens", "num_predict"),
    "seed": ("seed",),
    "presence_penalty": ("presence_penalty",),
    "frequency_penalty": ("frequency_penalty",),
    "reasoning_effort": ("reasoning_effort",),
}


class ModelOptions(BaseModel):
    """Options of one run; `None` leaves a model as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    seed: int | None = None
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    reasoning_effort: str | None = None
    stop: list[str] | None = None
    tools: list[dict[str, Any]] | None = Field(default=None, description="In OpenAI's form")
    tool_choice: Literal["auto", "none", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = Field(default=None, description="In OpenAI's form")

    @property
    def shape(self) -> bool:
        """Whether they shape the answer, so that a model has to be able to do it."""
        return bool(self.tools or self.response_format)

    def on(self, runnable: Runnable[Any, Any], expert: str) -> Runnable[Any, Any]:
        """Returns a runnable with these options.

        Args:
            runnable: What an expert asks.
            expert: Its name, for the error.

        Raises:
            InputError: If they ask for what it cannot do.
        """
        model = chat_model_of(runnable)
        if model is None:
            if self.shape:
                raise InputError(
                    f"The expert {expert!r} is no chat model, so it takes neither tools nor a response format: leave"
                    " them out, or ask another expert."
                )
            return runnable
        bound = self._tooled(self._tuned(model), expert)
        extra: dict[str, Any] = {} if self.stop is None else {"stop": self.stop}
        if self.response_format:
            if not _takes_format(model):
                raise InputError(
                    f"The model of the expert {expert!r} takes no response format: say in words what form you want."
                )
            extra["response_format"] = self.response_format
        return bound.bind(**extra) if extra else bound

    def _tuned(self, model: BaseChatModel) -> BaseChatModel:
        """Copies a model with those settings that it has."""
        fields = type(model).model_fields
        changed: dict[str, Any] = {}
        for option, names in _NAMES.items():
            value = getattr(self, option)
            field = next((name for name in names if name in fields), None)
            if value is None or field is None:
                continue
            if field == "max_new_tokens":  # of a model in this process: its owner's limit holds
                value = min(value, getattr(model, field))
            changed[field] = value
        return model.model_copy(update=changed) if changed else model

    def _tooled(self, model: BaseChatModel, expert: str) -> Runnable[Any, Any]:
        if not self.tools:
            return model
        if type(model).bind_tools is BaseChatModel.bind_tools:
            raise InputError(f"The model of the expert {expert!r} takes no tools: ask another expert, or none.")
        given: dict[str, Any] = {} if self.tool_choice is None else {"tool_choice": self.tool_choice}
        if self.parallel_tool_calls is not None:
            given["parallel_tool_calls"] = self.parallel_tool_calls
        return model.bind_tools(self.tools, **given)


def with_options(config: RunnableConfig, options: ModelOptions | None) -> RunnableConfig:
    """Puts options into the config of a run."""
    if options is None:
        return config
    return {**config, "configurable": {**config.get("configurable", {}), _KEY: options}}


def options_of(config: RunnableConfig | None) -> ModelOptions | None:
    """Returns the options of the run a config belongs to. Only an object counts: no client can send one."""
    found = (config or {}).get("configurable", {}).get(_KEY)
    return found if isinstance(found, ModelOptions) else None


def chat_model_of(runnable: Any) -> BaseChatModel | None:
    """Returns the chat model a runnable is, alone or with arguments bound; `None` for all else."""
    while isinstance(runnable, RunnableBindingBase):
        runnable = cast(Any, runnable).bound
    return runnable if isinstance(runnable, BaseChatModel) else None


def _takes_format(model: BaseChatModel) -> bool:
    """Says whether a model takes `response_format`: LangChain's OpenAI family does, and says so in `bind_tools`."""
    return (
        "response_format" in type(model).model_fields
        or "response_format" in inspect.signature(type(model).bind_tools).parameters
    )
