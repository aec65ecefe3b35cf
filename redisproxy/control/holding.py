"""Holding clients at the gate and letting them go on, counted and logged, whatever the reason is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger

if TYPE_CHECKING:
    from redisproxy.dataplane.interface import GateOrders, GateStatus, Hold, Release
    from redisproxy.figures.metrics import OperationFigures


class Holding:
    """Holds the clients of one data plane."""

    log = Logger(namespace="redisproxy.control")

    def __init__(self, gate: GateOrders, metrics: OperationFigures) -> None:
        self._gate = gate
        self._metrics = metrics

    def hold(self, reason: str) -> Deferred[GateStatus]:
        """Close the gate for `reason`."""
        return self._gate.hold(reason).addCallback(self.note_hold, reason)

    def note_hold(self, hold: Hold, reason: str) -> GateStatus:
        """The gate was closed for `reason`; what it is now."""
        if hold.closed:
            self._metrics.pauses_total += 1
            self.log.info("paused ({reason}), {count} commands in flight", reason=reason, count=hold.gate.in_flight)
        return hold.gate

    def release(self, reason: str) -> Deferred[Release]:
        """Take `reason` back."""
        return self._gate.release(reason).addCallback(self.note_release)

    def note_release(self, release: Release) -> Release:
        """A reason was taken back."""
        if release.opened and release.closed_s is not None:
            self._metrics.observe_pause(release.closed_s)
            ms = round(release.closed_s * 1000, 1)
            who = f"{release.held} client{'' if release.held == 1 else 's'} had waited"
            self.log.info("running again after {ms} ms, {who}", ms=ms, who=who)
        return release
