"""OctopusBranch: LangChain's RunnableBranch with a learned condition. It knows no router; somebody tells it to choose.

input -> choose -> the branch of that name -> its output
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar, cast

from langchain_core.messages import BaseMessage, HumanMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.base import RunnableLike, coerce_to_runnable
from langchain_core.runnables.config import merge_configs
from langchain_core.runnables.graph import Graph
from langchain_core.runnables.utils import ConfigurableFieldSpec, get_unique_config_specs
from typing_extensions import override

from octopus_graph.errors import ConfigurationError, InputError, UnknownExpertError

__all__ = ["Chosen", "OctopusBranch", "learned_branch", "text_of"]

Input = TypeVar("Input")
Output = TypeVar("Output")

Chosen = tuple[str, Any, Mapping[str, Any]]
"""The name of a branch, what it is given, and what is noted of the choice in the metadata of its run."""


class OctopusBranch(Runnable[Input, Output]):
    """A runnable that gives each input to one of several, as `choose` says."""

    def __init__(
        self,
        branches: Mapping[str, Runnable[Any, Output]],
        choose: Callable[[Input], Chosen],
        *,
        name: str | None = None,
        stamp: Callable[[Output, Mapping[str, Any]], Output] | None = None,
    ) -> None:
        """Takes the branches.

        Args:
            branches: By name.
            choose: Names the branch for an input; async callers have it called in a thread.
            name: What traces call it.
            stamp: Puts what was noted of the choice into the output of `invoke`, where that can hold it.
        """
        self.branches = dict(branches)
        self.name = name
        self._choose = choose
        self._stamp = stamp

    @property
    @override
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        return get_unique_config_specs(spec for branch in self.branches.values() for spec in branch.config_specs)

    @override
    def get_graph(self, config: RunnableConfig | None = None) -> Graph:
        """Draws the choice and its branches."""
        graph = Graph()
        start = graph.add_node(self.get_input_schema(config), "input")
        choice = graph.add_node(self, "choose")
        end = graph.add_node(self.get_output_schema(config), "output")
        graph.add_edge(start, choice)
        for name, branch in self.branches.items():
            node = graph.add_node(branch, name if name not in graph.nodes else f"{name} (branch)")
            graph.add_edge(choice, node, data=name, conditional=True)
            graph.add_edge(node, end)
        return graph

    @override
    def invoke(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> Output:
        def call(value: Input, config: RunnableConfig) -> Output:
            name, given, noted = self._choose(value)
            return self._stamped(self.branches[name].invoke(given, _noting(config, noted), **kwargs), noted)

        return self._call_with_config(_typed(call), input, config)

    @override
    async def ainvoke(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> Output:
        async def call(value: Input, config: RunnableConfig) -> Output:
            name, given, noted = await asyncio.to_thread(self._choose, value)
            return self._stamped(await self.branches[name].ainvoke(given, _noting(config, noted), **kwargs), noted)

        return await self._acall_with_config(_typed(call), input, config)

    @override
    def stream(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Output]:
        def chunks(inputs: Iterator[Input], config: RunnableConfig) -> Iterator[Output]:
            for value in inputs:
                name, given, noted = self._choose(value)
                yield from self.branches[name].stream(given, _noting(config, noted), **kwargs)

        yield from self._transform_stream_with_config(iter([input]), _typed(chunks), config)

    @override
    async def astream(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Output]:
        async def inputs() -> AsyncIterator[Input]:
            yield input

        async def chunks(inputs: AsyncIterator[Input], config: RunnableConfig) -> AsyncIterator[Output]:
            async for value in inputs:
                name, given, noted = await asyncio.to_thread(self._choose, value)
                async for chunk in self.branches[name].astream(given, _noting(config, noted), **kwargs):
                    yield chunk

        async for chunk in self._atransform_stream_with_config(inputs(), _typed(chunks), config):
            yield chunk

    def _stamped(self, output: Output, noted: Mapping[str, Any]) -> Output:
        return output if self._stamp is None else self._stamp(output, noted)


class Decision(Protocol):
    """What is read of a router's decision."""

    @property
    def expert(self) -> str | None:
        """Who was chosen."""
        ...

    @property
    def confidence(self) -> float:
        """The probability of the choice."""
        ...


class Decides(Protocol):
    """Whatever decides as an `OctopusRouter` does."""

    @property
    def experts(self) -> tuple[str, ...]:
        """The names it knows."""
        ...

    def decide(
        self, query: str, candidates: Sequence[str] | None = None, *, rewrite: Literal["auto", "always", "never"]
    ) -> Decision:
        """Chooses among candidates."""
        ...


def learned_branch(
    router: Decides,
    runnables: Mapping[str, RunnableLike[Any, Any]],
    *,
    default: str | None = None,
    min_confidence: float = 0.0,
    key: Callable[[Any], str] | None = None,
) -> OctopusBranch[Any, Any]:
    """Makes a branch in which a router chooses: see `OctopusRouter.from_runnables`.

    Raises:
        UnknownExpertError: If a name is none of the router's experts, or the default none of the runnables.
        ConfigurationError: If there is no runnable, or a `min_confidence` without a default.
    """
    names = list(runnables)
    if not names:
        raise ConfigurationError("There is nothing to choose among: give at least one runnable under its name.")
    for name in names:
        if name not in router.experts:
            where = "the router (docs/own-experts.md shows how to train one for names of your own)"
            raise UnknownExpertError(name, list(router.experts), where=where)
    if default is not None and default not in runnables:
        raise UnknownExpertError(default, names, where="the default")
    if min_confidence > 0 and default is None:
        raise ConfigurationError("min_confidence needs somebody to take what is below it: name a default.")

    def choose(value: Any) -> Chosen:
        decision = router.decide((key or text_of)(value), names, rewrite="never")
        unsure = default is not None and decision.confidence < min_confidence
        chosen = str(default if unsure else decision.expert)
        return chosen, value, {"octopus_expert": chosen, "octopus_confidence": round(decision.confidence, 4)}

    return OctopusBranch({name: coerce_to_runnable(each) for name, each in runnables.items()}, choose)


def text_of(value: object) -> str:
    """Finds the request in what a chain is given.

    A text; a prompt; messages, of which the last human one counts; or a mapping that holds one of these under
    `messages`, `query`, `question` or `input`.

    Raises:
        InputError: If there is none.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, BaseMessage):
        return str(value.text)
    if isinstance(value, PromptValue):
        return text_of(value.to_messages())
    if isinstance(value, Mapping):
        mapping = cast(Mapping[str, object], value)
        for key in ("messages", "query", "question", "input"):
            if key in mapping:
                return text_of(mapping[key])
    if isinstance(value, list) and value:
        read = convert_to_messages(cast(list[Any], value))
        said = next((message for message in reversed(read) if isinstance(message, HumanMessage)), read[-1])
        return str(said.text)
    kind = type(cast(object, value)).__name__
    raise InputError(
        f"There is no request in a {kind}: give a text, messages, a mapping with one of them under"
        " messages, query, question or input, or say with `key` how to find it."
    )


def _typed(function: Any) -> Any:
    """Takes away a type: LangChain hands a function its config by name, which its own types leave out."""
    return function


def _noting(config: RunnableConfig, noted: Mapping[str, Any]) -> RunnableConfig:
    """Shows the choice to whoever traces the branch."""
    return merge_configs(config, {"metadata": dict(noted)})
