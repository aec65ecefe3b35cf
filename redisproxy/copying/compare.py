"""Compares two servers: which keys differ, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from redisproxy.copying.comparison import Comparison, Depth, Extent
from redisproxy.copying.differences import Difference, names_tell, why_counts_differ
from redisproxy.copying.endpoint import Endpoint
from redisproxy.copying.functions import compare_functions
from redisproxy.copying.key_by_key import BETWEEN_LOOKS_S, LOOKS, KeyByKey, Progress
from redisproxy.copying.keyspace import KeyCount, counts_of_data


async def compare(
    source: Endpoint,
    target: Endpoint,
    extent: Extent,
    clock: IReactorTime,
    progress: Progress = lambda _done, _total: None,
) -> Comparison:
    """Compare the servers in all databases that have keys; the connections are left on any database.

    Keys that expire meanwhile are no differences. With writes going on at either server a difference may be one of
    time only: it is looked at again, three times in all, before it counts.

    After an error the connections are of no use.

    @param clock: the time for C{extent.seconds}, and for looking again.
    @param progress: called with how many keys have been looked at, of how many.
    @raise UplinkError: a server did not answer.
    """
    here, there = await counts_of_data(source), await counts_of_data(target)
    databases = sorted({*here, *there, *(db for db, _ in extent.first)})
    comparison = Comparison({db: (_at(here, db).keys, _at(there, db).keys) for db in databases})
    for why in await compare_functions(source, target):
        comparison.note(Difference(0, None, "", why))
    by_key = KeyByKey(source, target, comparison, clock)
    if extent.depth is not Depth.COUNTS:
        await by_key.run(extent, progress)
    counts = await _compare_counts(source, target, comparison, clock)
    for db, (ours, theirs) in counts.items() if comparison.same else ():
        if names_tell(ours, theirs):
            await by_key.compare_names(db)
    return comparison


async def _compare_counts(
    source: Endpoint, target: Endpoint, comparison: Comparison, clock: IReactorTime
) -> dict[int, tuple[KeyCount, KeyCount]]:
    """Note which numbers of keys differ; the numbers, by database."""
    for look in range(LOOKS):
        here, there = await counts_of_data(source), await counts_of_data(target)
        counts = {db: (_at(here, db), _at(there, db)) for db in comparison.keys}
        different = {db: why for db, both in counts.items() if (why := why_counts_differ(*both))}
        if not different or look == LOOKS - 1:
            break
        await deferLater(cast(Any, clock), BETWEEN_LOOKS_S)
    for db, why in different.items():
        comparison.note(Difference(db, None, "", why))
    return counts


def _at(counts: Mapping[int, KeyCount], db: int) -> KeyCount:
    return counts.get(db, KeyCount())
