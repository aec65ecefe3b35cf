"""What was measured in each of the last seconds, for the graphs that people look at.

Each data plane keeps its own seconds, and they are asked for only when somebody looks. Counters are read once a second,
so that nothing of this is on a command's way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redisproxy.figures.metrics import Metrics
    from redisproxy.forwarding.gate import Gate

KEPT = 300
"""Seconds."""

Buckets = tuple[tuple[int, int], ...]
"""How many observations there were, by the number of the bucket; those of none are left out."""


@dataclass(frozen=True)
class Second:
    """One second.

    @ivar time: when it ended, in seconds since 1970.
    @ivar commands, errors: commands sent for clients, and errors that the server has answered, a second.
    @ivar bytes_in, bytes_out: received from clients and sent to them, a second.
    @ivar clients, held, in_flight: at its end.
    @ivar client_latency, uplink_latency: of the commands that were answered in it; see C{latency}.
    """

    time: int
    commands: float
    errors: float
    bytes_in: float
    bytes_out: float
    clients: int
    held: int
    in_flight: int
    client_latency: Buckets = ()
    uplink_latency: Buckets = ()


@dataclass(frozen=True)
class _Counters:
    """The counters at one moment."""

    commands: int
    errors: int
    bytes_in: int
    bytes_out: int
    client: list[int]
    uplink: list[int]


class Seconds:
    """The last seconds of one data plane.

    @param metrics: its counters. @param gate: where its clients are held.
    """

    def __init__(self, metrics: Metrics, gate: Gate) -> None:
        self._metrics = metrics
        self._gate = gate
        self._kept: deque[Second] = deque(maxlen=KEPT)
        self._began = 0.0
        self._before: _Counters | None = None

    def tick(self, now: float) -> None:
        """Keep the second that is over, if one is. To be called several times a second.

        @param now: in seconds since 1970.
        """
        if int(now) == int(self._began) and self._before is not None:
            return
        counters, before = self._counters(), self._before
        if now < self._began:  # the clock was put back, and how long it was nobody knows
            self._kept.clear()
            before = counters
        if before is not None:
            self._kept.append(self._second(int(now), max(now - self._began, 0.1), before, counters))
        self._before, self._began = counters, now

    def after(self, time: int) -> tuple[Second, ...]:
        """Those that are kept and have ended later than `time`, in order."""
        return tuple(second for second in self._kept if second.time > time)

    def _counters(self) -> _Counters:
        flow = self._metrics.flow
        figures = flow.figures
        return _Counters(
            flow.commands,
            sum(figures.errors),
            flow.bytes_from_clients,
            flow.bytes_to_clients,
            [sum(families) for families in zip(*figures.client, strict=True)],
            [sum(families) for families in zip(*figures.uplink, strict=True)],
        )

    def _second(self, time: int, length_s: float, before: _Counters, now: _Counters) -> Second:
        return Second(
            time=time,
            commands=(now.commands - before.commands) / length_s,
            errors=(now.errors - before.errors) / length_s,
            bytes_in=(now.bytes_in - before.bytes_in) / length_s,
            bytes_out=(now.bytes_out - before.bytes_out) / length_s,
            clients=self._metrics.clients.open,
            held=self._gate.held,
            in_flight=self._gate.in_flight,
            client_latency=_new(before.client, now.client),
            uplink_latency=_new(before.uplink, now.uplink),
        )


def _new(before: list[int], now: list[int]) -> Buckets:
    return tuple((number, new - old) for number, (old, new) in enumerate(zip(before, now, strict=True)) if new != old)


def together(seconds: Sequence[Second]) -> Second:
    """What several data planes have measured in the same second, as one.

    @param seconds: at least one.
    """
    return Second(
        time=seconds[0].time,
        commands=sum(each.commands for each in seconds),
        errors=sum(each.errors for each in seconds),
        bytes_in=sum(each.bytes_in for each in seconds),
        bytes_out=sum(each.bytes_out for each in seconds),
        clients=sum(each.clients for each in seconds),
        held=sum(each.held for each in seconds),
        in_flight=sum(each.in_flight for each in seconds),
        client_latency=_added(each.client_latency for each in seconds),
        uplink_latency=_added(each.uplink_latency for each in seconds),
    )


def _added(each: Iterable[Buckets]) -> Buckets:
    total: dict[int, int] = {}
    for buckets in each:
        for number, count in buckets:
            total[number] = total.get(number, 0) + count
    return tuple(sorted(total.items()))
