"""ChatOctopus: a chat model that is many. It chooses an expert by functional token and hands the conversation over.

messages -> Chooser (sticky while tools answer) -> the expert's own chat model -> its AIMessage
                                                    response_metadata["octopus"] = the decision

It puts `logic_chat` (how a chat model is asked), `answering` (who answers) and `abilities` (who can) together.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.base import RunnableBinding
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator
from typing_extensions import override

from octopus_graph.branch import OctopusBranch
from octopus_graph.effects import Logic
from octopus_graph.errors import ConfigurationError, UnknownExpertError
from octopus_graph.experts import Expert
from octopus_graph.router import OctopusRouter, Rewrite
from octopus_graph.spec import build_graph, load_spec
from octopus_graph_integrations.abilities import ChatRunnable, able_to, chat_experts, with_structure, with_tools
from octopus_graph_integrations.answering import Answering, prompted, told
from octopus_graph_integrations.choosing import Chooser
from octopus_graph_integrations.logic_chat import LogicChatModel

__all__ = ["ChatOctopus"]

Models = Mapping[str, ChatRunnable]


class ChatOctopus(LogicChatModel):
    """A chat model that hands each conversation to the expert the router chooses.

    What is said of tools, structured output, images and streaming is said to the expert's own chat model. Experts that
    cannot do what is asked are left out of the choice (`response_metadata["octopus"]["left_out"]` names them).

    Example:
        >>> from langchain_core.language_models import FakeListChatModel
        >>> from octopus_graph.testing import scripted_router
        >>> math, law = FakeListChatModel(responses=["4"]), FakeListChatModel(responses=["Yes."])
        >>> octopus = ChatOctopus(router=scripted_router({"2 + 2": "math"}), experts={"math": math, "law": law})
        >>> answer = octopus.invoke("What is 2 + 2?")
        >>> answer.text, answer.response_metadata["octopus"]["expert"]
        ('4', 'math')

    Attributes:
        router: Decides; the shipped one where it is left out.
        experts: Chat models by the router's names for them, or `Expert`s whose runnables are chat models.
        fallback: The expert that takes what the router is not sure of.
        min_confidence: Below it the router is not sure.
        max_error: The largest share of requests that may go to the wrong expert, such as 0.05.
        allowed: The only experts that may be asked; all of them where it is not set.
        rewrite: Whether requests are rewritten for the expert. A drop-in says what its caller says: `never`.
        max_hops: The most experts that are asked for one request; above 1 the edge routers choose who follows.
        temperature: Given to the expert's model with each call, where it is set; so are `max_tokens` and `stop`.
        max_tokens: As `temperature`.
        stop: As `temperature`.
        streaming: Whether `invoke` streams inside.

    Raises:
        ConfigurationError: If there is no expert, one is not a chat model, or nobody takes what the router is not sure
            of.
        UnknownExpertError: If a name is none of the router's or none of the experts.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    router: OctopusRouter = Field(default_factory=OctopusRouter.from_pretrained, repr=False, exclude=True)
    experts: dict[str, Any] = Field(repr=False, exclude=True)
    fallback: str | None = None
    min_confidence: float = Field(default=0.0, ge=0.0, le=1.0)
    max_error: float | None = Field(default=None, gt=0.0, lt=1.0)
    allowed: list[str] | None = None
    rewrite: Rewrite = "never"
    max_hops: int = Field(default=1, ge=1, le=10)
    temperature: float | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None

    _answering: Answering = PrivateAttr()
    _bound: tuple[dict[str, Any], Models] = PrivateAttr(default=({}, {}))

    @field_validator("experts", mode="plain")
    @classmethod
    def _read_experts(cls, given: object) -> dict[str, Expert]:
        return chat_experts(given)

    @model_validator(mode="after")
    def _check(self) -> Self:
        experts = cast(dict[str, Expert], self.experts)
        chooser = Chooser(
            self.router, self.fallback, self.min_confidence, self.max_error, self.rewrite, whole_path=self.max_hops > 1
        )
        chooser.check(list(experts))
        for name in [*(self.allowed or ()), *(expert.fallback for expert in experts.values() if expert.fallback)]:
            if name not in experts:
                raise UnknownExpertError(name, list(experts), where="the experts allowed, or a fallback of theirs")
        if self.allowed == []:
            raise ConfigurationError("No expert is allowed: name at least one, or leave `allowed` out.")
        allowed = {name: experts[name] for name in experts if self.allowed is None or name in self.allowed}
        if self.fallback and self.fallback not in allowed:
            raise ConfigurationError(f"The fallback {self.fallback!r} is not allowed: allow it, or name another.")
        self._answering = Answering(chooser, allowed, self.max_hops)
        return self

    @classmethod
    def from_spec(
        cls, source: str | Path = "default", *, router: OctopusRouter | None = None, **fields: Any
    ) -> "ChatOctopus":
        """Makes a chat model of a graph file.

        Args:
            source: A graph file, or the name of a shipped one.
            router: Decides in place of the router of the file.
            fields: Fields of this class, over what the file says under `defaults` and `fallback`.

        Raises:
            SpecError: If the file is broken.
            ModelNotFoundError: If the router's model is neither here nor to be fetched.
        """
        built = build_graph(load_spec(source), router=router)
        said = built.spec.defaults
        of_file: dict[str, Any] = {"fallback": built.spec.fallback}
        for name in ("min_confidence", "max_error", "max_hops", "rewrite"):
            if name in said.model_fields_set:
                of_file[name] = getattr(said, name)
        if said.experts is not None:
            of_file["allowed"] = said.experts
        return cls(router=built.router, experts={expert.name: expert for expert in built.experts}, **(of_file | fields))

    @override
    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Gives tools to every expert that can call tools; each makes of them what its provider wants.

        Raises:
            ConfigurationError: If no expert can, or the fallback cannot though the router may be unsure.
        """
        settings = kwargs if tool_choice is None else {"tool_choice": tool_choice, **kwargs}
        bound = {"tools": list(tools), **settings}
        copy = self.model_copy()
        copy._bound = (bound, self._able("call tools", lambda chat: with_tools(chat, tools, settings)))  # noqa: SLF001
        return copy.bind(**bound)

    @override
    def with_structured_output(
        self, schema: dict[str, Any] | type, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Has every expert that can answer in a schema.

        With `include_raw` the raw message of `invoke` holds the decision.

        Raises:
            ConfigurationError: If no expert can, or the fallback cannot though the router may be unsure.
        """
        settings = {"include_raw": include_raw, **kwargs}
        models = self._able("answer in a schema", lambda chat: with_structure(chat, schema, settings))
        answering, given = self._answering, self._settings({})

        def choose(value: LanguageModelInput) -> tuple[str, list[BaseMessage], dict[str, Any]]:
            messages = self._messages(value)
            able = answering.able(messages, models)
            choice = answering.chooser.choose(messages, able)
            conversation = prompted(answering.experts[choice.expert], told(choice, messages))
            return choice.expert, conversation, answering.metadata(choice, [choice.expert], able)

        branches = {name: model.bind(**given) if given else model for name, model in models.items()}
        branches = {name: _lasting(answering.experts[name], branches) for name in branches}
        return OctopusBranch(branches, choose, name=self.get_name(), stamp=_stamp if include_raw else None)

    @override
    def _answer(
        self, messages: list[BaseMessage], config: RunnableConfig, stop: list[str] | None, given: Mapping[str, Any]
    ) -> Logic[AIMessage]:
        """Answers with the models that can do what this call asks."""
        rest = self._settings(given if stop is None else {**given, "stop": stop})
        bound, models = self._bound
        if bound and all(rest.get(name) is value for name, value in bound.items()):
            rest = {name: value for name, value in rest.items() if name not in bound}
        elif rest.get("tools"):
            asked = rest.pop("tools")
            settings = {name: rest.pop(name) for name in {*_OF_TOOLS, *bound} if name in rest}
            models = self._able("call tools", lambda chat: with_tools(chat, asked, settings))
        else:
            models = {name: cast(ChatRunnable, expert.runnable) for name, expert in self._answering.experts.items()}
        if rest:
            models = {name: model.bind(**rest) for name, model in models.items()}
        return self._answering.answer(messages, models, config)

    def _able(self, what: str, prepare: Callable[[ChatRunnable], ChatRunnable]) -> Models:
        able = able_to(what, self._answering.experts, prepare)
        if self.fallback and self._answering.chooser.bar > 0 and self.fallback not in able:
            raise ConfigurationError(
                f"The fallback {self.fallback!r} cannot {what}: give it a chat model that can, or name another."
            )
        return able

    def _settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        own = {"temperature": self.temperature, "max_tokens": self.max_tokens, "stop": self.stop or None}
        return {name: value for name, value in own.items() if value is not None} | dict(given)

    # ------------------------------------------------------------ what it says of itself

    @property
    @override
    def _llm_type(self) -> str:
        return "octopus"

    @property
    @override
    def _identifying_params(self) -> dict[str, Any]:
        """Names what an answer depends on; never how the experts are reached."""
        own = {"fallback", "min_confidence", "max_error", "allowed", "rewrite", "max_hops"}
        return {
            "model_name": self.model_name,
            "router": self.router.revision,
            "experts": {name: _name_of(expert.runnable) for name, expert in self.experts.items()},
            **self.model_dump(include={*own, "temperature", "max_tokens", "stop"}),
        }

    @property
    def model_name(self) -> str:
        """What traces call the model where no expert is chosen yet."""
        return "octopus"

    @override
    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        stop = stop or self.stop
        return super()._get_ls_params(stop=stop, **kwargs)


_OF_TOOLS = ("tool_choice", "parallel_tool_calls", "strict")


def _lasting(expert: Expert, branches: Models) -> ChatRunnable:
    """Gives a branch the retries and the fallback of its expert."""
    branch = branches[expert.name]
    if expert.retries:
        branch = branch.with_retry(stop_after_attempt=expert.retries + 1)
    if expert.fallback in branches:
        branch = branch.with_fallbacks([branches[str(expert.fallback)]])
    return branch


def _name_of(chat: Any) -> str:
    while isinstance(chat, RunnableBinding):
        chat = cast(Any, chat).bound
    return str(getattr(chat, "model_name", None) or getattr(chat, "model", None) or type(chat).__name__)


def _stamp(output: Any, decision: Mapping[str, Any]) -> Any:
    """Writes a decision into the raw message behind a structured answer."""
    raw: AIMessage = output["raw"]
    return {**output, "raw": raw.model_copy(update={"response_metadata": {**raw.response_metadata, **decision}})}
