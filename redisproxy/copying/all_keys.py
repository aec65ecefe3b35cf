"""Passes over all keys: one that copies them, and one that removes from the new server what the old one has not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime

from redisproxy.copying.batches import Batch, Batches
from redisproxy.copying.endpoint import PRIVATE
from redisproxy.copying.keyspace import key_counts
from redisproxy.copying.servers import keyspace
from redisproxy.copying.steps import LAST, Steps
from redisproxy.net.errors import UplinkUnavailable

if TYPE_CHECKING:
    from redisproxy.copying.changed_keys import ChangedKeys
    from redisproxy.copying.changes import Changes
    from redisproxy.copying.figures import CopyFigures
    from redisproxy.copying.in_place import InPlace
    from redisproxy.copying.named_keys import NamedKeys
    from redisproxy.copying.pace import Pace
    from redisproxy.copying.servers import CopiedServers
    from redisproxy.copying.writer import Writer

FULL = 0.25
"""When the changes take so much of their bound, they are copied between two steps of a pass."""
REMOVED_AT_ONCE = 500


class AllKeys:
    """Copies all keys, database by database."""

    def __init__(
        self,
        servers: CopiedServers,
        writer: Writer,
        named: NamedKeys,
        changes: Changes,
        changed: ChangedKeys,
        pace: Pace,
        figures: CopyFigures,
        clock: IReactorTime,
    ) -> None:
        self._servers = servers
        self._writer = writer
        self._named = named
        self._changes = changes
        self._changed = changed
        self._pace = pace
        self._figures = figures
        self._clock = clock
        self._expiring = True
        self._batches = Batches(servers.old, servers.source.features, servers.not_restored, servers.trial.many)

    async def copy(self) -> None:
        """Copy them. Changes that come meanwhile are in L{Changes}.

        @raise UplinkError: a server does not answer, or takes no more.
        """
        counts = await key_counts(self._servers.source)
        self._figures.pass_begins(sum(each.keys for each in counts.values()))
        await self._pace.begin()
        for db in sorted(counts):
            # A key that is given a time to live from now on is among the changes.
            self._expiring = counts[db].expiring > 0
            await self._copy(db)

    async def _copy(self, db: int) -> None:
        steps = Steps(self._batches, self._pace, self._may_go_ahead, self._expiring, self._clock)
        try:
            await self._servers.select(db)
            while await self._step(db, steps):
                if self._changes.fullness >= FULL and not steps.ahead:
                    await self._changed.copy()
                    await self._servers.select(db)
        finally:
            steps.end()

    async def _step(self, db: int, steps: Steps) -> bool:
        """Copy a batch; whether there are more."""
        batch = await steps.next()
        if self._pace.is_look_due and not steps.ahead:
            await self._pace.look()
        if batch.cursor != LAST and self._may_go_ahead():
            steps.begin()
        await self._write(db, batch)
        return batch.cursor != LAST

    def _may_go_ahead(self) -> bool:
        """Whether the old server may read the next batch while the new one writes this one.

        Not before changed keys are copied: what was read before would overwrite them.
        """
        return self._changes.fullness < FULL

    async def _write(self, db: int, batch: Batch) -> None:
        if batch.count:
            self._named.in_place.forget_all()
        await self._writer.restore(batch.wire, batch.commands)
        if batch.named:
            await self._named.copy(db, batch.named)
        if batch.cursor == LAST or self._writer.has_refused:
            await self._named.copy(db, await self._writer.settled())
        self._figures.copied(batch.count + len(batch.named), self._writer.sent_bytes)


class Removal:
    """Removes keys from the new server that the old one has not."""

    def __init__(self, servers: CopiedServers, in_place: InPlace) -> None:
        self._servers = servers
        self._in_place = in_place

    async def remove(self) -> None:
        """Do it. A key that is made at the old server meanwhile is among the changes.

        @raise UplinkError: a server does not answer.
        """
        self._in_place.forget_all()
        keys = await keyspace(self._servers.old)
        for db in await self._servers.databases():
            await self._servers.select(db)
            if not keys.get(db) and db:
                await self._servers.new.ask("FLUSHDB")
            else:
                await self._compare()

    async def _compare(self) -> None:
        cursor = b"0"
        while True:
            step = await self._servers.new.ask("SCAN", cursor, "COUNT", REMOVED_AT_ONCE)
            if not isinstance(step, list) or len(step) != 2:
                raise UplinkUnavailable(f"{self._servers.new.name}: SCAN was answered with nonsense")
            cursor, names = step
            names = [name for name in names if not name.startswith(PRIVATE)]
            there = await self._servers.old.ask_all(*(("EXISTS", name) for name in names))
            gone = [name for name, exists in zip(names, there, strict=True) if exists == 0]
            if gone:
                await self._servers.new.ask("UNLINK", *gone)
            if cursor == b"0":
                return
