"""Copies keys that are known by name: those that have changed, and those that are too large for a batch.

A key that the old server does not have is removed from the new one. Small values of types that the new server takes are
dumped and restored; all others are copied by type, large ones in pieces. Of a large sorted set that is there already,
only what differs is copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IReactorTime

from redisproxy.copying.endpoint import PRIVATE
from redisproxy.copying.in_place import InPlace
from redisproxy.copying.value import Copied, Outcome, copy_keys
from redisproxy.forwarding.twins import encode_command
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.servers.control_connection import ServerSaidNo

if TYPE_CHECKING:
    from redisproxy.copying.endpoint import Command
    from redisproxy.copying.servers import CopiedServers
    from redisproxy.copying.streams import Streams
    from redisproxy.copying.writer import Writer

CHUNK = 200
WHOLE_BYTES = 4 * 1024 * 1024
"""A key that uses more memory is copied in pieces."""
SLOW_S = 0.02
MAX_LOSSES = 100
RECENT = 1000
EXPIRY_TRIES = 10


class NamedKeys:
    """Copies them.

    @param streams: hears of each stream.
    @ivar losses: what the new server can't hold of what was copied, in words.
    @ivar slow: how long a key took that took long, in seconds, by database and name; those changed last at the end.
    @ivar slow_s: how long slow keys have taken, since the beginning.
    @ivar in_place: keeps large sorted sets the same.
    @ivar recent: the keys that were copied last, those copied latest at the end.
    """

    def __init__(self, servers: CopiedServers, writer: Writer, streams: Streams, clock: IReactorTime) -> None:
        self.losses: dict[str, None] = {}
        self.slow: dict[tuple[int, bytes], float] = {}
        self.slow_s = 0.0
        self.recent: dict[tuple[int, bytes], None] = {}
        self.in_place = InPlace(servers.source, servers.target, (servers.old, servers.new))
        self._servers = servers
        self._writer = writer
        self._streams = streams
        self._clock = clock

    async def copy_everywhere(self, names: Sequence[bytes]) -> None:
        """Copy these keys in every database: nobody tells which one a change was in.

        @raise UplinkError: a server does not answer, or takes no more.
        """
        names = [name for name in names if not name.startswith(PRIVATE)]
        databases = await self._servers.databases() if names else []
        for chunk in _chunks(names):
            there = await self._where(databases, chunk)
            await self._remove({db: [name for name in chunk if name not in there[db]] for db in databases})
            for db, present in there.items():
                await self.copy(db, [name for name in chunk if name in present])
                self._note_recent([(db, name) for name in chunk])

    async def _where(self, databases: list[int], names: list[bytes]) -> dict[int, set[bytes]]:
        """Which of these keys the old server has in which database; most are in one."""
        asked: list[Command] = [("EXISTS", name) for name in names]
        answers = await self._servers.old.ask_in(dict.fromkeys(databases, asked))
        return {db: {name for name, exists in zip(names, answers[db], strict=True) if exists != 0} for db in databases}

    async def _remove(self, absent: dict[int, list[bytes]]) -> None:
        """Remove these keys from the databases of the new server, in front of what is copied next."""
        for db, names in absent.items():
            for name in names:
                self.in_place.forget(db, name)
        await self._servers.new.ask_in({db: [("UNLINK", *names)] for db, names in absent.items() if names})

    def _note_recent(self, keys: list[tuple[int, bytes]]) -> None:
        for key in keys:
            self.recent.pop(key, None)
            self.recent[key] = None
        while len(self.recent) > RECENT:
            del self.recent[next(iter(self.recent))]

    async def copy(self, db: int, names: Sequence[bytes]) -> None:
        """Copy these keys in one database.

        @raise UplinkError: a server does not answer, or takes no more.
        """
        await self._servers.select(db)
        for chunk in _chunks(names):
            await self._copy(db, chunk)

    async def _copy(self, db: int, names: list[bytes]) -> None:
        """What follows reads the old server now; what was read before is on its way, in front of it."""
        kinds, sizes = await self._looked_at(names)
        absent: list[bytes] = []
        whole: list[bytes] = []
        others: list[bytes] = []
        large: dict[bytes, str] = {}
        self._streams.saw(db, [name for name, kind in zip(names, kinds, strict=True) if kind == "stream"])
        for name, kind, size in zip(names, kinds, sizes, strict=True):
            if kind != "none" and size > WHOLE_BYTES:
                large[name] = kind
                continue
            self.in_place.forget(db, name)
            by_type = kind in self._servers.not_restored
            (absent if kind == "none" else others if by_type else whole).append(name)
        if absent:
            await self._servers.new.ask_all(("UNLINK", *absent))
        await self._restore(whole)
        await self._by_type(db, [*others, *await self._writer.settled()])
        for name, kind in large.items():
            began = self._clock.seconds()
            await self._copy_large(db, name, kind)
            self._took((db, name), self._clock.seconds() - began)

    async def _copy_large(self, db: int, name: bytes, kind: str) -> None:
        if kind != "zset" or not await self.in_place.adjust(db, name):
            self.in_place.forget(db, name)
            await self._by_type(db, [name])

    def _took(self, key: tuple[int, bytes], seconds: float) -> None:
        self.slow.pop(key, None)
        if seconds > SLOW_S:
            self.slow[key] = seconds
            self.slow_s += seconds
        while len(self.slow) > RECENT:
            del self.slow[next(iter(self.slow))]

    async def _looked_at(self, names: list[bytes]) -> tuple[list[str], list[int]]:
        """Types and sizes; a size that nobody tells is 0, so that the value is read whole."""
        sized = self._servers.source.features.memory_usage
        asked: list[Command] = [("TYPE", name) for name in names]
        asked += [("MEMORY", "USAGE", name) for name in names] if sized else []
        replies = await self._servers.old.ask_all(*asked)
        kinds = [reply.decode() if isinstance(reply, bytes) else "none" for reply in replies[: len(names)]]
        sizes = [reply if isinstance(reply, int) else 0 for reply in replies[len(names) :]]
        return kinds, sizes or [0] * len(names)

    # -- whole

    async def _restore(self, names: list[bytes]) -> None:
        old = self._servers.old
        if self._servers.source.features.expiry_times:
            replies = await old.ask_all(*(each for name in names for each in (("PEXPIRETIME", name), ("DUMP", name))))
            expiries, values = replies[::2], replies[1::2]
        else:
            expiries = [await self._expiry_before_7(name) for name in names]
            values = await old.ask_all(*(("DUMP", name) for name in names))
        wire, gone = [], []
        for name, expiry, value in zip(names, expiries, values, strict=True):
            if isinstance(value, bytes) and isinstance(expiry, int):
                wire.append(encode_command("RESTORE", name, max(expiry, 0), value, "REPLACE", "ABSTTL"))
            else:
                gone.append(name)
        if gone:
            await self._servers.new.ask_all(("UNLINK", *gone))
        await self._writer.restore(b"".join(wire), len(wire))

    async def _expiry_before_7(self, name: bytes) -> int:
        """When it expires: what is left is told together with the time of the same millisecond."""
        for _ in range(EXPIRY_TRIES):
            left: Any
            before, left, after = await self._servers.old.ask_all(("TIME",), ("PTTL", name), ("TIME",))
            if not isinstance(left, int) or left < 0:
                return -1
            if _ms(before) == _ms(after):
                break
        return _ms(after) + int(left)

    # -- by type

    async def _by_type(self, db: int, names: list[bytes]) -> None:
        if not names:
            return
        results = await copy_keys(self._servers.source, self._servers.target, names)
        for name, result in zip(names, results, strict=True):
            self._note(db, name, result)

    def _note(self, db: int, name: bytes, result: Copied) -> None:
        losses = list(result.losses)
        if result.outcome is Outcome.UNKNOWN_TYPE:
            losses.append("the new server has no such type")
        for loss in losses:
            if len(self.losses) < MAX_LOSSES:
                self.losses[f"{result.kind} {name.decode('utf-8', 'backslashreplace')} in database {db}: {loss}"] = None


def _chunks(names: Sequence[bytes]) -> Iterator[list[bytes]]:
    left = iter(names)
    while chunk := list(islice(left, CHUNK)):
        yield chunk


def _ms(time: Any) -> int:
    if isinstance(time, ServerSaidNo) or not isinstance(time, list):
        raise UplinkUnavailable("the old server does not tell its time")
    return int(time[0]) * 1000 + int(time[1]) // 1000
