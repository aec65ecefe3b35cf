"""Reading many small keys at once: a script at the old server goes a step of SCAN and makes the RESTOREs of its keys.

What it answers is sent to the new server as it is, so that no key costs anything here. Keys that are large, or of a
type that is not restored, it names only. Where scripts are not allowed, SCAN alone names them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from redisproxy.copying.endpoint import PRIVATE
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.servers.control_connection import ServerSaidNo

if TYPE_CHECKING:
    from redisproxy.copying.bulk_connection import BulkConnection
    from redisproxy.copying.endpoint import Command, Features

LARGE_BYTES = 1024 * 1024
"""Keys that use more memory are copied one at a time."""
BATCH_BYTES = 512 * 1024
"""The script goes on naming keys, and dumps no more, once its answer is so long."""

_EXPIRY = "local at = redis.call('PEXPIRETIME', key)"
_EXPIRY_BEFORE_7 = """
      local at = redis.call('PTTL', key)
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
local step = redis.call('SCAN', ARGV[1], 'COUNT', ARGV[2])
local large, most, not_restored, private = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6]
local wire, named, count, bytes = {}, {}, 0, 0
for _, key in ipairs(step[2]) do
  if string.sub(key, 1, #private) ~= private then
    local size = redis.call('MEMORY', 'USAGE', key) or 0
    if size > large or bytes > most
        or not_restored ~= '' and string.find(not_restored, ' ' .. redis.call('TYPE', key).ok .. ' ', 1, true) then
      named[#named + 1] = key
    elseif size > 0 then
      {expiry}
      local dump = redis.call('DUMP', key)
      if dump then
        local ttl = at > 0 and string.format('%.0f', at) or '0'
        wire[#wire + 1] = '*6\\r\\n$7\\r\\nRESTORE\\r\\n$' .. #key .. '\\r\\n' .. key .. '\\r\\n$' .. #ttl .. '\\r\\n'
          .. ttl .. '\\r\\n$' .. #dump .. '\\r\\n' .. dump .. '\\r\\n$7\\r\\nREPLACE\\r\\n$6\\r\\nABSTTL\\r\\n'
        count = count + 1
        bytes = bytes + #dump
      end
    end
  end
end
return {step[1], count, table.concat(wire), named}
"""


@dataclass(frozen=True)
class Batch:
    """One step of SCAN.

    @ivar cursor: of the next one; C{b"0"} after the last one.
    @ivar wire: commands that restore `count` keys. @ivar named: further keys.
    """

    cursor: bytes
    count: int
    wire: bytes
    named: list[bytes]


class Batches:
    """Reads them, on one connection, in the database that it has selected.

    @param not_restored: types of which no key is to be restored.
    """

    def __init__(self, old: BulkConnection, features: Features, not_restored: frozenset[str]) -> None:
        self._old = old
        self._script = _SCRIPT.replace("{expiry}", _EXPIRY if features.expiry_times else _EXPIRY_BEFORE_7)
        self._not_restored = "".join(f" {each} " for each in sorted(not_restored))
        self._scripts = features.memory_usage

    async def next(self, cursor: bytes, count: int) -> Batch:
        """The keys of about `count` places of the hash table, from `cursor` on.

        @raise UplinkError: the server did not answer, or refuses SCAN.
        """
        if self._scripts:
            limits = (LARGE_BYTES, BATCH_BYTES, self._not_restored, PRIVATE)
            command: Command = ("EVAL", self._script, 0, cursor, count, *limits)
            (reply,) = await self._old.ask_all(command)
            if not isinstance(reply, ServerSaidNo):
                return self._batch(reply)
            self._scripts = False
        step = await self._old.ask("SCAN", cursor, "COUNT", count)
        return self._batch([step[0], 0, b"", [key for key in step[1] if not key.startswith(PRIVATE)]])

    def _batch(self, reply: object) -> Batch:
        match reply:
            case [bytes(cursor), int(count), bytes(wire), list(named)]:
                return Batch(cursor, count, wire, named)
        raise UplinkUnavailable(f"{self._old.name}: SCAN was answered with nonsense")
