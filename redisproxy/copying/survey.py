"""What there is to copy, how it would go, and whether it can: for the preflight, changing nothing that lasts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime

from redisproxy.copying.batches import Batches
from redisproxy.copying.feeds import SETTING, NotSet
from redisproxy.copying.interface import CopyFailed, Survey
from redisproxy.copying.servers import state_of
from redisproxy.copying.trial import Way
from redisproxy.servers.control_connection import ServerSaidNo

if TYPE_CHECKING:
    from redisproxy.copying.feed import Feed
    from redisproxy.copying.servers import CopiedServers

STEPS, COUNT = 5, 50
KEY_S, WRITE_SHARE = 0.00002, 1.5
"""The time of one key where none is measured; and how much longer it takes with the write at the new server."""
BYTES_PER_S = 50_000_000


async def take_survey(servers: CopiedServers, open_feed: Callable[[], Awaitable[Feed]], clock: IReactorTime) -> Survey:
    """Look at both servers.

    @raise UplinkError: one does not answer.
    """
    state, telling = await state_of(servers.old), await _telling(servers, open_feed)
    keys, data_bytes = state.keys, state.number("used_memory")
    key_s = await _key_s(servers, clock) if keys else 0.0
    return Survey(
        keys,
        data_bytes,
        by_type=_reasons(servers, Way.BY_TYPE),
        not_whole=_reasons(servers, Way.NOT),
        seconds=round(max(keys * key_s, data_bytes / BYTES_PER_S), 1),
        faults=telling.faults,
        feed=telling.feed,
        notify=telling.notify,
    )


def _reasons(servers: CopiedServers, way: Way) -> tuple[str, ...]:
    """The kinds that come across in this way, those with the same reason together."""
    trial = servers.trial
    kinds: dict[str, list[str]] = {}
    for kind, found in trial.ways.items():
        if found is way:
            kinds.setdefault(trial.reasons.get(kind, ""), []).append(kind)
    return tuple(f"{', '.join(names)}: {reason}" if reason else ", ".join(names) for reason, names in kinds.items())


async def _key_s(servers: CopiedServers, clock: IReactorTime) -> float:
    """How long one key takes, about: some are read."""
    batches = Batches(servers.old, servers.source.features, servers.not_restored, servers.trial.many)
    began, keys, cursor = clock.seconds(), 0, b"0"
    for _ in range(STEPS):
        batch = await batches.next(cursor, COUNT)
        keys += batch.count
        cursor = batch.cursor
        if cursor == b"0":
            break
    return (clock.seconds() - began) / keys * WRITE_SHARE if keys else KEY_S


@dataclass(frozen=True)
class _Telling:
    """How the old server tells what changes; the names are those of L{Survey}."""

    feed: str = "tracking"
    notify: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


async def _telling(servers: CopiedServers, open_feed: Callable[[], Awaitable[Feed]]) -> _Telling:
    try:
        feed = await open_feed()
    except NotSet as error:
        (same,) = await servers.old.ask_all(("CONFIG", "SET", SETTING, error.setting))
        if isinstance(same, ServerSaidNo):
            return _Telling("notifications", faults=(str(error),))
        return _Telling("notifications", notify=(error.setting, error.needed))
    except CopyFailed as error:
        return _Telling(faults=(str(error),))
    feed.end()
    return _Telling("tracking" if feed.tells_flushes else "notifications")
