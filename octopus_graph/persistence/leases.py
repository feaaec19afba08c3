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
        return bool((yield from self._run(_SUBMIT, run, thread, *_flat(fields))))

    def take(self, worker: str, ask: str, lease: int, attempts: int) -> Logic[tuple[str, Record] | None]:
        """Leases the next run to a worker, after those whose lease is over were put back.

        Args:
            worker: Who takes it.
            ask: What this question is known by: should its answer be lost, the same one is given again.
            lease: The milliseconds of the lease.
            attempts: How often a run is tried before it counts as dead.
        """
        reply = yield from self._run(_TAKE, worker, lease, attempts, self.keep, ask)
        return None if not reply else (reply[0].decode(), _record(reply[1]))

    def renew(self, lease: int, held: Sequence[tuple[str, str]]) -> Logic[list[str]]:
        """Renews leases, given as run and token; says of each: `held`, `cancel` (asked for) or `lost`."""
        reply = yield from self._run(_RENEW, lease, *(part for pair in held for part in pair))
        return [one.decode() for one in reply]

    def end(self, run: str, token: str, status: str, fields: Mapping[str, str | bytes]) -> Logic[bool]:
        """Ends a run, or lets it wait for its human; `False` if it is no longer leased under this token."""
        return bool((yield from self._run(_END, run, token, status, self.keep, *_flat(fields))))

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
        return bool((yield from self._run(_HAND_BACK, run, token, delay, counted, error, self.keep)))

    def cancel(self, run: str) -> Logic[str]:
        """Cancels a run that waits, asks the worker of one that runs; returns the status then, empty if unknown."""
        return (yield from self._run(_CANCEL, run, self.keep)).decode()

    def resume(self, run: str, value: bytes) -> Logic[str]:
        """Lets an interrupted run go on; returns the status before, empty if unknown."""
        return (yield from self._run(_RESUME, run, value)).decode()

    def requeue(self, run: str) -> Logic[str]:
        """Gives a dead run new attempts; returns the status before, empty if unknown."""
        return (yield from self._run(_REQUEUE, run)).decode()

    def read(self, run: str) -> Logic[Record | None]:
        """Reads a run."""
        return _record((yield from self.link.command("HGETALL", self._key(f"r{run}")))) or None

    def some(self, where: str, limit: int) -> Logic[list[tuple[str, Record]]]:
        """Lists runs without what they were given and gave, the newest first.

        Args:
            where: `all` or `dead`.
            limit: The most of them.
        """
        reply = yield from self._run(_LIST, where, limit)
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


_HEAD = r"""
local all = KEYS[1]
local base = string.sub(all, 1, -4)
local ready, leases, dead = base .. 'ready', base .. 'leases', base .. 'dead'
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + time[2] / 1000  -- to the microsecond, so that what comes first is first

local function record(run) return base .. 'r' .. run end
local function line(run) return base .. 't' .. call('HGET', record(run), 'thread') end
local function get(run, field) return call('HGET', record(run), field) or '' end
local function set(run, ...) call('HSET', record(run), ...) end

-- The first in a thread's line may be taken, if it waits for a worker.
local function offer(queue)
  local first = call('LINDEX', queue, 0)
  if first and get(first, 'status') == 'queued' then call('ZADD', ready, 'NX', now, first) end
end
local function wait(run, at)
  call('ZREM', leases, run)
  call('HDEL', record(run), 'worker')
  set(run, 'status', 'queued')
  call('ZADD', ready, at, run)
end
local function close(run, status, keep)
  local queue = line(run)
  call('ZREM', ready, run)
  call('ZREM', leases, run)
  call('LREM', queue, 1, run)
  call('HDEL', record(run), 'worker', 'cancel')
  set(run, 'status', status, 'ended', now)
  if status == 'dead' then
    call('ZADD', dead, now, run)
  else
    call('HDEL', record(run), 'input', 'resume')
    call('PEXPIRE', record(run), keep)
  end
  offer(queue)
end
-- A try is over and counted: again at some time, or never more.
local function again(run, attempts, at, keep)
  if get(run, 'cancel') ~= '' then
    close(run, 'cancelled', keep)
  elseif tonumber(get(run, 'attempts')) >= attempts then
    close(run, 'dead', keep)
  else
    wait(run, at)
  end
end
-- While nobody could be heard, no lease runs out.
local function hear()
  local silence = now - tonumber(call('GET', base .. 'beat') or now)
  call('SET', base .. 'beat', now)
  if silence > 2000 then
    for _, run in ipairs(call('ZRANGE', leases, 0, -1)) do call('ZINCRBY', leases, silence, run) end
  end
end
local function holds(run, token) return get(run, 'status') == 'running' and get(run, 'token') == token end
"""


def _script(text: str) -> Script:
    return Script(_HEAD + text)


