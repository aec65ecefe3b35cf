"""Compares the values of keys of two servers, in batches, and looks again at what differs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, FirstError, ensureDeferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from redisproxy.copying.comparison import Comparison, Depth, Extent
from redisproxy.copying.differences import Difference, is_unread, why_different
from redisproxy.copying.digest import Digest, digests, in_common
from redisproxy.copying.endpoint import Endpoint
from redisproxy.copying.keyspace import BATCH, all_keys, random_keys
from redisproxy.copying.looks import time_ms
from redisproxy.servers.control_connection import ServerSaidNo

LOOKS = 3
"""So often what differs is looked at, before it counts."""
BETWEEN_LOOKS_S = 0.05
_EXPIRES_SOON_MS = 1000
_FOR_EXTRA = 4
"""With a sample, one key at the target for so many at the source is looked at, for those that are only there."""

T = TypeVar("T")
Progress = Callable[[int, int], None]
Pairs = dict[bytes, tuple[Digest, Digest]]


class KeyByKey:
    """Compares the values of keys.

    @param comparison: has the numbers of keys, and takes what is found.
    @param clock: for the limit of time, and for looking again.
    """

    def __init__(self, source: Endpoint, target: Endpoint, comparison: Comparison, clock: IReactorTime) -> None:
        self._source = source
        self._target = target
        self._comparison = comparison
        self._clock: Any = clock
        self._detail = in_common(source.features, target.features)
        self._end: float | None = None

    async def run(self, extent: Extent, progress: Progress) -> None:
        """Compare as much as is asked for; `progress` hears how many keys were looked at, of how many.

        @raise UplinkError: a server did not answer.
        """
        if extent.seconds is not None:
            self._end = self._clock.seconds() + extent.seconds
        total, done = self._to_do(extent), 0
        async for db, keys in self._chosen(extent):
            if self._in_time():
                await self._compare(db, keys)
            if not self._in_time():
                self._comparison.complete = False
                return
            done += len(keys)
            progress(done, max(total, done))

    async def compare_names(self, db: int) -> None:
        """Compare which keys there are in a database, whatever time is left.

        @raise UplinkError: a server did not answer.
        """
        if not await self._select(db):
            return
        here, there = [{key async for keys in all_keys(each) for key in keys} for each in (self._source, self._target)]
        if lonely := sorted(here ^ there):
            await self._compare(db, lonely)

    async def differing(self, keys: Sequence[bytes]) -> Pairs:
        """Those of these keys that are not the same at both servers now, with their digests, or can't be read.

        In the database that is selected at both. Keys that expire are none of them.

        @raise UplinkError: a server did not answer.
        """
        different = await self._different(keys)
        expired = await self._expired(different)
        return {key: pair for key, pair in different.items() if key not in expired}

    def _in_time(self) -> bool:
        return self._end is None or bool(self._clock.seconds() < self._end)

    # -- which keys

    def _to_do(self, extent: Extent) -> int:
        here = self._keys_at_source()
        return here if extent.depth is Depth.ALL else min(extent.sample, here) + len(extent.first)

    def _keys_at_source(self) -> int:
        return sum(here for here, _ in self._comparison.keys.values())

    async def _chosen(self, extent: Extent) -> AsyncIterator[tuple[int, list[bytes]]]:
        """Batches of keys of one database each, which is selected at both servers."""
        first: dict[int, list[bytes]] = defaultdict(list)
        for db, key in extent.first:
            first[db].append(key)
        for db, keys in first.items():
            if await self._select(db):
                for at in range(0, len(keys), BATCH):
                    yield db, keys[at : at + BATCH]
        if extent.depth is Depth.SAMPLE and not extent.sample:
            return
        for db, (here, _) in self._comparison.keys.items():
            if await self._select(db):
                share = here if extent.depth is Depth.ALL else extent.sample * here // max(self._keys_at_source(), 1)
                async for keys in self._all_keys() if share >= here else self._some_keys(max(share, 1)):
                    yield db, keys

    async def _select(self, db: int) -> bool:
        """Whether both servers have this database; if so it is selected."""
        (source,) = await self._source.ask_all(("SELECT", db))
        (target,) = await self._target.ask_all(("SELECT", db))
        if isinstance(target, ServerSaidNo) and not isinstance(source, ServerSaidNo):
            self._comparison.note(Difference(db, None, "", "there is no such database"))
        return not isinstance(source, ServerSaidNo) and not isinstance(target, ServerSaidNo)

    async def _all_keys(self) -> AsyncIterator[list[bytes]]:
        async for keys in all_keys(self._source):
            yield keys
        async for keys in all_keys(self._target):
            if extra := await self._not_at_source(keys):
                yield extra

    async def _some_keys(self, count: int) -> AsyncIterator[list[bytes]]:
        seen: set[bytes] = set()
        for at in range(0, count, BATCH):
            keys = [key for key in await random_keys(self._source, min(BATCH, count - at)) if key not in seen]
            seen.update(keys)
            yield keys
            extra = await self._not_at_source(await random_keys(self._target, max(len(keys) // _FOR_EXTRA, 1)))
            if extra:
                yield extra

    async def _not_at_source(self, keys: list[bytes]) -> list[bytes]:
        there = await self._source.ask_all(*(("EXISTS", key) for key in keys))
        return [key for key, exists in zip(keys, there, strict=True) if exists == 0]

    # -- how they differ

    async def _compare(self, db: int, keys: list[bytes]) -> None:
        differing = await self._different(keys)
        for _ in range(1, LOOKS):
            if not differing or self._comparison.more or not self._in_time():
                break
            await deferLater(self._clock, BETWEEN_LOOKS_S)
            differing = await self._different(list(differing))
        self._comparison.compared += len(keys)
        expired = await self._expired(differing)
        in_time = self._in_time()
        for key, (source, target) in differing.items():
            if is_unread(source, target):
                self._comparison.unread += in_time
                self._comparison.compared -= not in_time
            if key not in expired and (why := why_different(source, target)):
                kind = target.kind if source.kind == "none" else source.kind
                self._comparison.note(Difference(db, key, kind, why))

    async def _different(self, keys: Sequence[bytes]) -> Pairs:
        here = digests(self._source, keys, self._detail, self._in_time)
        there = digests(self._target, keys, self._detail, self._in_time)
        source, target = await both(here, there)
        pairs = zip(keys, zip(source, target, strict=True), strict=True)
        return {key: pair for key, pair in pairs if is_unread(*pair) or why_different(*pair)}

    async def _expired(self, differing: Pairs) -> set[bytes]:
        """Those keys that are gone at one server, and soon at the other: clocks differ."""
        gone = {key: pair for key, pair in differing.items() if "none" in (pair[0].kind, pair[1].kind)}
        ends = {key: end for key, pair in gone.items() if (end := _end(pair))}
        if not ends:
            return set()
        times = [time_ms(await each.ask("TIME")) for each in (self._source, self._target)]
        return {key for key, end in ends.items() if end <= max(times) + _EXPIRES_SOON_MS}


def _end(pair: tuple[Digest, Digest]) -> int:
    """When the one that is there expires; 0 if it does not."""
    return max((each.expires_ms[0] for each in pair if each.expires_ms), default=0)


async def both(here: Coroutine[Deferred[Any], Any, T], there: Coroutine[Deferred[Any], Any, T]) -> list[T]:
    """What two servers answer that are asked at the same time."""
    try:
        return await gatherResults([ensureDeferred(here), ensureDeferred(there)], consumeErrors=True)
    except FirstError as error:
        cause: BaseException = error.subFailure.value  # type: ignore[assignment]
        raise cause from None
