"""The clients of this process, as an operator sees them. They are looked at a few at a time, so that nobody waits."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from redisproxy.client.message_stream import MONITORS
from redisproxy.client.waiting import Reason
from redisproxy.dataplane.client_rows import ClientQuery, ClientRow, ClientTable

if TYPE_CHECKING:
    from redisproxy.client import Client
    from redisproxy.shared.registry import ClientRegistry

AT_A_TIME = 1000
Column = Callable[["Client", float], Any]


async def table(registry: ClientRegistry[Client], which: ClientQuery, clock: IReactorTime) -> ClientTable:
    """Those that `which` describes. Can be cancelled."""
    wanted, found = _tests(which), []
    everybody: Iterator[Client] = iter(registry)
    while some := list(islice(everybody, AT_A_TIME)):
        now = clock.seconds()
        found += [client for client in some if all(test(client, now) for test in wanted)]
        if len(some) == AT_A_TIME:
            await deferLater(clock, 0, lambda: None)
    now = clock.seconds()
    return ClientTable(tuple(_row(client, now) for client in _first(found, which, now)), len(found))


def _first(found: list[Client], which: ClientQuery, now: float) -> list[Client]:
    column = _COLUMNS[which.sort]
    if which.sort == "id" and not which.descending:
        return found[: which.limit]
    pick = heapq.nlargest if which.descending else heapq.nsmallest
    return pick(which.limit, found, key=lambda client: (column(client, now), client.id))


def _row(client: Client, now: float) -> ClientRow:
    return ClientRow(**{name: column(client, now) for name, column in _COLUMNS.items()})


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "backslashreplace")


def _lib(client: Client, now: float) -> str:
    return " ".join(filter(None, (_text(client.session.lib_name), _text(client.session.lib_version))))


def _idle_s(client: Client, now: float) -> float:
    return 0.0 if client.lane.active else round(max(0.0, now - client.identity.last_seen), 1)


_WAITS = Reason.UPLINK | Reason.WRITABLE | Reason.SUBSCRIPTION | Reason.HANDOVER | Reason.WORKERS


def _state(client: Client, now: float) -> str:
    waiting, session, stream = client.waiting, client.session, client.route.stream
    states = (
        ("held", waiting.reasons & Reason.GATE),
        ("blocked", waiting.blocking is not None or waiting.reasons & Reason.SWITCH),
        ("slow reader", waiting.reasons & Reason.SLOW_READER),
        ("waiting", waiting.reasons & _WAITS),
        ("monitor", stream is not None and stream.FLAG == MONITORS),
        ("subscribed", session.subscribed),
        ("transaction", session.transaction is not None),
        ("active", client.lane.pending or client.lane.active),
    )
    return next((name for name, is_so in states if is_so), "idle")


_COLUMNS: dict[str, Column] = {
    "id": lambda client, now: client.id,
    "addr": lambda client, now: client.address,
    "user": lambda client, now: _text(client.session.user),
    "name": lambda client, now: _text(client.session.name),
    "lib": _lib,
    "db": lambda client, now: client.session.db,
    "cmd": lambda client, now: _text(client.identity.last_command).lower(),
    "age_s": lambda client, now: round(now - client.identity.created, 1),
    "idle_s": _idle_s,
    "pending": lambda client, now: client.lane.pending,
    "state": _state,
}
_SEARCHED = ("addr", "user", "name", "lib", "cmd")

Test = Callable[["Client", float], bool]


def _tests(which: ClientQuery) -> list[Test]:
    """What has to be true of a client."""

    def is_one(name: str, right: Callable[[Any], bool]) -> Test:
        column = _COLUMNS[name]
        return lambda client, now: right(column(client, now))

    tests = [
        is_one(name, wanted.__eq__) for name in ("user", "db", "state") if (wanted := getattr(which, name)) is not None
    ]
    if which.cmd is not None:
        tests.append(is_one("cmd", which.cmd.lower().__eq__))
    if which.ids is not None:
        tests.append(is_one("id", which.ids.__contains__))
    if which.addr is not None:
        tests.append(is_one("addr", _begins(which.addr)))
    for name in ("name", "lib"):
        if (part := getattr(which, name)) is not None:
            tests.append(is_one(name, _contains(part.lower())))
    for name, least in (("age_s", which.min_age_s), ("idle_s", which.min_idle_s), ("pending", which.min_pending)):
        if least > 0:
            tests.append(is_one(name, least.__le__))
    return [*tests, *([_has(which.text.lower())] if which.text else [])]


def _begins(start: str) -> Callable[[str], bool]:
    return lambda text: text.startswith(start)


def _contains(part: str) -> Callable[[str], bool]:
    return lambda text: part in text.lower()


def _has(text: str) -> Test:
    return lambda client, now: any(text in _COLUMNS[name](client, now).lower() for name in _SEARCHED)
