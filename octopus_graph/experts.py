"""Expert: somebody to ask, whatever it is made of."""

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass
from functools import cached_property
from inspect import iscoroutinefunction
from typing import Any, Literal, cast, get_args

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.tools import StructuredTool
from langgraph.errors import GraphBubbleUp
from langgraph.pregel.protocol import PregelProtocol  # pyright: ignore[reportMissingTypeStubs]
from pydantic import BaseModel, Field

from octopus_graph.effects import Invoke, Logic, Pause, arun, run
from octopus_graph.errors import ConfigurationError, ExpertError, StaleRunError
from octopus_graph.idempotency import Call, call_of
from octopus_graph.options import options_of

__all__ = ["Answer", "Expert", "Takes", "ask_in_turn"]

Takes = Literal["auto", "messages", "query", "state"]

# What model providers allow as the name of a tool; it also keeps clear of the separators in LangGraph's namespaces.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 8.0


@dataclass(frozen=True)
class Answer:
    """What an expert said.

    Attributes:
        text: Its words.
        message_id: The id under which a chat model's words were streamed; `None` where there is none.
    """

    text: str
    message_id: str | None = None


@dataclass(frozen=True)
class Expert:
    """Somebody to ask.

    Example:
        >>> expert = Expert("shout", "Says it louder", str.upper)
        >>> expert.as_tool().invoke({"query": "hello"})
        'HELLO'

    Attributes:
        name: What the router, the graph's nodes and the tool calls name it: letters, digits, `_` and `-`.
        description: What it is good for, in one sentence.
        runnable: Anything that answers: a chat model, a chain, a graph, a function, sync or async.
        neighbours: Who may be asked after it; `None` for every other expert.
        system_prompt: What a runnable that takes messages is told first.
        takes: What the runnable is given: the `query` as a string, `messages`, or the graph's whole `state`. `auto`
            gives messages to whatever says it accepts them (chat models and what is built on them, graphs), the query
            to all else.
        timeout: The most seconds one attempt may take.
        retries: How many further attempts follow a failed one, with exponentially growing pauses between them.
        fallback: The expert that is asked after the last failed attempt.
        version: Names what is behind it: another version, another answer, so cached ones of the old are not used.

    Raises:
        ConfigurationError: If a value cannot be used.
    """

    name: str
    description: str
    runnable: Any
    _: KW_ONLY
    neighbours: tuple[str, ...] | None = None
    system_prompt: str = ""
    takes: Takes = "auto"
    timeout: float | None = None
    retries: int = 0
    fallback: str | None = None
    version: str = ""

    def __post_init__(self) -> None:
        """Checks what can be checked without the other experts."""
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"An expert cannot be named {self.name!r}: use 1 to 64 letters, digits, underscores and hyphens."
            )
        runnable: object = self.runnable
        if hasattr(runnable, "compile") and not isinstance(runnable, Runnable):
            raise ConfigurationError(f"The graph of expert {self.name!r} is not compiled: call its compile() first.")
        if not isinstance(runnable, Runnable) and not callable(runnable):
            kind = type(runnable).__name__
            raise ConfigurationError(
                f"Expert {self.name!r} cannot ask a {kind}: give it a chat model, another Runnable or a function."
            )
        if self.takes not in get_args(Takes):
            raise ConfigurationError(
                f"Expert {self.name!r} cannot take {self.takes!r}; it takes {', '.join(get_args(Takes))}."
            )
        if self.timeout is not None and not self.timeout > 0:
            raise ConfigurationError(f"The timeout of expert {self.name!r} is {self.timeout:g} s: it must be above 0.")
        if self.retries < 0:
            raise ConfigurationError(f"Expert {self.name!r} cannot have {self.retries} retries: use 0 or more.")

    def ask(
        self,
        query: str,
        chat: Sequence[AnyMessage] = (),
        state: Mapping[str, Any] | None = None,
        config: RunnableConfig | None = None,
    ) -> Logic[Answer]:
        """Asks, with timeout and retries; in a durable run, an answer that was given before is not asked for again.

        Args:
            query: The question.
            chat: The question as messages, with what led to it; the expert's own system prompt is put before it.
            state: The graph's state.
            config: The caller's config.

        Raises:
            ExpertError: If the last attempt fails too.
            InputError: If the run's options ask for what the runnable cannot do.
        """
        call = call_of(config, self.name, query)
        if call is None:
            return (yield from self._attempts(query, chat, state, config))
        kept = yield from call.find()
        if kept is None:
            answer = yield from self._attempts(query, chat, state, config, call)
            kept = yield from call.keep(asdict(answer))  # before the node ends: whoever runs it again finds it
        return Answer(**kept)

    def _attempts(
        self,
        query: str,
        chat: Sequence[AnyMessage],
        state: Mapping[str, Any] | None,
        config: RunnableConfig | None,
        call: Call | None = None,
    ) -> Logic[Answer]:
        options = options_of(config)
        callee = self._callee if options is None else options.on(self._callee, self.name)
        if call is not None:
            callee, config = call.headed(callee), call.told(config)
        reason, cause = "", None
        for attempt in range(self.retries + 1):
            if attempt:
                # Jitter keeps runs that failed together from coming back together.
                yield Pause(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0))
            try:
                output = yield Invoke(callee, self._given(query, chat, state), config, self.timeout)
                return _read(output)
            except (GraphBubbleUp, StaleRunError):
                # No failures of the expert: it is a graph that waits for a human, or whose run has lost its thread.
                raise
            except Exception as error:  # noqa: BLE001 - an expert is anybody's code and fails in any way
                reason, cause = _reason(error), error
        attempts = f" after {self.retries + 1} attempts" if self.retries else ""
        raise ExpertError({self.name: f"{reason}{attempts}"}) from cause

    def as_tool(self) -> StructuredTool:
        """Makes a LangChain tool of the expert, for an agent or a tool-calling model."""

        def sync(query: str, config: RunnableConfig) -> str:
            return run(self.ask(query, config=config)).text

        async def asynchronous(query: str, config: RunnableConfig) -> str:
            return (await arun(self.ask(query, config=config))).text

        return StructuredTool.from_function(
            func=sync, coroutine=asynchronous, name=self.name, description=self.description, args_schema=_Arguments
        )

    @cached_property
    def _callee(self) -> Runnable[Any, Any]:
        call: Any = self.runnable
        if isinstance(call, Runnable):
            return cast(Runnable[Any, Any], call)
        # An object with an async __call__ is a coroutine function to everybody but inspect.
        if not iscoroutinefunction(call) and iscoroutinefunction(getattr(call, "__call__", None)):  # noqa: B004
            call = call.__call__
        return RunnableLambda(call, name=self.name)

    @cached_property
    def _takes(self) -> Takes:
        if self.takes != "auto":
            return self.takes
        if isinstance(self.runnable, PregelProtocol):
            return "messages"
        try:
            accepted = self._callee.InputType
        except TypeError:  # it cannot be inferred
            return "query"
        return "messages" if list[AnyMessage] in (accepted, *get_args(accepted)) else "query"

    def _given(self, query: str, chat: Sequence[AnyMessage], state: Mapping[str, Any] | None) -> Any:
        if self._takes == "query":
            return query
        if self._takes == "state" and state is not None:
            return state
        messages = list(chat) or [HumanMessage(query)]
        told = [self.system_prompt] if self.system_prompt else []
        if isinstance(messages[0], SystemMessage):
            told.append(str(messages.pop(0).text))
        if told:  # in one message: many chat templates take one, and only as the first
            messages.insert(0, SystemMessage("\n\n".join(told)))
        graph = isinstance(self.runnable, PregelProtocol) or self._takes == "state"
        return {"messages": messages} if graph else messages


