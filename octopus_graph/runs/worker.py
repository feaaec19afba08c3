"""A worker: takes runs while it has hands free, keeps their leases, and lets go of them in peace."""

import asyncio
import logging
import os
import random
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

from octopus_graph.effects import arun
from octopus_graph.errors import ConfigurationError, InputError, OctopusError, StaleRunError, StoreError
from octopus_graph.persistence import RedisSaver
from octopus_graph.persistence.leases import Record
from octopus_graph.runs.attempt import Outcome, attempt, hold_of
from octopus_graph.runs.queue import KEEP, leases_of

__all__ = ["RunWorker"]

logger = logging.getLogger(__name__)

POLL = 0.1  # seconds between two looks into an empty queue
BEAT = 0.5  # the most seconds between two renewals
LAST_WORDS = 5.0  # seconds for handing back what was not finished
FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0  # seconds before a run that failed is tried again
LASTING = (InputError, ConfigurationError)  # a second attempt would fail as the first did


@dataclass
class _Held:
    """A run this worker holds."""

    record: Record
    walk: asyncio.Task[Outcome]
    stopped: Literal["", "lost", "cancelled", "drained"] = ""
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self, why: Literal["lost", "cancelled", "drained"]) -> None:
        if not self.stopped:
            self.stopped = why
            self.walk.cancel()


