"""The fleet as one proxy sees it: its parts, and when they start and stop."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IResolutionReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from redisproxy.fleet.all_planes import Assembly, FleetDataPlane
from redisproxy.fleet.by_peers import fence_lifted_by_peers, set_back_by_peers, some_are_lost
from redisproxy.fleet.caller import Caller
from redisproxy.fleet.certificates import PortTLS
from redisproxy.fleet.door import Door
from redisproxy.fleet.failover_of_all import FailoverOfAll
from redisproxy.fleet.here import Here, SelfPortrait
from redisproxy.fleet.operations import FleetOperations
from redisproxy.fleet.roster import Resolve, Roster
from redisproxy.fleet.status import Status
from redisproxy.fleet.vigil import Vigil
from redisproxy.net.own_ports import OwnPorts

if TYPE_CHECKING:
    from redisproxy.config.fleet import FleetListenSettings
    from redisproxy.control.configuration import Configuration
    from redisproxy.control.control import Control
    from redisproxy.dataplane.interface import DataPlane
    from redisproxy.fleet.led import Led
    from redisproxy.fleet.led_failover import LedFailover
    from redisproxy.net.network import Network
    from redisproxy.remote.order_server import OrderServer


class NoAddress(Exception):
    """A name stands for nothing."""


class Fleet:
    """The fleet as one proxy sees it. L{of} tells it the control plane, which drives L{dataplane}.

    @param dataplane: this proxy's own. @param instance: of the process; random when left out.
    @param resolve: tells the addresses of a name; the reactor does when left out.
    @ivar dataplane: what reloads and switchovers drive: that of this proxy, or of all.
    @ivar operations: what operators may ask for.
    """

    operations: FleetOperations
    roster: Roster

    def __init__(
        self,
        configuration: Configuration,
        dataplane: DataPlane,
        network: Network,
        reactor: Any,
        instance: str = "",
        resolve: Resolve | None = None,
    ) -> None:
        self._assembly = Assembly()
        self.dataplane = FleetDataPlane(dataplane, configuration, self._assembly)
        self._own = dataplane
        self._configuration = configuration
        self._network, self._reactor = network, reactor
        self._instance = instance or secrets.token_hex(8)
        self._resolve = resolve or resolver(reactor)
        self.door = Door(self._key, self._link, reactor)

    def of(self, control: Control) -> None:
        """The control plane of this proxy."""
        here = self._here = Here(self._instance, control, self._own, self._configuration, self._network, self._reactor)
        self._portrait = portrait = SelfPortrait(here, lambda: bool(self._assembly.leading))
        self.roster = Roster(here, self._resolve)
        self._vigil = Vigil(here)
        status = Status(here, self.roster, portrait)
        of_all = self._assembly, self.roster, status, self._vigil
        self.operations = FleetOperations(here, control.operations, *of_all)
        control.switchover.go_back, control.ends = self.operations.go_back, self.stop
        control.failover.others = FailoverOfAll(self._assembly)
        control.switchover.others_lift_fence = lambda: fence_lifted_by_peers(self._assembly)
        control.switchover.others_left_behind = lambda: some_are_lost(self._assembly)
        control.switchover.way_back.others_set_back = lambda: set_back_by_peers(self._assembly)

    def ports(self) -> OwnPorts:
        """Where peers connect.

        @raise TLSFault: the certificate can't be used.
        """
        listen = self._listen()
        certificate = PortTLS(self._listen, listen) if listen is not None and listen.tls else None
        return OwnPorts(self._network, listen, self.door, certificate, self._reactor)

    def _listen(self) -> FleetListenSettings | None:
        fleet = self._configuration.settings.fleet
        return None if fleet is None else fleet.listen

    def _key(self) -> bytes:
        fleet = self._configuration.settings.fleet
        return b"" if fleet is None else fleet.key

    def _link(self) -> OrderServer:
        alone, assembly = self.operations.alone, self._assembly
        return Caller(self._here, self._portrait, alone, self._vigil, self._led, lambda: assembly.settling).link

    def _led(self, led: Led | LedFailover | None) -> None:
        self.operations.led = led

    def start(self) -> None:
        """Be connected to the peers from now on."""
        if self._configuration.settings.fleet is not None:
            self.roster.start()

    def stop(self) -> None:
        """Part with the peers."""
        self._vigil.stop()
        self.roster.stop()
        self.door.close()


def resolver(reactor: Any) -> Resolve:
    """The reactor's own name resolver."""

    def resolve(host: str) -> Deferred[list[str]]:
        found: Deferred[list[str]] = Deferred(lambda _: None)
        reactor.nameResolver.resolveHostName(Found(found), host)
        return found

    return resolve


@implementer(IResolutionReceiver)
class Found:
    """Collects the addresses of one name."""

    def __init__(self, found: Deferred[list[str]]) -> None:
        self._found = found
        self._addresses: list[str] = []

    def resolutionBegan(self, resolutionInProgress: object) -> None:
        """Part of C{IResolutionReceiver}."""

    def addressResolved(self, address: Any) -> None:
        """Part of C{IResolutionReceiver}."""
        self._addresses.append(address.host)

    def resolutionComplete(self) -> None:
        """Part of C{IResolutionReceiver}."""
        if self._found.called:
            return
        if self._addresses:
            self._found.callback(self._addresses)
        else:
            self._found.errback(Failure(NoAddress("it has no address")))
