"""Who holds a thread, and what experts answered that no checkpoint holds yet.

A lease alone cannot keep two runs from writing: whoever was frozen while it ran out does not know. So each lease comes
with a token greater than all before it, which the new holder writes to the thread before it reads anything. From then
on Redis refuses what comes with another token, inside the script that would write it:

    octopus:{thread}:f    STRING   the token; there as long as a run holds the thread
    octopus:{thread}:a    HASH     answers by the key of their call, until the run that asked is over
"""

from dataclasses import dataclass

from octopus_graph.effects import Logic
from octopus_graph.errors import StaleRunError
from octopus_graph.persistence.connecting import Link
from octopus_graph.persistence.layout import Values, index_key
from octopus_graph.persistence.scripts import Script

__all__ = ["Hold", "RedisLedger"]


@dataclass(frozen=True)
class Hold:
    """A run's hold on a thread.

    Attributes:
        link: The way to Redis.
        prefix: What the keys begin with.
        thread: The thread.
        token: The run's fencing token.
        keep: The milliseconds after which what a run left behind that nobody took up again goes by itself.
    """

    link: Link
    prefix: str
    thread: str
    token: str
    keep: int

    def take(self) -> Logic[None]:
        """Takes the thread from whoever held it before; comes before anything is read.

        Raises:
            StaleRunError: If a later run has it already.
        """
        if not (yield from self._run(_TAKE, self.token, self.keep)):
            raise StaleRunError(self.thread)

    def drop(self, *, answers: bool) -> Logic[None]:
        """Gives the thread back, if it is still this run's.

        Args:
            answers: Whether the answers go as well: a run that goes on later still needs them.
        """
        yield from self._run(_DROP, self.token, int(answers))

    def _run(self, script: Script, *arguments: str | bytes | int) -> Logic[object]:
        return (yield from self.link.run(script, index_key(self.prefix, self.thread), *arguments))


@dataclass(frozen=True)
class RedisLedger:
    """The answers of one run, kept from the moment they are given; see `octopus_graph.idempotency`.

    Attributes:
        hold: The run's hold on the thread.
        run: The run.
        values: How values become bytes, encrypted where the checkpoints are.
    """

    hold: Hold
    run: str
    values: Values

    def find(self, key: str) -> Logic[str | None]:
        """Reads the answer to a call, if it was given before."""
        hold = self.hold
        found = yield from hold.link.run(_FIND, index_key(hold.prefix, hold.thread), key)
        return None if found is None else self.values.load(found)

    def keep(self, key: str, answer: str) -> Logic[str]:
        """Keeps an answer.

        Returns:
            What is kept: the answer that came first.

        Raises:
            StaleRunError: If another run holds the thread by now.
        """
        hold = self.hold
        arguments = (hold.token, key, self.values.dump(answer), hold.keep)
        kept = yield from hold.link.run(_KEEP, index_key(hold.prefix, hold.thread), *arguments)
        if not kept:
            raise StaleRunError(hold.thread)
        return self.values.load(kept)


_HEAD = r"""
local base = string.sub(KEYS[1], 1, -2)
local fence, answers = base .. 'f', base .. 'a'
"""

_TAKE = Script(
    _HEAD
    + r"""
-- token, keep
local held = redis.call('GET', fence)
if held and tonumber(held) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', fence, ARGV[1], 'PX', ARGV[2])
return 1
"""
)

_DROP = Script(
    _HEAD
    + r"""
-- token, whether the answers go
if redis.call('GET', fence) ~= ARGV[1] then return 0 end
redis.call('UNLINK', fence)
if ARGV[2] == '1' then redis.call('UNLINK', answers) end
return 1
"""
)

_FIND = Script(_HEAD + "return redis.call('HGET', answers, ARGV[1])")

_KEEP = Script(
    _HEAD
    + r"""
-- token, key, answer, keep
if redis.call('GET', fence) ~= ARGV[1] then return false end
redis.call('HSETNX', answers, ARGV[2], ARGV[3])
redis.call('PEXPIRE', answers, ARGV[4])
return redis.call('HGET', answers, ARGV[2])
"""
)
