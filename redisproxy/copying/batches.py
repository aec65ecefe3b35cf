"""Reading many small keys at once: a script at the old server goes a step of SCAN and makes the commands for its keys.

They are SETs, RESTOREs, or for types that are not restored the commands of the type. What it answers is sent to the new
server as it is, so that no key costs anything here. Keys that are large, streams, hashes with field TTLs that are not
restored, and types of modules that are not, it names only. Where scripts are not allowed, SCAN alone names them all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redisproxy.copying.endpoint import PRIVATE
from redisproxy.copying.reading import SMALL_BYTES
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.servers.control_connection import ServerSaidNo

if TYPE_CHECKING:
    from collections.abc import Callable

    from redisproxy.copying.bulk_connection import BulkConnection
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
local step = call('SCAN', ARGV[1], 'COUNT', ARGV[2])
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


_BEGINNING = re.compile(rb"\*5\r\n\$\d+\r\n(\d+)\r\n")


@dataclass(frozen=True)
class Batch:
    """One step of SCAN.

    @ivar cursor: of the next one; C{b"0"} after the last one.
    @ivar wire: `commands` that write `count` keys. @ivar named: further keys.
    """

    cursor: bytes
    count: int
    commands: int
    wire: bytes
    named: list[bytes]


class Batches:
    """Reads them, on one connection, in the database that it has selected.

    @param not_restored: types of which no key is to be restored; these are written by type.
    """

    def __init__(self, old: BulkConnection, features: Features, not_restored: frozenset[str]) -> None:
        self._old = old
        expiry = _EXPIRY if features.expiry_times else _EXPIRY_BEFORE_7
        field_expiry = _FIELD_EXPIRY if features.field_expiry else ""
        self._script = _SCRIPT.replace("{expiry}", expiry).replace("{field_expiry}", field_expiry)
        self._not_restored = "".join(f" {each} " for each in sorted(not_restored))
        self._scripts = features.memory_usage

    async def next(
        self, cursor: bytes, count: int, expiring: bool = True, cursor_came: Callable[[bytes], None] | None = None
    ) -> Batch:
        """The keys of about `count` places of the hash table, from `cursor` on.

        @param expiring: whether any of the database may have a time to live.
        @param cursor_came: may be called with the next cursor, when that has come but the rest has not.
        @raise UplinkError: the server did not answer, or refuses SCAN.
        """
        if self._scripts:
            limits = (LARGE_BYTES, BATCH_BYTES, self._not_restored, PRIVATE, SMALL_BYTES, MOST_FIELDS, int(expiring))
            command: Command = ("EVAL", self._script, 0, cursor, count, *limits)
            (reply,) = await self._old.ask_all(command, begun=_tells_cursor(cursor_came))
            if not isinstance(reply, ServerSaidNo):
                return self._batch(reply)
            self._scripts = False
        step = await self._old.ask("SCAN", cursor, "COUNT", count)
        return self._batch([step[0], 0, b"", [key for key in step[1] if not key.startswith(PRIVATE)], 0])

    def _batch(self, reply: object) -> Batch:
        match reply:
            case [bytes(cursor), int(commands), bytes(wire), list(named), int(count)]:
                return Batch(cursor, count, commands, wire, named)
        raise UplinkUnavailable(f"{self._old.name}: SCAN was answered with nonsense")


def _tells_cursor(tell: Callable[[bytes], None] | None) -> Callable[[bytes], None] | None:
    """Takes the cursor out of the beginning of an answer, if that is long enough."""
    if tell is None:
        return None

    def begun(data: bytes) -> None:
        if found := _BEGINNING.match(data):
            tell(found[1])

    return begun
