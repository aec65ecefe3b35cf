"""The figures of all workers as one, with those of workers that are gone, so that no counter ever goes down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from redisproxy.dataplane.interface import Figures, UplinkStatus
from redisproxy.workers.all_gates import status_of

GAUGES = frozenset({"clients.open", "uplink.connections_open"})
"""Of the numbers, those that are no counters: a worker that is gone has none."""


class Gone:
    """What the workers that are gone had counted, as far as they had told.

    @ivar numbers, clients_closed, refused: see C{interface.Figures}.
    """

    def __init__(self) -> None:
        self.numbers: Counter[str] = Counter()
        self.clients_closed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def add(self, last: Figures | None, clients: int) -> None:
        """A worker is gone. @param last: what it told last. @param clients: how many it had."""
        closed = self.clients_closed
        if clients:
            closed["worker_lost"] += clients
        if last is not None:
            self.numbers.update({name: value for name, value in last.numbers.items() if name not in GAUGES})
            closed.update(last.clients_closed)
            self.refused.update(last.refused)


def together(each: Sequence[Figures], gone: Gone) -> Figures:
    """All figures as one."""
    first = each[0]
    return replace(
        first,
        gate=status_of([figures.gate for figures in each]),
        uplink=_uplinks([figures.uplink for figures in each]),
        clients_open=sum(figures.clients_open for figures in each),
        blocked_waiting=sum(figures.blocked_waiting for figures in each),
        raw_connections=sum(figures.raw_connections for figures in each),
        numbers=summed([gone.numbers, *(figures.numbers for figures in each)]),
        clients_closed=summed([gone.clients_closed, *(figures.clients_closed for figures in each)]),
        refused=summed([gone.refused, *(figures.refused for figures in each)]),
        native=all(figures.native for figures in each),
    )


def _uplinks(each: Sequence[UplinkStatus]) -> UplinkStatus:
    return UplinkStatus(
        connected=all(uplink.connected for uplink in each),
        connections=sum(uplink.connections for uplink in each),
        shared=sum(uplink.shared for uplink in each),
        pinned=sum(uplink.pinned for uplink in each),
        last_error=next((uplink.last_error for uplink in each if uplink.last_error), ""),
        server=each[0].server,
    )


def summed(each: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """The sums by name; a name that only some have counts all the same."""
    total: dict[str, int] = {}
    for numbers in each:
        for name, value in numbers.items():
            total[name] = total.get(name, 0) + value
    return total
