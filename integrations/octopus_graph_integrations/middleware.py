"""OctopusMiddleware: an agent's model, or the tools it sees, chosen by functional token at each call of the model.

    create_agent(model, tools, middleware=[OctopusMiddleware(models={"math": big, "general": small})])
    create_agent(model, forty, middleware=[OctopusMiddleware(tools={"math": ["solve", "plot"], "law": ["cases"]})])

While the model calls tools and reads what they say, model and tools stay what they were.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from langchain_core.tools import BaseTool
from pydantic import BaseModel, Field, ValidationError
from typing_extensions import override

from octopus_graph.errors import ConfigurationError, InputError, UnknownExpertError
from octopus_graph.experts import Expert
from octopus_graph.router import OctopusRouter
from octopus_graph_integrations.abilities import able_to, chat_experts, seeing, with_tools
from octopus_graph_integrations.answering import prompted
from octopus_graph_integrations.choosing import METADATA, Chooser, decision_of, this_turn

__all__ = ["OctopusMiddleware"]

MOST_SHOWN = 3  # a decision names the three likeliest

Request = ModelRequest[Any]
Response = ModelResponse[Any]


class OctopusMiddleware(AgentMiddleware[AgentState[Any], Any, Any]):
    """Chooses an agent's model, its tools, or both, each time the model is called.

    The decision stands in the answer's `response_metadata["octopus"]`, so in the agent's state, and goes to
    `stream_mode="custom"` as it is made.

    Attributes:
        experts: The models that may be chosen, by the router's names; empty where the agent's own model stays.
        groups: The names of the tools that belong to each of the router's names; empty where all tools stay.
    """

    def __init__(
        self,
        router: OctopusRouter | None = None,
        *,
        models: Mapping[str, BaseChatModel | Expert] | None = None,
        tools: Mapping[str, Sequence[str | BaseTool]] | Sequence[str | BaseTool] | None = None,
        shown: int = 1,
        fallback: str | None = None,
        min_confidence: float = 0.0,
        max_error: float | None = None,
    ) -> None:
        """Takes what there is to choose among.

        Args:
            router: Decides; the shipped one where it is left out.
            models: Chat models by the router's names.
            tools: The tools of each of the router's names; or a list of tools that are names of the router themselves.
                Tools of the agent that are not named here are always shown.
            shown: For how many of the likeliest names tools are shown, 1 to 3.
            fallback: Whose model takes what the router is not sure of.
            min_confidence: Below it the router is not sure, and all tools are shown.
            max_error: The largest share of requests that may go wrong; the router's calibration makes a least
                confidence of it.

        Raises:
            UnknownExpertError: If a name is none of the router's.
            ConfigurationError: If there is nothing to choose among, a model is not a chat model, or nobody takes what
                the router is not sure of.
        """
        super().__init__()
        if not models and not tools:
            raise ConfigurationError("There is nothing to choose: give models, tools, or both.")
        if not 1 <= shown <= MOST_SHOWN:
            raise ConfigurationError(f"Tools can be shown for 1 to {MOST_SHOWN} names, not for {shown}.")
        self.experts = chat_experts(models) if models else {}
        self.groups = _groups(tools) if tools else {}
        for name, expert in self.experts.items():
            if not isinstance(expert.runnable, BaseChatModel):
                kind = type(expert.runnable).__name__
                raise ConfigurationError(f"An agent cannot use the {kind} of {name!r}: give it the chat model itself.")
        router = router or OctopusRouter.from_pretrained()
        for name in self.groups:
            if name not in router.experts:
                raise UnknownExpertError(name, list(router.experts), where="the router")
        self._chooser = Chooser(router, fallback, min_confidence, max_error)
        if self.experts:
            self._chooser.check(list(self.experts))
        self._shown = shown
        self._able: dict[tuple[str, ...], list[str]] = {}

    @override
    def wrap_model_call(self, request: Request, handler: Callable[[Request], Response]) -> Response:
        """Chooses, then calls the model."""
        chosen, decision = self._choose(request)
        return _stamped(handler(chosen), decision)

    @override
    async def awrap_model_call(self, request: Request, handler: Callable[[Request], Awaitable[Response]]) -> Response:
        """Chooses in a thread, then awaits the model."""
        chosen, decision = await asyncio.to_thread(self._choose, request)
        return _stamped(await handler(chosen), decision)

    def _choose(self, request: Request) -> tuple[Request, dict[str, Any]]:
        decision: dict[str, Any] = {}
        if self.groups:
            request, decision["tools"] = self._with_tools(request)
        if self.experts:
            request, model = self._with_model(request)
            decision |= model
        write: Callable[[Any], None] | None = getattr(request.runtime, "stream_writer", None)
        if write is not None:
            write({"event": "decision", **decision})
        return request, decision

    def _with_model(self, request: Request) -> tuple[Request, dict[str, Any]]:
        experts = {name: self.experts[name] for name in self._able_to(request)}
        choice = self._chooser.choose(request.messages, seeing(request.messages, experts))
        expert = self.experts[choice.expert]
        said = prompted(expert, [request.system_message] if request.system_message else [])
        system = cast(SystemMessage, said[0]) if said else None
        return request.override(model=expert.runnable, system_message=system), dict(choice.metadata)

    def _able_to(self, request: Request) -> list[str]:
        """Returns the models that can do what the agent needs: a response format goes as a tool, too."""
        if not request.tools and request.response_format is None:
            return list(self.experts)
        key = tuple(_name(tool) for tool in request.tools)
        if key not in self._able:
            self._able[key] = list(
                able_to("call tools", self.experts, lambda chat: with_tools(chat, request.tools, {}))
            )
        return self._able[key]

    def _with_tools(self, request: Request) -> tuple[Request, dict[str, Any]]:
        here = {_name(tool) for tool in request.tools}
        missing = sorted({name for names in self.groups.values() for name in names} - here)
        if missing:
            raise ConfigurationError(
                f"The agent has no tool {', '.join(missing)}: give create_agent the tools that OctopusMiddleware names."
            )
        decision = self._tools_before(request.messages) or self._tools_now(request.messages)
        chosen = {name for group in decision["groups"] for name in self.groups[group]}
        hidden = {name for names in self.groups.values() for name in names} - chosen
        kept = [tool for tool in request.tools if _name(tool) not in hidden]
        return request.override(tools=kept), {**decision, "shown": [_name(tool) for tool in kept]}

    def _tools_before(self, messages: Sequence[BaseMessage]) -> dict[str, Any] | None:
        """Returns what was decided for the call whose tools have just answered."""
        _, turn = this_turn(messages)
        for message in reversed(turn):
            try:
                before = _Shown.model_validate((decision_of(message) or {}).get("tools"))
            except ValidationError:
                continue
            if set(before.groups) <= self.groups.keys():
                return {**before.model_dump(), "by": "sticky", "latency_ms": 0.0}
        return None

    def _tools_now(self, messages: Sequence[BaseMessage]) -> dict[str, Any]:
        try:
            choice = replace(self._chooser, fallback=None).choose(messages, list(self.groups))
        except InputError:  # nothing to read, such as an image alone: nothing is hidden
            return {"groups": list(self.groups), "by": "unsure", "confidence": None, "top": [], "latency_ms": 0.0}
        likeliest = [str(name) for name, _ in choice.metadata["top"][: self._shown]]
        sure = choice.metadata["confidence"] >= self._chooser.bar
        return {
            "groups": likeliest if sure else list(self.groups),
            "by": "router" if sure else "unsure",
            **{name: choice.metadata[name] for name in ("confidence", "top", "latency_ms")},
        }


class _Shown(BaseModel):
    """What is taken over of an earlier decision about tools; it may come from a client."""

    groups: list[str] = Field(min_length=1)
    confidence: float | None = None
    top: list[tuple[str, float]] = []


def _groups(tools: Mapping[str, Sequence[str | BaseTool]] | Sequence[str | BaseTool]) -> dict[str, tuple[str, ...]]:
    if isinstance(tools, Mapping):
        return {name: tuple(_name(tool) for tool in group) for name, group in tools.items()}
    return {_name(tool): (_name(tool),) for tool in tools}


def _name(tool: Any) -> str:
    """Returns a tool's name; those of providers come as dictionaries."""
    if isinstance(tool, str):
        return tool
    if isinstance(tool, BaseTool):
        return tool.name
    known = cast(dict[str, Any], tool)
    return str(known.get("name") or known.get("function", {}).get("name") or known.get("type"))


def _stamped(response: Response, decision: Mapping[str, Any]) -> Response:
    """Writes a decision into the model's answer; a ChatOctopus behind it may have written its own there."""
    result: list[BaseMessage] = []
    for message in response.result:
        if isinstance(message, AIMessage):
            known = message.response_metadata
            metadata = {**known, METADATA: {**known.get(METADATA, {}), **decision}}
            result.append(message.model_copy(update={"response_metadata": metadata}))
        else:
            result.append(message)
    return replace(response, result=result)
