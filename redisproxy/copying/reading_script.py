"""The script that reads many small keys at the old server, and makes the commands that write them at the new one.

They are SETs, RESTOREs, or for types that are not restored the commands of the type. What it answers is sent to the new
server as it is, so that no key costs anything here. Keys that are large, streams, hashes with field TTLs that are not
restored, and types of modules that are not, it names only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.copying.endpoint import PRIVATE
from redisproxy.copying.reading import SMALL_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redisproxy.copying.endpoint import Command, Features

LARGE_BYTES = 1024 * 1024
"""Keys that use more memory are copied one at a time."""
BATCH_BYTES = 512 * 1024
"""The script goes on naming keys, and dumps no more, once its answer is so long."""

MOST_FIELDS = 1000
"""Of hashes with more fields the script does not ask whether these expire."""

_EXPIRY = "at = redis.call('PEXPIRETIME', key)"
_EXPIRY_BEFORE_7 = """
      at = redis.call('PTTL', key)
      if at >= 0 then
        local before, after
        repeat
          before = redis.call('TIME')
          at = redis.call('PTTL', key)
          after = redis.call('TIME')
          before = before[1] * 1000 + math.floor(before[2] / 1000)
          after = after[1] * 1000 + math.floor(after[2] / 1000)
        until before == after or at < 0
        at = before + at
      end"""
_SCRIPT = """
local call = redis.call
local step = {'', {}}
for index = 10, #ARGV do
  step[2][index - 9] = ARGV[index]
end
if not ARGV[10] then
  step = call('SCAN', ARGV[1], 'COUNT', ARGV[2])
end
local large, most, not_restored, private = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6]
local most_by_type, most_fields, expiring = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9] == '1'
local first = string.byte(private)
local wire, named, keys, commands, bytes = {}, {}, 0, 0, 0

