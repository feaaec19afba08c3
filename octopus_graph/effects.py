"""Logic written once and run both ways: a generator yields what has to be waited for, a driver waits for it.

    def logic() -> Logic[str]:                  # neither sync nor async
        answer = yield Invoke(model, "2 + 2?", timeout=5)
        yield Pause(0.5)
        return answer.text

    run(logic())    await arun(logic())

The graph's nodes and the experts' retries are such logic.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.config import merge_configs
from typing_extensions import override

__all__ = ["Blocking", "Effect", "Invoke", "Logic", "LogicRunnable", "Pause", "arun", "run"]

T = TypeVar("T")
Input = TypeVar("Input")


class Effect(Protocol):
    """Something to wait for."""

    def wait(self) -> Any:
        """Waits for it in this thread."""
        ...

    async def wait_async(self) -> Any:
        """Waits for it without holding the event loop."""
        ...


Logic = Generator[Effect, Any, T]
"""A generator that yields effects, is sent their results, and returns a `T`."""


def run(logic: Logic[T]) -> T:
    """Runs logic to its end in this thread."""
    try:
        effect = next(logic)
        while True:
            try:
                result = effect.wait()
            except BaseException as error:  # noqa: BLE001 - the logic decides what is done about it
                effect = logic.throw(error)
            else:
                effect = logic.send(result)
    except StopIteration as end:
        return end.value


async def arun(logic: Logic[T]) -> T:
    """Runs logic to its end without holding the event loop."""
    try:
        effect = next(logic)
        while True:
            try:
                result = await effect.wait_async()
            except BaseException as error:  # noqa: BLE001 - as in `run`; a cancellation passes through the logic's `finally`
                effect = logic.throw(error)
            else:
                effect = logic.send(result)
    except StopIteration as end:
        return end.value


@dataclass(frozen=True)
class Blocking:
    """Work that holds its thread, such as a forward pass: async code has it done in another one."""

    work: Callable[[], Any]

    def wait(self) -> Any:
        """Does the work here."""
        return self.work()

    async def wait_async(self) -> Any:
        """Does the work in a thread of the event loop's pool."""
        return await asyncio.to_thread(self.work)


@dataclass(frozen=True)
class Pause:
    """Some time to let pass."""

    seconds: float

    def wait(self) -> None:
        """Sleeps."""
        time.sleep(self.seconds)

    async def wait_async(self) -> None:
        """Sleeps, and lets others work."""
        await asyncio.sleep(self.seconds)


@dataclass(frozen=True)
class Invoke:
    """A call of a runnable, sync or async whatever the runnable offers.

    Attributes:
        runnable: What to call.
        input: What it is given.
        config: The caller's config: callbacks, so that tokens stream, and the checkpoint's place.
        timeout: The most seconds to wait; `None` for as long as it takes.
    """

    runnable: Runnable[Any, Any]
    input: Any
    config: RunnableConfig | None = None
    timeout: float | None = None

    def wait(self) -> Any:
        """Calls it here, or in a thread of its own where a timeout or an async-only runnable asks for one.

        Raises:
            TimeoutError: If the time is over. The thread cannot be killed; it is stopped at its next token or step.
        """
        if self.timeout is None:
            return self._invoke(self.config)
        with self._stoppable() as config:
            call = _in_thread(lambda: self._invoke(config))
            try:
                return call.result(self.timeout)
            except TimeoutError:
                if call.done():  # its own TimeoutError, not ours
                    raise
                raise self._late() from None

    async def wait_async(self) -> Any:
        """Awaits it.

        Raises:
            TimeoutError: If the time is over; the call is cancelled.
        """
        deadline = asyncio.timeout(self.timeout)
        try:
            with self._stoppable() as config:
                async with deadline:
                    if self.timeout is not None and _is_sync_only(self.runnable):
                        # A hanging function would hold a thread of the event loop's small pool, and then its end.
                        return await asyncio.wrap_future(_in_thread(lambda: self._invoke(config)))
                    return await self.runnable.ainvoke(self.input, config)
        except TimeoutError:
            if deadline.expired():
                raise self._late() from None
            raise

    @contextmanager
    def _stoppable(self) -> Generator[RunnableConfig]:
        """Gives a config under which a call that still runs in some thread ends soon after the block does."""
        stop = _Stop()
        try:
            # Ours last: merging fills each config up with what surrounds the call, and that must not win over ours.
            yield merge_configs({"callbacks": [stop]}, self.config)
        finally:
            stop.asked = True

    def _invoke(self, config: RunnableConfig | None) -> Any:
        if not _is_async_only(self.runnable):
            try:
                return self.runnable.invoke(self.input, config)
            except NotImplementedError:
                pass  # how tools with only a coroutine, such as those of MCP, say that they are async
        # A thread of its own, for this one may be running an event loop already.
        return _in_thread(lambda: asyncio.run(_awaited(self.runnable, self.input, config))).result()

    def _late(self) -> TimeoutError:
        return TimeoutError(f"no answer within {self.timeout:g} s")


class LogicRunnable(Runnable[Input, T]):
    """A runnable made of logic; as a graph node it serves `invoke` and `ainvoke` alike."""

    def __init__(self, name: str, logic: Callable[[Input], Logic[T]]) -> None:
        """Names it.

        Args:
            name: What traces call it.
            logic: Takes the input of a call.
        """
        self.name = name
        self._logic = logic

    @override
    def invoke(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> T:
        return run(self._logic(input))

    @override
    async def ainvoke(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> T:
        return await arun(self._logic(input))


class _Stop(BaseCallbackHandler):
    """Makes a call that nobody waits for any more fail at its next token or step."""

    raise_error = True
    run_inline = True

    def __init__(self) -> None:
        self.asked = False

    def _check(self, *_: Any, **__: Any) -> None:
        if self.asked:
            raise TimeoutError("stopped: nobody waits for the answer any more")

    on_llm_new_token = on_llm_start = on_chat_model_start = on_chain_start = on_tool_start = _check


def _in_thread(work: Callable[[], T]) -> "Future[T]":
    """Starts work in a daemon thread, which unlike a pool's never keeps the process from ending."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # whoever gives up waiting cannot cancel it: the thread will set a result
    context = copy_context()  # the config that streaming and tracing look for travels in context variables

    def target() -> None:
        try:
            future.set_result(context.run(work))
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=target, name="octopus-expert", daemon=True).start()
    return future


async def _awaited(runnable: Runnable[Any, Any], value: Any, config: RunnableConfig | None) -> Any:
    return await runnable.ainvoke(value, config)


def _is_sync_only(runnable: Any) -> bool:
    return isinstance(runnable, RunnableLambda) and not hasattr(cast(Any, runnable), "afunc")


def _is_async_only(runnable: Any) -> bool:
    """Says whether a function without a sync form stands in a runnable, a chain or a graph."""
    if isinstance(runnable, RunnableLambda):
        return not hasattr(cast(Any, runnable), "func")
    if isinstance(runnable, RunnableSequence):
        return any(_is_async_only(step) for step in cast(Any, runnable).steps)
    if isinstance(runnable, RunnableBindingBase):
        return _is_async_only(cast(Any, runnable).bound)
    nodes: dict[str, Any] = getattr(runnable, "nodes", None) or {}
    # The function nodes of a graph hold None where there is no sync function.
    bound = [getattr(node, "bound", None) for node in nodes.values()]
    return any(getattr(node, "func", node) is None for node in bound)
