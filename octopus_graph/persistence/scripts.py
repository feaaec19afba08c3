r"""What runs inside Redis: each operation of the saver is one Lua script, so it is one round trip, and happens whole.

Every script has one key, the index of a thread, and builds the others from it: all of them carry the thread as their
hash tag, so they lie in one slot of a cluster.

    octopus:{thread}:i            ZSET   the index: a member `ns\tid` for each checkpoint, in the order of bytes
    octopus:{thread}:c<ns>\t<id>  HASH   one checkpoint and what was written after it
        c  the checkpoint without its values    m  its metadata    p  its parent's id    r  its run's id
        b  the blobs it is made of, a line each               d  its delta channels, a line each
        n  the channels that have a version and no blob, where there are delta channels
        t  when the ancestors those are rebuilt from were last kept alive, in ms
        w\t<task>\t<index>  a pending write
    octopus:{thread}:b<ns>        HASH   the channels' values, `channel\tversion`, each stored once
    octopus:{thread}:f            STRING the fencing token of the run that holds the thread; see `fencing`
    octopus:{thread}:a            HASH   answers of experts that no checkpoint holds yet; see `fencing`

Names are percent-encoded, so that none holds a tab, a line break or a brace. Only commands of Redis 6.2 are used.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

__all__ = [
    "BLOBS_OUT",
    "COPY_IN",
    "COPY_OUT",
    "DELETE",
    "DELETE_RUNS",
    "GET",
    "HISTORY",
    "KEEP_LATEST",
    "PAGE",
    "PUT",
    "READ",
    "WRITE",
]
__all__ += ["Script"]


@dataclass(frozen=True)
class Script:
    """A script, and the name under which a server that has seen it once knows it."""

    text: str

    @cached_property
    def sha(self) -> str:
        """What EVALSHA asks for."""
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


_PRELUDE = r"""
local index = KEYS[1]
local base = string.sub(index, 1, -2)
local call = redis.call

local function body(member) return base .. 'c' .. member end
local function blobs(ns) return base .. 'b' .. ns end
local function space(member) return string.match(member, '^[^\t]*') end
local function lines(text) return string.gmatch(text or '', '[^\n]+') end
local function missing(key) return call('EXISTS', key) == 0 end
-- A writer with a token writes only while the thread is its own; one without is not asked.
local function stale(token) return token ~= '' and call('GET', base .. 'f') ~= token end

-- A key that is shared lives as long as whatever needs it longest, and one without an end keeps none.
local function extend(key, ttl, fresh)
  local left = call('PTTL', key)
  if (fresh or left >= 0) and left < ttl then call('PEXPIRE', key, ttl) end
end
local function written(key, ttl, fresh)
  if ttl == 0 then call('PERSIST', key) else extend(key, ttl, fresh) end
end

-- The newest first. What was only written to, because its checkpoint is still on its way, does not count.
local function newest(ns)
  local skip = 0
  repeat
    local found = call('ZREVRANGEBYLEX', index, '(' .. ns .. '\n', '[' .. ns .. '\t', 'LIMIT', skip, 8)
    for _, member in ipairs(found) do
      if call('HEXISTS', body(member), 'c') == 1 then return member end
    end
    skip = skip + 8
  until #found < 8
end

