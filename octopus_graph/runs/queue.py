"""The queue as seen by those who submit runs and look after them; sync and async from one implementation."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast
from uuid import UUID, uuid4

from octopus_graph.effects import Logic, Pause, arun, run
from octopus_graph.errors import InputError, RunError
from octopus_graph.persistence import RedisSaver
from octopus_graph.persistence.layout import Values
from octopus_graph.persistence.leases import Leases, Record

__all__ = ["KEEP", "Run", "RunQueue", "Status", "leases_of"]

Status = Literal["queued", "running", "interrupted", "done", "cancelled", "dead"]

KEEP = 7 * 24 * 3600.0
"""Seconds for which a run that is over can be looked at."""
POLL = 0.1  # seconds between two looks of whoever waits for a run
SETTLED = ("done", "cancelled", "dead", "interrupted")


@dataclass(frozen=True)
class Run:
    """A run as it stands; times are in seconds since the epoch.

    Attributes:
        id: What `submit` returned.
        thread: The thread it goes on.
        status: Where it stands. `interrupted` waits for `resume`, `dead` for `requeue` or for nobody.
        attempts: How often it was begun since it was submitted, resumed or requeued; what was handed back in peace
            does not count.
        submitted: When it was submitted.
        started: When a worker first took it.
        ended: When it was over.
        worker: Who has it.
        error: Why the last attempt failed.
        question: What it asks its human while it is interrupted: the values it was interrupted with.
    """

    id: str
    thread: str
    status: Status
    attempts: int
    submitted: float
    started: float | None = None
    ended: float | None = None
    worker: str | None = None
    error: str | None = None
    question: Any = None


def leases_of(saver: RedisSaver, queue: str, keep: float = KEEP) -> Leases:
    """Opens the queue that lies beside a saver's checkpoints."""
    return Leases(saver.link, saver.prefix, queue, round(keep * 1000))


