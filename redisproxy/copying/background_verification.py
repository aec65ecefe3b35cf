"""Compares the whole keyspace before the pause, beside the load, for C{switchover.verify: "all"}.

Every key is compared once; one that is copied again afterwards, or was found different, is remembered and compared
again. What of these is left is compared behind the fence, so that there only what has changed since needs time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime

from redisproxy.copying.changes import NAME_COST_BYTES
from redisproxy.copying.comparison import Comparison
from redisproxy.copying.differences import is_unread, why_different
from redisproxy.copying.endpoint import PRIVATE, Endpoint
from redisproxy.copying.feed import TOLD_TYPES
from redisproxy.copying.interface import CopyFailed
from redisproxy.copying.key_by_key import KeyByKey, Pairs
from redisproxy.copying.keyspace import BATCH
from redisproxy.copying.kinds import KINDS

if TYPE_CHECKING:
    from redisproxy.copying.changes import Changes
    from redisproxy.copying.digest import Digest
    from redisproxy.copying.pace import Pace
    from redisproxy.copying.servers import CopiedServers

MAX_BYTES = 8 * 1024 * 1024
"""Of names that are to be compared again."""
AT_ONCE = 100
STEP_S = 0.05
"""For so long it is compared between two rounds of copying what has changed."""
FEW = 500
"""So many that are left to be compared again fit the pause."""
LOOKS, BETWEEN_LOOKS_S = 3, 1.0
"""So often a key is different that has not changed, before the copy is given up."""
MOST_DIFFERENT = 1000


class BackgroundVerification:
    """The comparison of one copy. All is done between two rounds of copying, by the same connections.

    @param last_word: waits until all changes are among C{changes} whose commands were answered before.
    @ivar compared: how many keys were, since the comparison last began. @ivar unread: how many of them could not be.
    @ivar forgotten: how many names were too many to be remembered for comparing them again.
    """

    def __init__(
        self,
        servers: CopiedServers,
        changes: Changes,
        last_word: Callable[[], Awaitable[object]],
        pace: Pace,
        clock: IReactorTime,
    ) -> None:
        self.compared = self.unread = self.forgotten = 0
        self._servers = servers
        self._changes = changes
        self._last_word = last_word
        self._pace = pace
        self._clock = clock
        self._keys = KeyByKey(servers.source, servers.target, Comparison({}), clock)
        self._again: dict[bytes, None] = {}
        self._again_bytes = self._looks_left = 0
        self._differs: dict[bytes, tuple[int, float]] = {}
        self._begun = False
        self._pass: AsyncIterator[tuple[int, list[bytes]]] | None = None

    @property
    def complete(self) -> bool:
        """Whether every key was compared that is not among L{left}."""
        return self._begun and self._pass is None

    def begin(self) -> None:
        """All keys were copied, again perhaps: nothing that was compared counts any more."""
        self.compared = self.unread = self.forgotten = self._looks_left = self._again_bytes = 0
        self._again.clear()
        self._differs.clear()
        self._begun = True
        self._pass = self._all_keys()

    def copied(self, names: Iterable[bytes]) -> None:
        """These were copied again, in whichever databases they are."""
        for name in names:
            if name in self._again or name.startswith(PRIVATE):
                continue
            if self._again_bytes > MAX_BYTES:
                self.forgotten += 1
            else:
                self._again[name] = None
                self._again_bytes += len(name) + NAME_COST_BYTES

    def left(self) -> list[bytes]:
        """The names that are to be compared again."""
        return list(self._again)

    async def step(self) -> bool:
        """Compare for a moment; False if nothing is left but what fits the pause, or what changes all the time.

        @raise CopyFailed: keys differ that have not changed. @raise UplinkError: a server does not answer.
        """
        ends = self._clock.seconds() + STEP_S
        while self._is_more_to_do:
            began = self._clock.seconds()
            if self._pass is not None:
                await self._compare_next(self._pass)
            else:
                await self.look_again()
            now = self._clock.seconds()
            await self._pace.step_took(now - began)
            if self._pace.is_look_due:
                await self._pace.look()
            if now >= ends:
                return True
        return False

    @property
    def _is_more_to_do(self) -> bool:
        few_left = len(self._again) <= FEW or self._looks_left <= 0
        return self._pass is not None or bool(self._differs) or not few_left

    async def _compare_next(self, passing: AsyncIterator[tuple[int, list[bytes]]]) -> None:
        async for db, keys in passing:
            await self._compare(db, keys)
            self.compared += len(keys)
            return
        self._pass, self._looks_left = None, 2 * len(self._again) + FEW

    async def look_again(self) -> None:
        """Compare some of those again that have changed, or differed.

        @raise CopyFailed: some differ, and have not changed. @raise UplinkError: a server does not answer.
        """
        names = list(islice(self._again, AT_ONCE))
        if not names or self._pass is not None:
            return
        for name in names:
            del self._again[name]
            self._again_bytes -= len(name) + NAME_COST_BYTES
        self._looks_left -= len(names)
        for db in await self._servers.databases():
            await self._compare(db, names)

    async def _compare(self, db: int, names: Sequence[bytes]) -> None:
        different = await self._different(db, names)
        if different:
            await self._last_word()
        unsure = self._changes.everything or self._changes.flushed
        for name in names:
            why = why_different(*different[name]) if name in different else ""
            if not why or unsure or name in self._changes or not _is_told(different[name]):
                self._differs.pop(name, None)
            else:
                self._count_look(db, name, why)
        self.copied(different)

    def _count_look(self, db: int, name: bytes, why: str) -> None:
        now, (looks, at) = self._clock.seconds(), self._differs.get(name, (0, 0.0))
        if looks and now - at < BETWEEN_LOOKS_S:
            return
        if name not in self._differs and len(self._differs) >= MOST_DIFFERENT:
            return
        self._differs[name] = looks + 1, now
        if looks + 1 >= LOOKS:
            shown = name.decode("utf-8", "backslashreplace")
            raise CopyFailed(
                f"the new server differs from the old one after the copy: {shown} in database {db}: {why}; does"
                " somebody else write there, or is its maxmemory too low?"
            )

    async def _different(self, db: int, keys: Sequence[bytes]) -> Pairs:
        """Those that differ, and those that have changed while they were read; unreadable ones are counted only."""
        await self._servers.select(db)
        different = await self._keys.differing(keys)
        unreadable = [key for key, pair in different.items() if is_unread(*pair) and pair[0].kind not in KINDS]
        self.unread += len(unreadable)
        return {key: pair for key, pair in different.items() if key not in unreadable}

    async def _all_keys(self) -> AsyncIterator[tuple[int, list[bytes]]]:
        """All keys of both servers, some at a time; another database may be selected in between."""
        await self._pace.begin()
        source, target = self._servers.source, self._servers.target
        for db in await self._servers.databases():
            async for keys in self._scan(source, db):
                yield db, keys
            async for keys in self._scan(target, db):
                there = await source.ask_all(*(("EXISTS", key) for key in keys))
                yield db, [key for key, exists in zip(keys, there, strict=True) if exists == 0]

    async def _scan(self, server: Endpoint, db: int) -> AsyncIterator[list[bytes]]:
        cursor = b"0"
        while True:
            await self._servers.select(db)
            cursor, keys = await server.ask("SCAN", cursor, "COUNT", BATCH)
            yield [key for key in keys if not key.startswith(PRIVATE)]
            if cursor == b"0":
                return


def _is_told(pair: tuple[Digest, Digest]) -> bool:
    """Whether every change of such a key is told: of a stream that differs one may not have been."""
    return all(each.kind.encode() in TOLD_TYPES for each in pair)
