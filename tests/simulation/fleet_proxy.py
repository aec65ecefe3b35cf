"""One proxy of a simulated fleet: a process that is killed and started again, with the proxy's own code in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import TCPTimedOutError
from twisted.python.failure import Failure

from redisproxy.service import ProxyService
from tests.simulation.clients import Wire
from tests.simulation.network import End, Nobody, SimNetwork

if TYPE_CHECKING:
    from redisproxy.forwarding.gate import Gate
    from tests.simulation.fleet import FleetWorld
    from tests.simulation.redis import Server


class FleetNetwork(SimNetwork):
    """The network of one proxy, in which some hosts can't be reached for some time."""

    def __init__(self, world: FleetWorld, proxy: FleetProxy) -> None:
        super().__init__(world.net, proxy.process)
        self._world, self._proxy = world, proxy

    def connect(self, address: Any, protocol_factory: Any, tls: Any, timeout_s: float) -> Deferred[Any]:
        if not self._world.is_blocked(self._proxy.host, address.host):
            return super().connect(address, protocol_factory, tls, timeout_s)
        answer: Deferred[Any] = Deferred()

        def time_out() -> None:
            if not answer.called:
                answer.errback(Failure(TCPTimedOutError()))

        self._proxy.process.at(timeout_s, time_out)
        return answer


class FleetProxy:
    """One of them.

    @ivar host: where it is. @ivar hit: something has happened to it that its clients may feel.
    @ivar restarted: it was killed, and has begun anew with what its file says.
    """

    down = unreachable = False

    def __init__(self, world: FleetWorld, number: int) -> None:
        self._world = world
        self.number = number
        self.host = f"10.0.9.{number}"
        self.process = world.machine.process(f"proxy {number}")
        self.hit = self.restarted = False
        self._commands = 0
        world.net.hosts[world.peers[number]] = self

    def __str__(self) -> str:
        return f"proxy {self.number}"

    def start(self) -> None:
        """Begin, in the beginning and after it was killed."""
        world = self._world
        settings = world.load(self.number)
        network = FleetNetwork(world, self)
        instance = f"{(world.next_id() * 7919) % 1000:03}"
        with patch("redisproxy.fleet.fleet.secrets.token_hex", lambda size: instance):
            self.service = ProxyService(
                world.path(self.number), settings, self.process.reactor, network, world.chance.uniform
            )
        self.service.fleet.roster._resolve = lambda host: succeed([host])
        door: Any = self.service.fleet.door
        make = door._link
        door._link = lambda: world.fate.watched(self, make())
        self._factory = self.service.dataplane.listeners.client_factory(settings.listen[0])
        self.down = False
        self.service.begin()

    def kill(self) -> None:
        """SIGKILL."""
        self.hit = self.down = True
        self._commands += self.service.dataplane.core.metrics.flow.commands
        for end in self._world.net.connections("proxy"):
            if end.process is self.process and isinstance(end.peer.protocol, Wire):
                end.peer.protocol.injected = True
        self.process.machine.clock.graves.append(self.service)
        self.process.kill()

    def restart(self) -> None:
        """Start it again."""
        self.restarted = True
        self.process = self._world.machine.process(f"proxy {self.number}")
        self.start()

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        return self.process.alive and not self.down

    # -- what comes

    def accept(self, end: End) -> None:
        """A client connects, or a peer."""
        end.process, end.protocol = self.process, Nobody()
        if end.name == "proxy":
            self.process.at(0.0, self._serve, end, self._factory)
        else:
            self.process.at(0.0, self._serve, end, self.service.fleet.door)
        end.pauseProducing()

    def _serve(self, end: End, factory: Any) -> None:
        protocol = factory.buildProtocol(IPv4Address("TCP", "10.9.9.9", 1))
        if protocol is None:
            end.abortConnection()
            return
        end.protocol = protocol
        protocol.makeConnection(end)
        end.resumeProducing()

    # -- what the world looks at

    @property
    def gate(self) -> Gate:
        """That of its data plane."""
        return self.service.dataplane.core.gate

    @property
    def server(self) -> Server:
        """The server in use."""
        server: Server = self._world.net.hosts[self.place]
        return server

    @property
    def place(self) -> str:
        """The address of the server in use, or why there is none."""
        return str(self.service.dataplane.in_force.settings.uplink.place)

    @property
    def has_found(self) -> bool:
        """Whether sentinels have told it where the primary is."""
        return self.service.dataplane.in_force.settings.uplink.found is not None

    @property
    def running(self) -> str:
        """The operation that runs here."""
        return self.service.control.exclusion.running

    @property
    def commands(self) -> int:
        """How many commands clients have sent."""
        return self._commands + (self.service.dataplane.core.metrics.flow.commands if self.alive else 0)

    def sees_all(self) -> bool:
        """Whether it is connected to all peers."""
        roster = self.service.fleet.roster
        return not roster.faults and len(roster.peers) == len(self._world.proxies) - 1
