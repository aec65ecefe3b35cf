"""The orders that hold clients at the gate, carried out in this process, each within the call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime

from redisproxy.dataplane import garbage_collection, in_flight
from redisproxy.dataplane.held_course import course_of
from redisproxy.dataplane.interface import SWITCHOVER, ClientInFlight, GateStatus, Hold, Release
from redisproxy.uplink import BUSY

if TYPE_CHECKING:
    from redisproxy.client import Client
    from redisproxy.dataplane.blocked_clients import BlockedClients
    from redisproxy.dataplane.in_force import InForce
    from redisproxy.shared.core import Core
    from redisproxy.shared.registry import ClientRegistry


class LocalGate:
    """Implements C{interface.GateOrders}."""

    def __init__(
        self,
        core: Core,
        registry: ClientRegistry[Client],
        in_force: InForce,
        blocked: BlockedClients,
        clock: IReactorTime,
    ) -> None:
        self._gate = core.gate
        self._registry = registry
        self._metrics = core.metrics
        self._maintenance = core.maintenance
        self._in_force = in_force
        self._blocked = blocked
        self._clock = clock

    def status(self) -> GateStatus:
        """The gate now."""
        gate, busy = self._gate, BUSY if self._in_force.uplinks.busy_probe.busy else ""
        return GateStatus(gate.state.value, tuple(sorted(gate.reasons)), gate.in_flight, gate.held, busy)

    def state(self) -> Deferred[GateStatus]:
        return succeed(self.status())

    def hold(self, reason: str) -> Deferred[Hold]:
        return maybeDeferred(self._hold, reason)

    def _hold(self, reason: str) -> Hold:
        closed = self._gate.open
        if reason == SWITCHOVER:
            garbage_collection.hold()
        self._gate.close(reason)
        if closed:
            self._blocked.gate_closed()
            self._maintenance.gate_closed()
        return Hold(closed, self.status(), self._may_watch())

    def _may_watch(self) -> bool:
        pinned = self._in_force.uplinks.pinned_connections
        if len(pinned) == pinned.spare:
            return False
        return bool(self._gate.in_flight) or any(client.session.watching for client in self._registry)

    def release(self, reason: str) -> Deferred[Release]:
        return maybeDeferred(self._release, reason)

    def _release(self, reason: str) -> Release:
        gate, now = self._gate, self._clock.seconds()
        closed_at, held_since, held, times = gate.closed_at, gate.held_since, gate.held, gate.held_times
        clients_closed = dict(self._metrics.clients.closed)
        try:
            self._reopen(reason)
        finally:
            if reason == SWITCHOVER:
                garbage_collection.go_on()
        return Release(
            opened=closed_at is not None and gate.open,
            gate=self.status(),
            closed_s=None if closed_at is None else now - closed_at,
            held=held,
            longest_wait_s=0.0 if held_since is None else now - held_since,
            clients_closed=clients_closed,
            held_course=() if closed_at is None else course_of(times, closed_at),
        )

    def _reopen(self, reason: str) -> None:
        self._gate.reopen(reason)
        self._blocked.let_go()
        self._maintenance.gate_opened()

    def drained(self) -> Deferred[None]:
        return self._gate.drained()

    def who_is_in_flight(self) -> Deferred[tuple[ClientInFlight, ...]]:
        return succeed(in_flight.who(self._in_force.uplinks, self._clock.seconds()))

    def drop_in_flight(self) -> Deferred[tuple[ClientInFlight, ...]]:
        return maybeDeferred(in_flight.drop, self._in_force.uplinks, self._clock.seconds())
