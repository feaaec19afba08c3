"""Logic written once: what a driver does with results and failures, and how calls end in time in both worlds."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, RunnablePassthrough
from langchain_core.tools import StructuredTool
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import ConfigDict
from typing_extensions import override

from octopus_graph.effects import Blocking, Effect, Invoke, Logic, LogicRunnable, Pause, arun, run

Driver = Callable[[Logic[Any]], Awaitable[Any]]

WHO = ContextVar("WHO", default="nobody")


@pytest.fixture(params=["run", "arun"])
def drive(request: pytest.FixtureRequest) -> Driver:
    """Drives logic to its end: blocking (though an event loop runs in this very thread), or awaiting."""

    async def blocking(logic: Logic[Any]) -> Any:
        return run(logic)

    return blocking if request.param == "run" else arun


def only(effect: Effect) -> Logic[Any]:
    return (yield effect)


def refuse(error: BaseException) -> Callable[..., Any]:
    def raises(*_: Any) -> Any:
        raise error

    return raises


async def who(_: str) -> str:
    return WHO.get()


async def shout(words: str) -> str:
    await asyncio.sleep(0)
    return words.upper()


async def test_results_are_sent_in_and_the_last_word_comes_out(drive: Driver) -> None:
    def logic() -> Logic[int]:
        one = yield Blocking(lambda: 1)
        yield Pause(0)
        two = yield Invoke(RunnableLambda(lambda value: value + 1), one)
        return one + two

    assert await drive(logic()) == 3


async def test_logic_without_effects_runs_too(drive: Driver) -> None:
    def logic() -> Logic[str]:
        yield from ()
        return "done"

    assert await drive(logic()) == "done"


async def test_logic_may_catch_what_an_effect_raises(drive: Driver) -> None:
    def logic() -> Logic[str]:
        try:
            yield Blocking(refuse(ValueError("no")))
        except ValueError as error:
            return f"caught {error}"
        return "not reached"

    assert await drive(logic()) == "caught no"


async def test_what_logic_does_not_catch_reaches_the_caller(drive: Driver) -> None:
    with pytest.raises(ValueError, match="no"):
        await drive(only(Blocking(refuse(ValueError("no")))))


def test_a_stop_iteration_of_a_runnable_does_not_end_the_logic() -> None:
    exhausted: Iterator[str] = iter(())

    def logic() -> Logic[str]:
        try:
            yield Invoke(RunnableLambda(lambda _: next(exhausted)), "")
        except StopIteration as error:
            return type(error).__name__
        return "not reached"

    assert run(logic()) == "StopIteration"


async def test_blocking_work_does_not_hold_the_event_loop() -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.01)

    heart = asyncio.create_task(beat())
    await arun(only(Blocking(lambda: time.sleep(0.2))))
    heart.cancel()

    assert beats >= 5


async def test_a_call_that_takes_too_long_is_given_up(drive: Driver) -> None:
    release = threading.Event()
    started = time.perf_counter()

    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        await drive(only(Invoke(RunnableLambda(lambda _: release.wait(5)), "", timeout=0.05)))

    assert time.perf_counter() - started < 2
    release.set()


async def test_a_call_in_time_is_not_disturbed_by_its_timeout(drive: Driver) -> None:
    assert await drive(only(Invoke(RunnableLambda(str.upper), "hello", timeout=5))) == "HELLO"


async def test_a_timeout_of_the_runnable_itself_keeps_its_words(drive: Driver) -> None:
    call = Invoke(RunnableLambda(refuse(TimeoutError("the server is slow"))), "", timeout=5)

    with pytest.raises(TimeoutError, match="the server is slow"):
        await drive(only(call))


async def test_a_call_in_its_own_thread_keeps_the_context_of_its_caller(drive: Driver) -> None:
    seen: list[str | None] = []

    def note(_: str, config: RunnableConfig) -> None:
        seen.append((config.get("metadata") or {}).get("who"))

    await drive(only(Invoke(RunnableLambda(note), "", {"metadata": {"who": "me"}}, timeout=5)))

    assert seen == ["me"]


async def test_a_call_in_its_own_thread_sees_its_caller_s_context_variables(drive: Driver) -> None:
    """Streaming and tracing travel in them."""
    token = WHO.set("me")
    try:
        assert await drive(only(Invoke(RunnableLambda(lambda _: WHO.get()), "", timeout=5))) == "me"
        assert await drive(only(Invoke(RunnableLambda(who), ""))) == "me"
    finally:
        WHO.reset(token)


class Endless(BaseChatModel):
    """Streams until somebody stops it."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    written: list[str]
    ended: threading.Event

    @property
    def _llm_type(self) -> str:
        return "endless"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise AssertionError("it is to be streamed")

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        try:
            for _ in range(500):
                self.written.append("word ")
                yield ChatGenerationChunk(message=AIMessageChunk(content="word "))
                time.sleep(0.01)
        finally:
            self.ended.set()


