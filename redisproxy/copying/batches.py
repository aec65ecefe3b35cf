"""Reading many small keys at once, a step of SCAN after the other, as commands that are sent to the new server.

SCAN tells the strings of a step apart, which are read in the cheapest way (L{SmallStrings}); all other keys by a script
(L{ReadingScript}), and so are all keys where SCAN does not tell types. What the script does not read is named only;
where scripts are not allowed, that are all keys but small strings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from redisproxy.copying.endpoint import PRIVATE
from redisproxy.copying.reading_script import ReadingScript
from redisproxy.copying.small_strings import SmallStrings
from redisproxy.forwarding.twins import encode_command
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.resp import RespError
from redisproxy.servers.control_connection import ServerSaidNo

if TYPE_CHECKING:
    from collections.abc import Callable

    from redisproxy.copying.bulk_connection import BulkConnection
    from redisproxy.copying.endpoint import Features

ONLY_STRINGS = 5000
"""After so many strings without another type, all that SCAN names are taken for strings, until one is not."""

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


class _Found(NamedTuple):
    """What a step of SCAN has found. @ivar others: keys that were no strings."""

    cursor: bytes
    strings: list[bytes]
    others: list[bytes]


class Batches:
    """Reads them, on one connection, in the database that it has selected.

    @param not_restored: types of which no key is to be restored; these are written by type.
    @param many: the new server takes MSET.
    """

    def __init__(
        self, old: BulkConnection, features: Features, not_restored: frozenset[str], many: bool = False
    ) -> None:
        self._old = old
        self._script = ReadingScript(features, not_restored)
        self._scripts = features.memory_usage
        self._expiry_times = features.expiry_times
        self._tells_types = True
        self._only_strings = 0
        self._many = many

    async def next(
        self, cursor: bytes, count: int, expiring: bool = True, cursor_came: Callable[[bytes], None] | None = None
    ) -> Batch:
        """The keys of about `count` places of the hash table, from `cursor` on.

        @param expiring: whether any of the database may have a time to live.
        @param cursor_came: may be called with the next cursor, when that has come but the rest has not.
        @raise UplinkError: the server did not answer, or refuses SCAN.
        """
        if self._tells_types:
            found = await self._scan(cursor, count)
            if found is not None:
                if cursor_came is not None:
                    cursor_came(found.cursor)
                return await self._read(found, expiring)
        if self._scripts:
            command = self._script.of_step(cursor, count, expiring)
            (reply,) = await self._old.ask_all(command, begun=_tells_cursor(cursor_came))
            if not isinstance(reply, ServerSaidNo):
                return self._batch(reply)
            self._scripts = False
        step = await self._old.ask("SCAN", cursor, "COUNT", count)
        return self._batch([step[0], 0, b"", _others(step[1]), 0])

    async def _scan(self, cursor: bytes, count: int) -> _Found | None:
        """Two steps from the same cursor; None where SCAN tells no types.

        A name that only the second has, which goes on from there, is no string, or was none a moment before. Where
        there are nothing but strings, the second is enough.
        """
        scan = ("SCAN", cursor, "COUNT", count)
        if self._only_strings >= ONLY_STRINGS:
            following, names = await self._old.ask(*scan)
            return _Found(following, _others(names), [])
        typed, plain = await self._old.ask_all((*scan, "TYPE", "string"), scan)
        match typed, plain:
            case [_, list(strings)], [bytes(following), list(names)]:
                others = [] if strings == names else list(dict.fromkeys(names).keys() - set(strings))
                self._only_strings = 0 if others else self._only_strings + len(names)
                return _Found(following, _others(strings), _others(others))
        self._tells_types = False
        return None

    async def _read(self, found: _Found, expiring: bool) -> Batch:
        strings = SmallStrings(found.strings, expiring, self._expiry_times)
        request, replies = strings.request(), strings.replies
        if by_script := bool(found.others) and self._scripts:
            request += encode_command(*self._script.of_keys(found.others, expiring))
            replies += 1
        answer = await self._old.ask_encoded(request, replies)
        others = self._batch_of_script(answer.pop(), found.others) if by_script else _named(found.others)
        written = strings.written(answer, self._many)
        if written.left:
            self._only_strings = 0
        batch = _joined(Batch(found.cursor, written.keys, written.commands, written.wire, []), others)
        return _joined(batch, await self._left(written.left, expiring)) if written.left else batch

    async def _left(self, names: list[bytes], expiring: bool) -> Batch:
        """Strings that are not small, or are no strings any more, or are gone."""
        if not self._scripts:
            return _named(names)
        (reply,) = await self._old.ask_encoded(encode_command(*self._script.of_keys(names, expiring)), 1)
        return self._batch_of_script(reply, names)

    def _batch_of_script(self, reply: object, names: list[bytes]) -> Batch:
        if isinstance(reply, RespError):
            self._scripts = False
            return _named(names)
        return self._batch(reply)

    def _batch(self, reply: object) -> Batch:
        match reply:
            case [bytes(cursor), int(commands), bytes(wire), list(named), int(count)]:
                return Batch(cursor, count, commands, wire, named)
        raise UplinkUnavailable(f"{self._old.name}: SCAN was answered with nonsense")


def _others(names: list[bytes]) -> list[bytes]:
    """Without the proxy's own."""
    if PRIVATE not in b" ".join(names):
        return names
    return [name for name in names if not name.startswith(PRIVATE)]


def _named(names: list[bytes]) -> Batch:
    return Batch(b"", 0, 0, b"", names)


def _joined(batch: Batch, other: Batch) -> Batch:
    """Both, with the cursor of the first."""
    count, commands = batch.count + other.count, batch.commands + other.commands
    return Batch(batch.cursor, count, commands, batch.wire + other.wire, batch.named + other.named)


def _tells_cursor(tell: Callable[[bytes], None] | None) -> Callable[[bytes], None] | None:
    """Takes the cursor out of the beginning of an answer, if that is long enough."""
    if tell is None:
        return None

    def begun(data: bytes) -> None:
        if found := _BEGINNING.match(data):
            tell(found[1])

    return begun