_SUBMIT = _script(r"""
-- run, thread, field, value, ...
local run = ARGV[1]
if call('EXISTS', record(run)) == 1 then return 0 end
for _, oldest in ipairs(call('ZRANGE', all, 0, 3)) do  -- those that have expired make up no more of the list than that
  if call('EXISTS', record(oldest)) == 0 then call('ZREM', all, oldest) end
end
set(run, 'thread', ARGV[2], 'status', 'queued', 'attempts', 0, 'resumes', 0, 'submitted', now, unpack(ARGV, 3))
call('ZADD', all, now, run)
call('RPUSH', line(run), run)
offer(line(run))
return 1
""")

_TAKE = _script(r"""
-- worker, lease, attempts, keep, ask
local lease, attempts, keep = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
hear()
local known = call('GET', base .. 'a' .. ARGV[5])
if known then return get(known, 'worker') == ARGV[1] and {known, call('HGETALL', record(known))} end
for _, run in ipairs(call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 100)) do
  set(run, 'error', 'its worker was not heard of any more')
  again(run, attempts, get(run, 'submitted'), keep)
end
local run = call('ZRANGEBYSCORE', ready, '-inf', now, 'LIMIT', 0, 1)[1]
if not run then return false end
-- Greater than all before it even if the server has lost the last ones it gave out.
local token = math.max(time[1] * 1000000 + time[2], tonumber(call('GET', base .. 'token') or 0) + 1)
token = string.format('%.0f', token)
call('SET', base .. 'token', token)
call('ZREM', ready, run)
call('ZADD', leases, now + lease, run)
call('HINCRBY', record(run), 'attempts', 1)
call('HSETNX', record(run), 'started', now)
set(run, 'status', 'running', 'worker', ARGV[1], 'token', token)
call('SET', base .. 'a' .. ARGV[5], run, 'PX', 60000)
return {run, call('HGETALL', record(run))}
""")

_RENEW = _script(r"""
-- lease, then run and token, ...
hear()
local said = {}
for i = 2, #ARGV, 2 do
  local run = ARGV[i]
  if not holds(run, ARGV[i + 1]) then
    said[#said + 1] = 'lost'
  else
    call('ZADD', leases, now + ARGV[1], run)
    said[#said + 1] = get(run, 'cancel') ~= '' and 'cancel' or 'held'
  end
end
return said
""")

_END = _script(r"""
-- run, token, status, keep, field, value, ...
local run, status = ARGV[1], ARGV[3]
if get(run, 'token') ~= ARGV[2] then return 0 end
if not holds(run, ARGV[2]) then return get(run, 'status') == status and 1 or 0 end  -- said twice
if get(run, 'cancel') ~= '' and status == 'interrupted' then status = 'cancelled' end
call('HDEL', record(run), 'error', 'question')
if #ARGV > 4 then set(run, unpack(ARGV, 5)) end
if status ~= 'interrupted' then
  close(run, status, ARGV[4])
else  -- it stays the first of its line: what comes after it waits for its human too
  call('ZREM', leases, run)
  call('HDEL', record(run), 'worker', 'resume')
  set(run, 'status', status, 'attempts', 0)
end
return 1
""")

_HAND_BACK = _script(r"""
-- run, token, delay, attempts or -1, error, keep
local run = ARGV[1]
if not holds(run, ARGV[2]) then return 0 end
if ARGV[5] ~= '' then set(run, 'error', ARGV[5]) end
local attempts = tonumber(ARGV[4])
if attempts < 0 then
  call('HINCRBY', record(run), 'attempts', -1)
  attempts = math.huge
end
again(run, attempts, now + ARGV[3], ARGV[6])
return 1
""")

_CANCEL = _script(r"""
-- run, keep
local status = get(ARGV[1], 'status')
if status == 'queued' or status == 'interrupted' then
  close(ARGV[1], 'cancelled', ARGV[2])
  return 'cancelled'
end
if status == 'running' then set(ARGV[1], 'cancel', '1') end
return status
""")

_RESUME = _script(r"""
-- run, value
local run, status = ARGV[1], get(ARGV[1], 'status')
if status ~= 'interrupted' then return get(run, 'resume') == ARGV[2] and 'interrupted' or status end
call('HINCRBY', record(run), 'resumes', 1)
call('HDEL', record(run), 'question')
set(run, 'resume', ARGV[2])
wait(run, get(run, 'submitted'))
return status
""")

_REQUEUE = _script(r"""
-- run
local run, status = ARGV[1], get(ARGV[1], 'status')
if status ~= 'dead' then return status end
call('ZREM', dead, run)
call('HDEL', record(run), 'ended', 'error')
set(run, 'status', 'queued', 'attempts', 0)
call('RPUSH', line(run), run)
offer(line(run))
return status
""")

_LIST = _script(r"""
-- which, the most of them
local found, names = {}, {'thread', 'status', 'attempts', 'submitted', 'started', 'ended', 'worker', 'error'}
for _, run in ipairs(call('ZREVRANGE', base .. ARGV[1], 0, ARGV[2] - 1)) do
  local fields = {}
  for i, value in ipairs(call('HMGET', record(run), unpack(names))) do
    if value then
      fields[#fields + 1] = names[i]
      fields[#fields + 1] = value
    end
  end
  if #fields > 0 then found[#found + 1] = {run, fields} end
end
return found
""")
