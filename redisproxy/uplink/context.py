"""What everything of one uplink is given: its name and limits, the clock, the gate, the metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet.interfaces import IReactorTime

from redisproxy.figures.metrics import Metrics
from redisproxy.forwarding.gate import Gate
from redisproxy.uplink.limits import UplinkLimits


@dataclass(frozen=True, kw_only=True)
class UplinkContext:
    """The surroundings of the connections to one Redis server.

    @ivar name: how log lines call the server.
    @ivar end_of_turn: runs a call once, after all that arrived in this turn has been handled; see C{net.Network}.
    """

    clock: IReactorTime
    gate: Gate
    metrics: Metrics
    end_of_turn: Callable[[Callable[[], None]], None]
    name: str = "uplink"
    limits: UplinkLimits = field(default_factory=UplinkLimits)