def test_a_model_that_nobody_waits_for_stops_at_its_next_token() -> None:
    model = Endless(written=[], ended=threading.Event())

    def consume(_: str, config: RunnableConfig) -> str:
        return "".join(str(chunk.text) for chunk in model.stream("go", config))

    with pytest.raises(TimeoutError):
        run(only(Invoke(RunnableLambda(consume), "", timeout=0.1)))

    assert model.ended.wait(3)
    assert 0 < len(model.written) < 400


def test_a_function_that_hangs_does_not_keep_an_event_loop_from_ending() -> None:
    release = threading.Event()
    started = time.perf_counter()

    with pytest.raises(TimeoutError, match="no answer within"):
        asyncio.run(arun(only(Invoke(RunnableLambda(lambda _: release.wait(5)), "", timeout=0.05))))

    assert time.perf_counter() - started < 2
    release.set()


async def test_an_awaited_model_that_nobody_waits_for_stops_at_its_next_token() -> None:
    model = Endless(written=[], ended=threading.Event())

    def consume(_: str, config: RunnableConfig) -> str:
        return "".join(str(chunk.text) for chunk in model.stream("go", config))

    chain = RunnablePassthrough() | RunnableLambda(consume)  # not seen to be sync: it runs in the event loop's pool
    with pytest.raises(TimeoutError):
        await arun(only(Invoke(chain, "", timeout=0.1)))

    assert await asyncio.to_thread(model.ended.wait, 3)
    assert 0 < len(model.written) < 400


async def test_a_cancelled_run_cancels_its_call() -> None:
    cancelled = asyncio.Event()

    async def wait(_: str) -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    task = asyncio.create_task(arun(only(Invoke(RunnableLambda(wait), ""))))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert cancelled.is_set()


def async_only_graph() -> Runnable[Any, Any]:
    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [("ai", await shout(str(state["messages"][-1].text)))]}

    builder = StateGraph(MessagesState)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    builder.add_edge("node", END)

    def last(state: dict[str, Any]) -> str:
        return state["messages"][-1].text

    return builder.compile() | RunnableLambda(last)


class Numbers(Runnable[str, str]):
    """A runnable that says it is async in its own way."""

    @override
    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> str:
        raise NotImplementedError("async only")

    @override
    async def ainvoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> str:
        return await shout(input)


@pytest.mark.parametrize(
    "runnable",
    [
        RunnableLambda(shout),
        RunnablePassthrough() | RunnableLambda(shout),
        RunnableLambda(shout).with_retry(stop_after_attempt=1),
        StructuredTool.from_function(coroutine=shout, name="shout", description="Shouts"),
        Numbers(),
    ],
    ids=["function", "chain", "binding", "tool", "runnable"],
)
@pytest.mark.parametrize("limit", [None, 5])
async def test_what_is_only_async_serves_sync_callers_as_well(
    runnable: Runnable[Any, Any], limit: float | None, drive: Driver
) -> None:
    assert await drive(only(Invoke(runnable, "hello", timeout=limit))) == "HELLO"


async def test_a_graph_with_async_nodes_serves_sync_callers_as_well(drive: Driver) -> None:
    assert await drive(only(Invoke(async_only_graph(), {"messages": [("user", "hello")]}))) == "HELLO"


def double(number: int) -> Logic[int]:
    return (yield Blocking(lambda: number * 2))


async def test_a_logic_runnable_serves_invoke_and_ainvoke() -> None:
    runnable: LogicRunnable[int, int] = LogicRunnable("double", double)

    assert (runnable.get_name(), runnable.invoke(2), await runnable.ainvoke(3)) == ("double", 4, 6)