class RunWorker:
    """Walks the runs of a queue through one graph, until it is told to stop.

    Example:
        >>> worker = RunWorker(graph, saver)  # doctest: +SKIP
        >>> asyncio.run(worker.run())  # doctest: +SKIP
    """

    def __init__(
        self,
        graph: Any,
        saver: RedisSaver,
        *,
        queue: str = "default",
        concurrency: int = 4,
        lease: float = 10.0,
        attempts: int = 5,
        grace: float = 30.0,
        name: str | None = None,
    ) -> None:
        """Takes nothing yet.

        Args:
            graph: A compiled graph.
            saver: Where checkpoints and queue are.
            queue: The name of the queue.
            concurrency: How many runs it walks at a time.
            lease: The seconds after which the runs of a worker that is not heard of go to another.
            attempts: How often a run is tried before it counts as dead.
            grace: The seconds that runs have to finish once the worker is told to stop.
            name: What the worker is called; its machine and process by default.

        Raises:
            ConfigurationError: If a number cannot be used.
        """
        if concurrency < 1 or attempts < 1 or lease < 0.1 or grace < 0:
            raise ConfigurationError(
                "A worker walks at least one run at a time, tries it at least once, and leases it for at least 0.1 s."
            )
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._graph = graph
        self._saver = saver
        self._leases = leases_of(saver, queue)
        self._concurrency = concurrency
        self._lease = lease
        self._attempts = attempts
        self._grace = grace
        self._held: dict[str, _Held] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()

    def stop(self) -> None:
        """Lets it finish what it holds, within its grace; told a second time, it hands everything back at once."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    async def run(self) -> None:
        """Takes and walks runs until it is stopped; Redis may go away and come back meanwhile."""
        renewing = asyncio.create_task(self._renew())
        try:
            while not self._stopping.is_set():
                if len(self._held) >= self._concurrency or not await self._take():
                    await _either(self._stopping, POLL)
            await self._drain()
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    # ------------------------------------------------------------ taking

    async def _take(self) -> bool:
        """Takes a run, if there is one."""
        ask = self._leases.take(self.name, uuid4().hex, round(self._lease * 1000), self._attempts)
        asked = asyncio.create_task(arun(ask))
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({asked, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not asked.done():  # what it may have leased by now is wanted back
            await asyncio.wait({asked}, timeout=1.0)
            asked.cancel()
        (taken,) = await asyncio.gather(asked, return_exceptions=True)
        match taken:
            case None:
                return False
            case (str() as run, dict() as record):
                await self._begin(run, record)
                return True
            case StoreError():
                logger.warning("%s The worker goes on trying.", taken)
                await _either(self._stopping, 1.0)
            case asyncio.CancelledError():
                pass
            case BaseException():
                raise taken
        return False

    async def _begin(self, run: str, record: Record) -> None:
        before = self._held.get(run)
        if before is not None:  # its lease was over, and it came back here
            before.stop("lost")
            await before.over.wait()
        hold = hold_of(self._saver, record, KEEP)
        walk = asyncio.create_task(attempt(self._graph, self._saver, run, record, hold))
        held = self._held[run] = _Held(record, walk)
        task = asyncio.create_task(self._see_through(run, held))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _see_through(self, run: str, held: _Held) -> None:
        started = time.monotonic()
        log = {"run": run, "thread": held.record["thread"].decode(), "attempt": int(held.record["attempts"])}
        logger.info("run %(run)s, attempt %(attempt)d: taken", log)
        try:
            await asyncio.wait({held.walk})
            said = await self._say(run, held)
            logger.info("run %s: %s after %.2f s", run, said, time.monotonic() - started)
        except StoreError as error:  # its lease runs out by itself
            logger.warning("run %s: left to whoever takes it next. %s", run, error)
        finally:
            self._held.pop(run, None)
            held.over.set()

    async def _say(self, run: str, held: _Held) -> str:
        """Tells the queue what became of a run."""
        if held.walk.cancelled():
            return await self._stopped(run, held)
        if (error := held.walk.exception()) is not None:
            return await self._failed(run, held, error)
        return await self._end(run, held, *held.walk.result())

    async def _stopped(self, run: str, held: _Held) -> str:
        if held.stopped == "cancelled":
            return await self._end(run, held, "cancelled", {})
        if held.stopped == "lost":
            return "left to whoever holds it now"
        return await self._back(run, held)

    async def _failed(self, run: str, held: _Held, error: BaseException) -> str:
        if isinstance(error, StoreError) and not isinstance(error, StaleRunError):
            return await self._back(run, held, delay=FIRST_DELAY)  # Redis was away for too long: no fault of the run
        if isinstance(error, LASTING):
            return await self._end(run, held, "dead", {"error": _told(error)})
        if not isinstance(error, OctopusError):
            logger.warning("run %s failed", run, exc_info=error)
        # A stale run is refused by the queue as well, unless it was its thread that was deleted.
        return await self._back(run, held, error, delay=_delay(int(held.record["attempts"])))

    async def _end(self, run: str, held: _Held, status: str, fields: Mapping[str, str | bytes]) -> str:
        ended = await arun(self._leases.end(run, _token(held), status, fields))
        await arun(hold_of(self._saver, held.record, KEEP).drop(answers=status in ("done", "cancelled")))
        return status if ended else f"{status}, but its lease was over"

    async def _back(self, run: str, held: _Held, error: BaseException | None = None, *, delay: float = 0.0) -> str:
        """Hands a run back; a try that failed counts, one that was cut short in peace does not."""
        counted = None if error is None else self._attempts
        why = "" if error is None else _told(error)
        back = self._leases.hand_back(run, _token(held), delay=round(delay * 1000), attempts=counted, error=why)
        said = "handed back" if await arun(back) else "left to whoever holds it now"
        return f"{said} ({why})" if why else said

    # ------------------------------------------------------------ keeping and letting go

    async def _renew(self) -> None:
        """Renews the leases, and learns what was cancelled or lost."""
        while True:
            await asyncio.sleep(min(BEAT, self._lease / 3))
            held = dict(self._held)
            if not held:
                continue
            pairs = [(run, _token(one)) for run, one in held.items()]
            try:
                said = await arun(self._leases.renew(round(self._lease * 1000), pairs))
            except StoreError as error:
                # They go on: a step is only on record if Redis takes it, and it takes none of a stale run.
                logger.warning("leases are not renewed. %s", error)
                continue
            for one, word in zip(held.values(), said, strict=True):
                if word == "lost":
                    one.stop("lost")
                elif word == "cancel":
                    one.stop("cancelled")

    async def _drain(self) -> None:
        """Gives what it holds time to finish, hands back the rest."""
        if self._tasks:
            logger.info("stopping: %d runs have %g s to finish", len(self._tasks), self._grace)
        deadline = time.monotonic() + self._grace
        while self._tasks and time.monotonic() < deadline and not self._hurry.is_set():
            await _either(self._hurry, POLL)
        for one in self._held.values():
            one.stop("drained")
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=LAST_WORDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Waits for an event or for some time, whichever is over first."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def _token(held: _Held) -> str:
    return held.record["token"].decode()


def _told(error: BaseException) -> str:
    """Says what went wrong; the words of foreign errors stay in the worker's log, they may hold what was asked."""
    return str(error) if isinstance(error, OctopusError) else f"{type(error).__name__}: see the log of the worker"


def _delay(attempt: int) -> float:
    return min(LONGEST_DELAY, FIRST_DELAY * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0)
