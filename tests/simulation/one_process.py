"""The proxy in one process."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred

from redisproxy.service import ProxyService, Reach

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.copying.interface import StartCopying
    from redisproxy.dataplane.local import LocalDataPlane
    from tests.simulation.network import End, SimNetwork
    from tests.simulation.world import World


class OneProcess:
    """The carrier of a world: what its clients connect to.

    @param reach: gives the control plane its data plane. @param copying: what switchovers copy with.
    """

    def __init__(
        self, world: World, settings: Settings, network: SimNetwork, reach: Reach, copying: StartCopying
    ) -> None:
        self._network = network
        self.service = ProxyService(
            world.path, settings, world.clock, network, world.chance.uniform, reach, start_copying=copying
        )
        self._dataplane = self.service.dataplane
        self._factory = self._dataplane.listeners.client_factory(settings.listen[0])

    def accept(self, end: End) -> None:
        """A client connects."""
        end.protocol = self._factory.buildProtocol(IPv4Address("TCP", "10.9.9.9", 1))
        end.protocol.makeConnection(end)

    @property
    def planes(self) -> list[LocalDataPlane]:
        """The data planes that live."""
        return [self._dataplane]

    @property
    def server(self) -> str:
        """The address of the server in use."""
        return str(self._dataplane.in_force.settings.uplink.address)

    decided = server

    @property
    def commands(self) -> int:
        """How many commands clients have sent."""
        return self._dataplane.core.metrics.flow.commands

    def begin(self) -> None:
        """The process has started."""
        self.service.begin()

    @property
    def requests(self) -> Any:
        """What an operator may ask for."""
        return self.service.control.operations

    def revive(self) -> None:
        """It lives."""

    def stop_service(self) -> Deferred[None]:
        """SIGTERM; fire when the process would end."""
        return self.service.stopService()

    def stop(self) -> None:
        """The proxy is to stop."""

    def system(self) -> AbstractContextManager[None]:
        """Nothing is asked of the system."""
        return nullcontext()

    def left(self) -> str:
        """What is left after the stop; empty when it is nothing."""
        attempts = self._network.attempts
        return f"connecting to {', '.join(attempts.values())}" if attempts else ""