def ask_in_turn(
    experts: Sequence[Expert],
    query: str,
    chat: Sequence[AnyMessage] = (),
    state: Mapping[str, Any] | None = None,
    config: RunnableConfig | None = None,
) -> Logic[tuple[Answer, Expert, str | None]]:
    """Asks the first expert and, while nobody answers, the next one.

    Returns:
        The answer, who gave it, and why the first expert did not.

    Raises:
        ExpertError: If none of them answers.
    """
    failures: dict[str, str] = {}
    cause = None
    for expert in experts:
        try:
            answer = yield from expert.ask(query, chat, state, config)
        except ExpertError as error:
            failures |= error.failures
            cause = error
        else:
            return answer, expert, next(iter(failures.values()), None)
    raise ExpertError(failures) from cause


class _Arguments(BaseModel):
    query: str = Field(description="What to ask, in words that need no context")


def _read(output: Any) -> Answer:
    """Finds the words in whatever a runnable returned."""
    match _last_message(output):
        case str() as text:
            return Answer(text)
        case AIMessage() as message:
            return Answer(str(message.text), message.id)
        case BaseMessage() as message:
            return Answer(str(message.text))
        case BaseModel() as model:
            return Answer(model.model_dump_json())
        case None | []:
            raise TypeError("it returned no answer")
        case other:  # a number, a list, a dictionary
            return Answer(json.dumps(other, ensure_ascii=False, default=str))


def _last_message(output: Any) -> Any:
    """Returns the last message where the output is a graph's state or a list of messages, else the output."""
    said = output
    if isinstance(output, dict):
        said = cast(dict[str, Any], output).get("messages", cast(Any, output))
    if isinstance(said, list):
        messages = cast(list[Any], said)
        return messages[-1] if messages and isinstance(messages[-1], BaseMessage) else messages
    return said


def _reason(error: Exception) -> str:
    """Puts an error into one short line."""
    words = " ".join(str(error).split())
    words = words if len(words) <= 200 else f"{words[:199]}…"
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