-- The ancestors that the delta channels of a checkpoint are rebuilt from: back to where each was last stored whole.
local function chain(member)
  local ns, found, wanted, open = space(member), {}, {}, 0
  local seen = call('HMGET', body(member), 'd', 'p', 'b', 'n')
  for channel in lines(seen[1]) do wanted[channel] = true; open = open + 1 end
  while true do
    for blob in lines(seen[3]) do
      local channel = string.match(blob, '^[^\t]*')
      if wanted[channel] then wanted[channel] = nil; open = open - 1 end
    end
    if open == 0 or not seen[2] then return found end
    local ancestor = ns .. '\t' .. seen[2]
    if missing(body(ancestor)) then return found end
    found[#found + 1] = ancestor
    seen = call('HMGET', body(ancestor), 'd', 'p', 'b', 'n')
    if seen[4] then  -- what has neither a blob nor a version here was first written here
      local known = {}
      for channel in lines(seen[4]) do known[channel] = true end
      for blob in lines(seen[3]) do known[string.match(blob, '^[^\t]*')] = true end
      for channel in pairs(wanted) do
        if not known[channel] then wanted[channel] = nil; open = open - 1 end
      end
    end
  end
end

-- A checkpoint is nothing without those ancestors. They are given twice its time, and again before half of it is over.
local function hold(member, ttl)
  local seen = call('HMGET', body(member), 'd', 't')
  if ttl == 0 or not seen[1] then return end
  local time = call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  if seen[2] and now - tonumber(seen[2]) <= ttl / 2 then return end
  call('HSET', body(member), 't', string.format('%.0f', now))
  for _, ancestor in ipairs(chain(member)) do extend(body(ancestor), 2 * ttl) end
end

-- Removes the blobs that no checkpoint of the namespace is made of any more.
local function collect(ns)
  local live = {}
  for _, member in ipairs(call('ZRANGEBYLEX', index, '[' .. ns .. '\t', '(' .. ns .. '\n')) do
    for blob in lines(call('HGET', body(member), 'b') or nil) do live[blob] = true end
  end
  for _, blob in ipairs(call('HKEYS', blobs(ns))) do
    if not live[blob] then call('HDEL', blobs(ns), blob) end
  end
end

local function remove(member)
  call('UNLINK', body(member))
  call('ZREM', index, member)
end

-- {member, its fields} for each that is there, and the blobs of all of them, each once.
local function read(members)
  local entries, values, seen = {}, {}, {}
  for _, member in ipairs(members) do
    local fields = call('HGETALL', body(member))
    local whole, manifest = false, nil
    for i = 1, #fields, 2 do
      if fields[i] == 'c' then whole = true elseif fields[i] == 'b' then manifest = fields[i + 1] end
    end
    if whole then
      entries[#entries + 1] = {member, fields}
      for blob in lines(manifest) do
        local place = space(member) .. '\n' .. blob
        if not seen[place] then
          seen[place] = true
          values[#values + 1] = place
          values[#values + 1] = call('HGET', blobs(space(member)), blob)
        end
      end
    end
  end
  return {entries, values}
end
"""


def _script(text: str) -> Script:
    return Script(_PRELUDE + text)


GET = _script(r"""
-- namespace, id or nothing for the newest, ttl
local ttl = tonumber(ARGV[3])
local member = ARGV[2] ~= '' and ARGV[1] .. '\t' .. ARGV[2] or newest(ARGV[1])
if not member then return {{}, {}} end
if ttl > 0 then
  for _, key in ipairs({index, body(member), blobs(ARGV[1])}) do extend(key, ttl) end
  hold(member, ttl)
end
return read({member})
""")

READ = _script("return read(ARGV)")  # members

PAGE = _script(r"""
-- namespace, the id to begin below or nothing, the most of them
local high = ARGV[2] ~= '' and '(' .. ARGV[1] .. '\t' .. ARGV[2] or '(' .. ARGV[1] .. '\n'
local found = call('ZREVRANGEBYLEX', index, high, '[' .. ARGV[1] .. '\t', 'LIMIT', 0, ARGV[3])
local page = read(found)
page[3] = #found == tonumber(ARGV[3]) and found[#found] or ''
return page
""")

PUT = _script(r"""
-- namespace, id, parent, ttl, checkpoint, metadata, run, delta channels, blobs it has, those it may have,
-- fencing token, blob, ...
if stale(ARGV[11]) then return 0 end
local ns, member, ttl = ARGV[1], ARGV[1] .. '\t' .. ARGV[2], tonumber(ARGV[4])
local fresh = {missing(index), missing(body(member)), missing(blobs(ns))}
for i = 12, #ARGV, 2 do call('HSET', blobs(ns), ARGV[i], ARGV[i + 1]) end
local manifest, lost = {}, {}
for blob in lines(ARGV[9]) do
  local list = call('HEXISTS', blobs(ns), blob) == 1 and manifest or lost
  list[#list + 1] = blob
end
local bare = {}
for blob in lines(ARGV[10]) do
  if call('HEXISTS', blobs(ns), blob) == 1 then
    manifest[#manifest + 1] = blob
  else
    bare[#bare + 1] = string.match(blob, '^[^\t]*')
  end
end
call('HSET', body(member), 'c', ARGV[5], 'm', ARGV[6], 'b', table.concat(manifest, '\n'))
for field, value in pairs({p = ARGV[3], r = ARGV[7], d = ARGV[8]}) do
  if value == '' then call('HDEL', body(member), field) else call('HSET', body(member), field, value) end
end
if ARGV[8] ~= '' then call('HSET', body(member), 'n', table.concat(bare, '\n')) end
call('ZADD', index, 0, member)
for i, key in ipairs({index, body(member), blobs(ns)}) do written(key, ttl, fresh[i]) end
if ttl > 0 then
  if ARGV[8] ~= '' and ARGV[3] ~= '' then
    local parent = body(ns .. '\t' .. ARGV[3])
    local held = call('HGET', parent, 't')
    if held then call('HSET', body(member), 't', held) end
    extend(parent, 2 * ttl)
    hold(member, ttl)
  end
  -- A few names at random, more than expire between two puts: what has expired never makes up much of the index.
  for _, other in ipairs(call('ZRANDMEMBER', index, 4)) do
    if missing(body(other)) then
      call('ZREM', index, other)
      local values = blobs(space(other))
      if not missing(values) and call('HINCRBY', values, 'swept', 1) >= 64 then collect(space(other)) end
    end
  end
end
return lost
""")

WRITE = _script(r"""
-- namespace, id, ttl, fencing token, then field, value and whether an earlier value stays, ...
if stale(ARGV[4]) then return 0 end
local member, ttl = ARGV[1] .. '\t' .. ARGV[2], tonumber(ARGV[3])
local fresh = {missing(index), missing(body(member))}
for i = 5, #ARGV, 3 do
  call(ARGV[i + 2] == '1' and 'HSETNX' or 'HSET', body(member), ARGV[i], ARGV[i + 1])
end
call('ZADD', index, 0, member)
written(index, ttl, fresh[1])
written(body(member), ttl, fresh[2])
if ttl > 0 then
  extend(blobs(ARGV[1]), ttl)
  hold(member, ttl)
end
return 1
""")

HISTORY = _script(r"""
-- namespace, id or nothing for the newest, ttl, channels
local ns, ttl, wanted, open, steps = ARGV[1], tonumber(ARGV[3]), {}, 0, {}
for i = 4, #ARGV do wanted[ARGV[i]] = true; open = open + 1 end
local member = ARGV[2] ~= '' and ns .. '\t' .. ARGV[2] or newest(ns)
if not member then return {steps, 1} end
local parent = call('HGET', body(member), 'p')
while parent and open > 0 do
  local ancestor = ns .. '\t' .. parent
  local fields, writes, seeds, manifest = call('HGETALL', body(ancestor)), {}, {}, nil
  if #fields == 0 then return {steps, 0} end
  if ttl > 0 then extend(body(ancestor), 2 * ttl) end
  parent = false
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    if name == 'p' then parent = value
    elseif name == 'b' then manifest = value
    elseif string.sub(name, 1, 2) == 'w\t' and wanted[string.match(value, '^[^\n]*\n([^\n]*)\n')] then
      writes[#writes + 1] = name
      writes[#writes + 1] = value
    end
  end
  for blob in lines(manifest) do
    local channel = string.match(blob, '^[^\t]*')
    if wanted[channel] then
      wanted[channel] = nil
      open = open - 1
      seeds[#seeds + 1] = channel
      seeds[#seeds + 1] = call('HGET', blobs(ns), blob)
    end
  end
  steps[#steps + 1] = {writes, seeds}
end
return {steps, 1}
""")

DELETE = _script(r"""
for _, member in ipairs(call('ZRANGE', index, 0, -1)) do call('UNLINK', body(member), blobs(space(member))) end
return call('UNLINK', index, base .. 'f', base .. 'a')
""")

DELETE_RUNS = _script(r"""
-- runs
local runs, touched, count = {}, {}, 0
for _, run in ipairs(ARGV) do runs[run] = true end
for _, member in ipairs(call('ZRANGE', index, 0, -1)) do
  local run = call('HGET', body(member), 'r')
  if run and runs[run] then
    remove(member)
    touched[space(member)] = true
    count = count + 1
  end
end
for ns in pairs(touched) do collect(ns) end
return count
""")

KEEP_LATEST = _script(r"""
local latest, kept, passed = {}, {}, {}
local members = call('ZRANGE', index, 0, -1)
for _, member in ipairs(members) do
  local ns = space(member)
  if latest[ns] == nil then
    latest[ns] = newest(ns) or false
    if latest[ns] then
      for _, ancestor in ipairs(chain(latest[ns])) do kept[ancestor] = true end
    end
  end
end
for _, member in ipairs(members) do
  -- In the order of the index: what is newer than the newest belongs to a checkpoint on its way.
  local ns = space(member)
  if member == latest[ns] then passed[ns] = true end
  if latest[ns] and not passed[ns] and not kept[member] then remove(member) end
end
for ns in pairs(latest) do collect(ns) end
return 1
""")

COPY_OUT = _script(r"""
-- members
local found = {}
for i, member in ipairs(ARGV) do found[i] = call('HGETALL', body(member)) end
return found
""")

BLOBS_OUT = _script("return call('HSCAN', blobs(ARGV[1]), ARGV[2], 'COUNT', 50)")  # namespace, cursor

COPY_IN = _script(r"""
-- ttl, namespace, member or nothing where it is blobs, field, value, ...
local ttl, member = tonumber(ARGV[1]), ARGV[3]
local key = member ~= '' and body(member) or blobs(ARGV[2])
local fresh = {missing(key), missing(index)}
for i = 4, #ARGV, 2 do call('HSET', key, ARGV[i], ARGV[i + 1]) end
written(key, ttl, fresh[1])
if member ~= '' then
  call('ZADD', index, 0, member)
  written(index, ttl, fresh[2])
end
return 1
""")
