"""Looks whether both servers agree on the groups of their streams, without reading the entries.

What consumers of a group do (XREADGROUP, XACK, XCLAIM ...) changes a stream without CLIENT TRACKING telling of it. Of
clients of this proxy it is noted; writers that bypass the proxy are found out here. Compared are the last ids and
counters of a stream, its groups and consumers, and who has which entries pending, how often delivered. Of a group with
more than L{PENDING} of these their number, the first, the last and the number for each consumer are. Times of delivery
are not compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IReactorTime

from redisproxy.copying.endpoint import Command, Endpoint
from redisproxy.copying.key_by_key import both
from redisproxy.servers.control_connection import ServerSaidNo

if TYPE_CHECKING:
    from redisproxy.copying.servers import CopiedServers

PENDING = 1000
MOST = 20_000
"""So many streams are remembered."""
_AT_ONCE = 100
_OF_STREAM = (b"length", b"last-generated-id", b"groups", b"entries-added", b"max-deleted-entry-id")
_OF_GROUP = (b"name", b"consumers", b"pending", b"last-delivered-id", b"entries-read")

Answers = list[Any]


class Streams:
    """The streams of one copy.

    @ivar more: there are more than are remembered, so that some are not compared.
    """

    def __init__(self, servers: CopiedServers, clock: IReactorTime) -> None:
        self.more = False
        self._servers = servers
        self._clock = clock
        self._known: dict[tuple[int, bytes], None] = {}

    def __len__(self) -> int:
        return len(self._known)

    def saw(self, db: int, names: Sequence[bytes]) -> None:
        """There are streams of these names, or were."""
        for name in names:
            self._known.pop((db, name), None)
            if len(self._known) < MOST:
                self._known[db, name] = None
            else:
                self.more = True

    async def differing(self, seconds: float) -> list[tuple[int, bytes]]:
        """Those that are not the same at both servers, with their databases.

        @param seconds: how long to look; those that were seen last come first.
        @raise UplinkError: a server does not answer.
        """
        ends, found = self._clock.seconds() + seconds, []
        for db, names in self._by_database():
            if self._clock.seconds() >= ends:
                self.more = True
                break
            await self._servers.select(db)
            found += [(db, name) for name in await differing(self._servers.source, self._servers.target, names)]
        return found

    def _by_database(self) -> list[tuple[int, list[bytes]]]:
        """Some at a time."""
        names: dict[int, list[bytes]] = {}
        for db, name in reversed(self._known):
            names.setdefault(db, []).append(name)
        return [(db, each[at : at + _AT_ONCE]) for db, each in names.items() for at in range(0, len(each), _AT_ONCE)]


async def differing(source: Endpoint, target: Endpoint, names: Sequence[bytes]) -> list[bytes]:
    """Which of these streams are not the same at both servers, in the database that is selected at both.

    A name that is no stream at either server is none of them.

    @raise UplinkError: a server does not answer.
    """
    questions = [each for name in names for each in (("XINFO", "STREAM", name), ("XINFO", "GROUPS", name))]
    here, there = await _ask(source, target, questions)
    different, alike = [], []
    for at, name in enumerate(names):
        ours, theirs = here[2 * at : 2 * at + 2], there[2 * at : 2 * at + 2]
        if not _same(ours, theirs):
            different.append(name)
        elif not isinstance(ours[1], ServerSaidNo):
            alike += [(name, _fields(group)) for group in ours[1]]
    return different + await _differing_in_groups(source, target, alike)


async def _differing_in_groups(
    source: Endpoint, target: Endpoint, groups: Sequence[tuple[bytes, dict[bytes, Any]]]
) -> list[bytes]:
    questions: list[Command] = []
    for name, group in groups:
        few = group[b"pending"] <= PENDING
        every: Command = ("XPENDING", name, group[b"name"], *(("-", "+", PENDING) if few else ()))
        questions += [("XINFO", "CONSUMERS", name, group[b"name"]), every]
    here, there = await _ask(source, target, questions)
    found: dict[bytes, None] = {}
    for at, (name, _) in enumerate(groups):
        ours, theirs = ((_consumers(each[2 * at]), _pending(each[2 * at + 1])) for each in (here, there))
        if ours != theirs:
            found[name] = None
    return list(found)


async def _ask(source: Endpoint, target: Endpoint, questions: Sequence[Command]) -> tuple[Answers, Answers]:
    here, there = await both(source.ask_all(*questions), target.ask_all(*questions))
    return here, there


def _same(ours: Answers, theirs: Answers) -> bool:
    """Whether XINFO STREAM and XINFO GROUPS answer the same, as far as both servers' versions tell it."""
    if any(isinstance(each, ServerSaidNo) for each in (*ours, *theirs)):
        return all(isinstance(each, ServerSaidNo) for each in (*ours, *theirs))
    streams = [_fields(ours[0]), _fields(theirs[0])]
    if not _agree(streams[0], streams[1], _OF_STREAM) or len(ours[1]) != len(theirs[1]):
        return False
    return all(_agree(_fields(a), _fields(b), _OF_GROUP) for a, b in zip(ours[1], theirs[1], strict=True))


def _agree(ours: dict[bytes, Any], theirs: dict[bytes, Any], names: Sequence[bytes]) -> bool:
    return all(ours[name] == theirs[name] for name in names if name in ours and name in theirs)


def _fields(reply: Any) -> dict[bytes, Any]:
    return dict(zip(reply[::2], reply[1::2], strict=True))


def _consumers(reply: Any) -> object:
    """Names with how many entries each has pending; they come in no order."""
    if isinstance(reply, ServerSaidNo):
        return None
    return {fields[b"name"]: fields[b"pending"] for fields in map(_fields, reply)}


def _pending(reply: Any) -> object:
    """What is pending but for the times, which depend on the servers' clocks: entries, or the summary."""
    if isinstance(reply, ServerSaidNo):
        return None
    if reply and isinstance(reply[0], list):
        return [(number, consumer, times) for number, consumer, _, times in reply]
    count, first, last, consumers = reply or (0, None, None, None)
    return count, first, last, sorted(map(tuple, consumers or ()))