local function put(parts)
  wire[#wire + 1] = '*' .. #parts .. '\\r\\n'
  for _, part in ipairs(parts) do
    wire[#wire + 1] = '$' .. #part .. '\\r\\n'
    wire[#wire + 1] = part
    wire[#wire + 1] = '\\r\\n'
    bytes = bytes + #part
  end
  commands = commands + 1
end

-- New strings are what takes time, and numbers as arguments.
local function cached(text)
  return setmetatable({}, {__index = function(known, size)
    local made = string.format(text, size)
    known[size] = made
    return made
  end})
end
local SET, SET_UNTIL = cached('*3\\r\\n$3\\r\\nSET\\r\\n$%d\\r\\n'), cached('*5\\r\\n$3\\r\\nSET\\r\\n$%d\\r\\n')
local RESTORE, VALUE = cached('*6\\r\\n$7\\r\\nRESTORE\\r\\n$%d\\r\\n'), cached('\\r\\n$%d\\r\\n')

local function put_string(key, value, at)
  local n = #wire
  wire[n + 1], wire[n + 2], wire[n + 3], wire[n + 4] = (at > 0 and SET_UNTIL or SET)[#key], key, VALUE[#value], value
  if at > 0 then
    at = string.format('%.0f', at)
    wire[n + 5] = '\\r\\n$4\\r\\nPXAT\\r\\n$' .. #at .. '\\r\\n' .. at .. '\\r\\n'
  else
    wire[n + 5] = '\\r\\n'
  end
  commands = commands + 1
  bytes = bytes + #value
  keys = keys + 1
end

local reads = {
  list = {'LRANGE', '0', '-1'}, set = {'SMEMBERS'}, zset = {'ZRANGE', '0', '-1', 'WITHSCORES'}, hash = {'HGETALL'},
}
local writes = {list = 'RPUSH', set = 'SADD', zset = 'ZADD', hash = 'HSET'}

local function expires(key, value)
  {field_expiry}
  return false
end

local function put_by_type(key, kind, at)
  local read = reads[kind]
  if not read or kind == 'hash' and call('HLEN', key) > most_fields then
    return false
  end
  local value = call(read[1], key, unpack(read, 2))
  if kind == 'hash' and expires(key, value) then
    return false
  end
  if #value == 0 then
    return true
  end
  local write = {writes[kind], key}
  for index, part in ipairs(value) do
    local swap = kind == 'zset' and (index % 2 == 1 and 1 or -1) or 0
    write[2 + index + swap] = part
  end
  put({'UNLINK', key})
  put(write)
  if at > 0 then
    put({'PEXPIREAT', key, string.format('%.0f', at)})
  end
  return true
end

local function expiry(key)
  local at = 0
  if expiring then
    {expiry}
  end
  return at
end

local function name(key)
  named[#named + 1] = key
end

local function string_of(key)
  local value = call('GETRANGE', key, '0', ARGV[3])
  if #value > large then
    name(key)
  elseif #value > 0 or call('EXISTS', key) == 1 then
    put_string(key, value, expiry(key))
  end
end

local function other_of(key, kind)
  local size = call('MEMORY', 'USAGE', key) or 0
  local by_type = string.find(not_restored, ' ' .. kind .. ' ', 1, true)
  if size > (by_type and most_by_type or large) then
    name(key)
  elseif by_type then
    if size > 0 and not put_by_type(key, kind, expiry(key)) then
      name(key)
    elseif size > 0 then
      keys = keys + 1
    end
  else
    local dump = call('DUMP', key)
    if dump then
      local n, ttl = #wire, string.format('%.0f', math.max(expiry(key), 0))
      wire[n + 1], wire[n + 2], wire[n + 3], wire[n + 4] = RESTORE[#key], key, VALUE[#ttl], ttl
      wire[n + 5], wire[n + 6], wire[n + 7] = VALUE[#dump], dump, '\\r\\n$7\\r\\nREPLACE\\r\\n$6\\r\\nABSTTL\\r\\n'
      commands = commands + 1
      bytes = bytes + #dump
      keys = keys + 1
    end
  end
end

for _, key in ipairs(step[2]) do
  if string.byte(key) ~= first or string.sub(key, 1, #private) ~= private then
    local kind = call('TYPE', key).ok
    if bytes > most or kind == 'stream' then
      name(key)
    elseif kind == 'string' then
      string_of(key)
    elseif kind ~= 'none' then
      other_of(key, kind)
    end
  end
end
return {step[1], commands, table.concat(wire), named, keys}
"""
_FIELD_EXPIRY = """
  local asked = {}
  for index = 1, #value, 2 do
    asked[#asked + 1] = value[index]
  end
  for _, time in ipairs(redis.call('HPEXPIRETIME', key, 'FIELDS', #asked, unpack(asked)) or {}) do
    if time >= 0 then
      return true
    end
  end"""


class ReadingScript:
    """Makes the commands that run it.

    @param not_restored: types of which no key is to be restored; these are written by type.
    """

    def __init__(self, features: Features, not_restored: frozenset[str]) -> None:
        expiry = _EXPIRY if features.expiry_times else _EXPIRY_BEFORE_7
        field_expiry = _FIELD_EXPIRY if features.field_expiry else ""
        self._script = _SCRIPT.replace("{expiry}", expiry).replace("{field_expiry}", field_expiry)
        self._limits = LARGE_BYTES, BATCH_BYTES, "".join(f" {each} " for each in sorted(not_restored))

    def of_step(self, cursor: bytes, count: int, expiring: bool) -> Command:
        """Read the keys of a step of SCAN.

        The answer: the next cursor, how many commands there are, these commands, names of further keys, and how many
        keys are written. @param expiring: whether any of the database may have a time to live.
        """
        return "EVAL", self._script, 0, cursor, count, *self._limits, PRIVATE, SMALL_BYTES, MOST_FIELDS, int(expiring)

    def of_keys(self, names: Sequence[bytes], expiring: bool) -> Command:
        """Read these keys; the answer is as that to L{of_step}, with an empty cursor."""
        return *self.of_step(b"", 0, expiring), *names