class RunQueue:
    """Runs to be walked by workers (`RunWorker`, `octopus-graph worker`).

    Each method has an async twin: `submit` and `asubmit`.
    """

    def __init__(self, saver: RedisSaver, queue: str = "default") -> None:
        """Connects to nothing yet.

        Args:
            saver: Where the checkpoints are; what runs are given and give is written as they are, encrypted or not.
            queue: The name of the queue, for workers that walk different graphs.
        """
        self._leases = leases_of(saver, queue)
        self._values = Values(saver.serde)

    # ------------------------------------------------------------ submitting

    def submit(
        self,
        thread_id: str,
        request: str | Mapping[str, Any],
        *,
        context: Mapping[str, Any] | None = None,
        run_id: str | None = None,
    ) -> str:
        """Queues a run; runs of one thread go on one after the other, in the order in which they came.

        Args:
            thread_id: The thread it goes on.
            request: What the graph is given; a text becomes the user's message.
            context: The settings of the run, as in `graph.invoke(..., context=...)`.
            run_id: A UUID of the caller's own: submitting it again changes nothing, so that a caller who got no
                answer may.

        Returns:
            The run's id.

        Raises:
            InputError: If the thread's name is empty or the id is no UUID.
            StoreError: If Redis does not take it.
        """
        return run(self._submit(thread_id, request, context, run_id))

    async def asubmit(
        self,
        thread_id: str,
        request: str | Mapping[str, Any],
        *,
        context: Mapping[str, Any] | None = None,
        run_id: str | None = None,
    ) -> str:
        """As `submit`."""
        return await arun(self._submit(thread_id, request, context, run_id))

    def resume(self, run_id: str, value: Any) -> None:
        """Lets an interrupted run go on with what its human said.

        Raises:
            RunError: If there is no such run, or it does not wait for its human.
        """
        run(self._resume(run_id, value))

    async def aresume(self, run_id: str, value: Any) -> None:
        """As `resume`."""
        await arun(self._resume(run_id, value))

    # ------------------------------------------------------------ looking

    def status(self, run_id: str) -> Run:
        """Says how a run stands.

        Raises:
            RunError: If there is no such run.
        """
        return run(self._status(run_id))

    async def astatus(self, run_id: str) -> Run:
        """As `status`."""
        return await arun(self._status(run_id))

    def wait(self, run_id: str, timeout: float | None = None) -> Run:
        """Waits until a run is over, or waits for its human.

        Raises:
            RunError: If there is no such run.
            TimeoutError: If the time is over first; the run goes on.
        """
        return run(self._wait(run_id, timeout))

    async def await_(self, run_id: str, timeout: float | None = None) -> Run:  # noqa: ASYNC109 - the run goes on
        """As `wait`."""
        return await arun(self._wait(run_id, timeout))

    def result(self, run_id: str) -> dict[str, Any]:
        """Returns the graph's output.

        Raises:
            RunError: If there is no such run, or it is not done.
        """
        return run(self._result(run_id))

    async def aresult(self, run_id: str) -> dict[str, Any]:
        """As `result`."""
        return await arun(self._result(run_id))

    def list(self, *, dead: bool = False, limit: int = 100) -> Sequence[Run]:
        """Lists the newest runs, or those nobody tries any more."""
        return run(self._list(dead, limit))

    async def alist(self, *, dead: bool = False, limit: int = 100) -> Sequence[Run]:
        """As `list`."""
        return await arun(self._list(dead, limit))

    # ------------------------------------------------------------ stepping in

    def cancel(self, run_id: str) -> Status:
        """Cancels a run, wherever it goes on.

        Returns:
            `cancelled`; `running` where a worker has been asked to stop it and has yet to; or how it ended before.

        Raises:
            RunError: If there is no such run.
        """
        return run(self._cancel(run_id))

    async def acancel(self, run_id: str) -> Status:
        """As `cancel`."""
        return await arun(self._cancel(run_id))

    def requeue(self, run_id: str) -> None:
        """Gives a dead run new attempts; it goes on from its last checkpoint, at the end of its thread's line.

        Raises:
            RunError: If there is no such run, or it is not dead.
        """
        run(self._requeue(run_id))

    async def arequeue(self, run_id: str) -> None:
        """As `requeue`."""
        await arun(self._requeue(run_id))

    # ------------------------------------------------------------ logic

    def _submit(
        self, thread: str, given: str | Mapping[str, Any], context: Mapping[str, Any] | None, run_id: str | None
    ) -> Logic[str]:
        if not thread:
            raise InputError("A run goes on a thread: name one that is not empty.")
        try:
            identity = str(UUID(run_id)) if run_id is not None else str(uuid4())
        except ValueError:
            raise InputError(f"The run id {run_id!r} is no UUID: give one, or none.") from None
        value = {"messages": [("user", given)]} if isinstance(given, str) else dict(given)
        fields = {"input": self._values.dump(value)}
        if context:
            fields["context"] = self._values.dump(dict(context))
        yield from self._leases.submit(identity, thread, fields)
        return identity

    def _status(self, run_id: str) -> Logic[Run]:
        return self._run(run_id, (yield from self._read(run_id)))

    def _read(self, run_id: str) -> Logic[Record]:
        found = yield from self._leases.read(run_id)
        if found is None:
            raise _unknown(run_id)
        return found

    def _wait(self, run_id: str, timeout: float | None) -> Logic[Run]:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            found = yield from self._status(run_id)
            if found.status in SETTLED:
                return found
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"run {run_id} is {found.status} after {timeout:g} s")
            yield Pause(POLL)

    def _result(self, run_id: str) -> Logic[dict[str, Any]]:
        found = yield from self._read(run_id)
        if "result" not in found:
            raise RunError(f"The run {run_id} has no result: it is {found['status'].decode()}.")
        return self._values.load(found["result"])

    def _list(self, dead: bool, limit: int) -> Logic[Sequence[Run]]:
        found = yield from self._leases.some("dead" if dead else "all", limit)
        return [self._run(run_id, record) for run_id, record in found]

    def _cancel(self, run_id: str) -> Logic[Status]:
        return cast(Status, _known(run_id, (yield from self._leases.cancel(run_id))))

    def _resume(self, run_id: str, value: Any) -> Logic[None]:
        status = _known(run_id, (yield from self._leases.resume(run_id, self._values.dump(value))))
        if status != "interrupted":
            raise RunError(f"The run {run_id} does not wait for its human: it is {status}.")

    def _requeue(self, run_id: str) -> Logic[None]:
        status = _known(run_id, (yield from self._leases.requeue(run_id)))
        if status != "dead":
            raise RunError(f"Only a dead run is queued again; {run_id} is {status}.")

    def _run(self, run_id: str, record: Record) -> Run:
        def moment(name: str) -> float | None:
            return float(record[name]) / 1000 if name in record else None

        return Run(
            id=run_id,
            thread=record["thread"].decode(),
            status=cast(Status, record["status"].decode()),
            attempts=int(record["attempts"]),
            submitted=moment("submitted") or 0.0,
            started=moment("started"),
            ended=moment("ended"),
            worker=record["worker"].decode() if "worker" in record else None,
            error=record["error"].decode() if "error" in record else None,
            question=self._values.load(record["question"]) if "question" in record else None,
        )


def _known(run_id: str, status: str) -> str:
    if not status:
        raise _unknown(run_id)
    return status


def _unknown(run_id: str) -> RunError:
    return RunError(f"There is no run {run_id!r}: see `octopus-graph runs list` for those there are.")
