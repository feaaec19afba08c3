r"""Runs that wait, runs that are leased to a worker, runs that are over: one script for each step a run can take.

    octopus:{@runs:<queue>}:all      ZSET    the runs by the time they were submitted
    octopus:{@runs:<queue>}:ready    ZSET    those a worker may take, by the time from which it may
    octopus:{@runs:<queue>}:leases   ZSET    those a worker has, by the end of its lease
    octopus:{@runs:<queue>}:dead     ZSET    those nobody tries any more
    octopus:{@runs:<queue>}:t<t>     LIST    the runs of a thread that are not over, in their order: the first may go on
    octopus:{@runs:<queue>}:r<run>   HASH    a run
    octopus:{@runs:<queue>}:token    STRING  the last fencing token
    octopus:{@runs:<queue>}:beat     STRING  when a worker was last heard of
    octopus:{@runs:<queue>}:a<ask>   STRING  the run that a worker's question was answered with

A queue lies in one slot of a cluster, so each step happens whole. Time is the server's, in ms. A lease counts only the
time in which a worker could have renewed it: while the server is frozen or down, no lease runs out.

    queued ──take──> running ──end──> done | cancelled | dead | interrupted
      ^                │ hand back, or the lease runs out             │ resume, requeue
      └────────────────┴──────────────────────────────────────────────┘
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from octopus_graph.effects import Logic
from octopus_graph.persistence import lease_scripts as scripts
from octopus_graph.persistence.connecting import Link
from octopus_graph.persistence.layout import quoted
from octopus_graph.persistence.scripts import Script

__all__ = ["Leases", "Record"]

Record = dict[str, bytes]
"""The fields of a run."""


@dataclass(frozen=True)
class Leases:
    """The runs of one queue.

    Attributes:
        link: The way to Redis.
        prefix: What the keys begin with.
        queue: The name of the queue.
        keep: The milliseconds a run that is over can be looked at.
    """

    link: Link
    prefix: str
    queue: str
    keep: int

    def submit(self, run: str, thread: str, fields: Mapping[str, str | bytes]) -> Logic[bool]:
        """Puts a run at the end of its thread's line; a run that is known already stays as it is."""
        return bool((yield from self._run(scripts.SUBMIT, run, thread, *_flat(fields))))

    def take(self, worker: str, ask: str, lease: int, attempts: int) -> Logic[tuple[str, Record] | None]:
        """Leases the next run to a worker, after those whose lease is over were put back.

        Args:
            worker: Who takes it.
            ask: What this question is known by: should its answer be lost, the same one is given again.
            lease: The milliseconds of the lease.
            attempts: How often a run is tried before it counts as dead.
        """
        reply = yield from self._run(scripts.TAKE, worker, lease, attempts, self.keep, ask)
        return None if not reply else (reply[0].decode(), _record(reply[1]))

    def renew(self, lease: int, held: Sequence[tuple[str, str]]) -> Logic[list[str]]:
        """Renews leases, given as run and token; says of each: `held`, `cancel` (asked for) or `lost`."""
        reply = yield from self._run(scripts.RENEW, lease, *(part for pair in held for part in pair))
        return [one.decode() for one in reply]

    def end(self, run: str, token: str, status: str, fields: Mapping[str, str | bytes]) -> Logic[bool]:
        """Ends a run, or lets it wait for its human; `False` if it is no longer leased under this token."""
        return bool((yield from self._run(scripts.END, run, token, status, self.keep, *_flat(fields))))

    def hand_back(
        self, run: str, token: str, *, delay: int = 0, attempts: int | None = None, error: str = ""
    ) -> Logic[bool]:
        """Puts a run back to be tried again.

        Args:
            run: The run.
            token: Its token.
            delay: The milliseconds until it may be taken.
            attempts: How often a run is tried; `None` where this try does not count.
            error: Why it comes back.
        """
        counted = -1 if attempts is None else attempts
        return bool((yield from self._run(scripts.HAND_BACK, run, token, delay, counted, error, self.keep)))

    def cancel(self, run: str) -> Logic[str]:
        """Cancels a run that waits, asks the worker of one that runs; returns the status then, empty if unknown."""
        return (yield from self._run(scripts.CANCEL, run, self.keep)).decode()

    def resume(self, run: str, value: bytes) -> Logic[str]:
        """Lets an interrupted run go on; returns the status before, empty if unknown."""
        return (yield from self._run(scripts.RESUME, run, value)).decode()

    def requeue(self, run: str) -> Logic[str]:
        """Gives a dead run new attempts; returns the status before, empty if unknown."""
        return (yield from self._run(scripts.REQUEUE, run)).decode()

    def read(self, run: str) -> Logic[Record | None]:
        """Reads a run."""
        return _record((yield from self.link.command("HGETALL", self._key(f"r{run}")))) or None

    def some(self, where: str, limit: int) -> Logic[list[tuple[str, Record]]]:
        """Lists runs without what they were given and gave, the newest first.

        Args:
            where: `all` or `dead`.
            limit: The most of them.
        """
        reply = yield from self._run(scripts.LIST, where, limit)
        return [(run.decode(), _record(fields)) for run, fields in reply]

    def _key(self, what: str) -> str:
        return f"{quoted(self.prefix)}:{{@runs:{quoted(self.queue)}}}:{what}"

    def _run(self, script: Script, *arguments: str | bytes | int) -> Logic[Any]:
        return (yield from self.link.run(script, self._key("all"), *arguments))


def _flat(fields: Mapping[str, str | bytes]) -> list[str | bytes]:
    return [part for pair in fields.items() for part in pair]


def _record(reply: Any) -> Record:
    if isinstance(reply, dict):  # what HGETALL gives outside a script
        return {name.decode(): value for name, value in cast(dict[bytes, bytes], reply).items()}
    return {name.decode(): value for name, value in zip(reply[::2], reply[1::2], strict=True)}
