r"""What `leases` runs inside Redis: each step that a run can take is one script, so it happens whole.

The one key of each is the list of all runs of a queue; the others are built from it and lie in the same slot.
"""

from octopus_graph.persistence.scripts import Script

__all__ = ["CANCEL", "END", "HAND_BACK", "LIST", "RENEW", "REQUEUE", "RESUME", "SUBMIT", "TAKE"]

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


SUBMIT = _script(r"""
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

TAKE = _script(r"""
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

RENEW = _script(r"""
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

END = _script(r"""
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

HAND_BACK = _script(r"""
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

CANCEL = _script(r"""
-- run, keep
local status = get(ARGV[1], 'status')
if status == 'queued' or status == 'interrupted' then
  close(ARGV[1], 'cancelled', ARGV[2])
  return 'cancelled'
end
if status == 'running' then set(ARGV[1], 'cancel', '1') end
return status
""")

RESUME = _script(r"""
-- run, value
local run, status = ARGV[1], get(ARGV[1], 'status')
if status ~= 'interrupted' then return get(run, 'resume') == ARGV[2] and 'interrupted' or status end
call('HINCRBY', record(run), 'resumes', 1)
call('HDEL', record(run), 'question')
set(run, 'resume', ARGV[2])
wait(run, get(run, 'submitted'))
return status
""")

REQUEUE = _script(r"""
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

LIST = _script(r"""
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
