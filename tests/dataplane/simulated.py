"""Two data planes in the simulated network, before the model of a Redis server, and a client that only writes."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import ensureDeferred
from twisted.python.failure import Failure

from redisproxy.client import Client
from redisproxy.commands.lookup import CommandTable
from redisproxy.config.authentication import Authenticator
from redisproxy.dataplane.adoption import Adoption
from redisproxy.dataplane.handover import Handover
from redisproxy.figures.metrics import Metrics
from redisproxy.forwarding.gate import Gate
from redisproxy.serving import ClientFactory
from redisproxy.shared.core import ClientLimits, Core
from redisproxy.shared.registry import ClientRegistry
from redisproxy.uplink import Credentials, UplinkSet
from redisproxy.uplink.context import UplinkContext
from tests.simulation.clock import BEGIN_S, SimClock
from tests.simulation.network import Conditions, End, Net, SimNetwork
from tests.simulation.redis import Connection, Server
from tests.simulation.values import Error

HELD_BYTES = 2048
"""Larger commands are too large to hold."""
LIMIT_S = 5.0


class Plane:
    """One data plane."""

    def __init__(self, net: Net, network: SimNetwork) -> None:
        self.metrics = Metrics()
        self.gate = Gate(net.clock, self.metrics.flow)
        context = UplinkContext(clock=net.clock, gate=self.gate, metrics=self.metrics, end_of_turn=network.end_of_turn)
        self.uplinks = UplinkSet(
            lambda factory: network.connect("redis", factory, None, 1.0), Credentials(None, None), context
        )
        self.core = Core(self.gate, self.metrics, net.clock, self.uplinks)
        self.core.table = CommandTable(frozenset({"MONITOR"}), pubsub=True)
        self.core.limits = ClientLimits(max_held_request_bytes=HELD_BYTES)
        self.registry: ClientRegistry[Client] = ClientRegistry(self.metrics, 100)
        self.factory = ClientFactory(self.core, self.registry, Authenticator({}), name="here")


class StrictServer(Server):
    """Knows how many arguments a command needs."""

    def command(self, connection: Any, args: list[bytes]) -> Any:
        name, queues = args[0].upper(), connection.queue is not None
        if (name == b"ECHO" and len(args) != 2) or (name == b"MULTI" and len(args) != 1):
            connection.queue_error = connection.queue_error or queues
            return Error(f"ERR wrong number of arguments for '{name.decode().lower()}' command")
        if name == b"WATCH" and queues:
            return Error("ERR WATCH inside MULTI is not allowed")
        if [each.upper() for each in args] == [b"CLIENT", b"INFO"] and not queues:
            return b"id=%d db=%d\n" % (connection.id, connection.db)
        return super().command(connection, args)


class Peer:
    """What a client has got, and whether it was disconnected."""

    def __init__(self, end: End) -> None:
        self.end = end
        self.got = b""
        self.gone = False
        end.protocol = self

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Failure) -> None:
        self.gone = True


class Scene:
    """Two data planes, one server."""

    def __init__(self, seed: int = 0) -> None:
        self.clock = SimClock()
        self.net = Net(self.clock, Random(seed))
        self.net.now = Conditions(latency=0.0002, jitter=0.0002 if seed else 0.0, small_chunks=0.3 if seed else 0.0)
        self.server = StrictServer("redis", self.clock, Random(seed), lambda host, port: None)
        self.net.hosts["redis"] = self.server
        network = SimNetwork(self.net)
        self.old, self.new = Plane(self.net, network), Plane(self.net, network)
        self.target = Adoption(lambda name: self.new.factory, network, self.clock, 1.0)
        self.handover = Handover(self.old.uplinks, network, self.clock, self.target, 1.0)
        self.failures: list[Failure] = []

    def connect(self) -> Peer:
        """A client of the old data plane."""
        near, far = self.net.pair("client", "proxy")
        peer = Peer(near)
        far.protocol = self.old.factory.buildProtocol(IPv4Address("TCP", "10.9.9.9", 1))
        far.protocol.makeConnection(far)
        return peer

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        self.clock.run_until(self.clock.seconds() + seconds)

    def somebody(self, *args: bytes) -> None:
        """Somebody else sends a command to the server."""
        _, far = self.net.pair("somebody", "server")
        self.server.command(Connection(self.server, far, 0), list(args))

    def at(self, seconds: float, call: Any, *args: Any) -> None:
        """Have something happen so long after the beginning."""
        self.clock.at(max(0.0, BEGIN_S + seconds - self.clock.seconds()), call, *args)

    def hand_over(self) -> Any:
        """Begin to hand every client over; a list that gets who stays, once it is over."""
        over: list[Any] = []
        moving = ensureDeferred(self.handover.move(list(self.old.registry), LIMIT_S))
        moving.addCallback(over.append).addErrback(self.failures.append)
        return over

    def nothing_is_left(self) -> None:
        """The counts are right whatever has happened."""
        assert not self.failures, self.failures[0].getTraceback()
        for plane in (self.old, self.new):
            assert plane.gate.in_flight == sum(each.lane.pending for each in plane.registry)
            assert plane.metrics.clients.open == len(plane.registry)
