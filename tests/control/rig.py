"""A control plane, a data plane and two Redis servers in memory, on a simulated clock.

The control plane gets its data plane through a L{Seam}: by which one the tests in this folder run is C{conftest}'s.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, ensureDeferred, fail

from redisproxy import config
from redisproxy.control.configuration import Configuration
from redisproxy.control.control import Control
from redisproxy.dataplane.interface import DataPlane
from redisproxy.dataplane.local import LocalDataPlane
from redisproxy.net import tls
from redisproxy.resp import encode_command
from tests.simulation.clock import SimClock
from tests.simulation.network import Conditions, End, Net, SimNetwork
from tests.simulation.redis import Server

Seam = Callable[[LocalDataPlane, SimClock], DataPlane]
"""What the control plane is given for a data plane."""


def same_process(local: LocalDataPlane, clock: SimClock) -> DataPlane:
    """The data plane of this process."""
    return local


class _Orders:
    """Orders on their way to `target`: noted, and failed or held up if that was asked for."""

    def __init__(self, target: Any, rig: Rig) -> None:
        self._target = target
        self._rig = rig

    def __getattr__(self, name: str) -> Callable[..., Deferred[Any]]:
        def order(*args: Any, **how: Any) -> Deferred[Any]:
            rig = self._rig
            rig.orders.append(" ".join([name, *(each for each in args if isinstance(each, str))]))
            if name in rig.faults:
                return fail(rig.faults[name])
            if name in rig.held_up:
                return rig.held_up[name].addCallback(lambda _: getattr(self._target, name)(*args, **how))
            result: Deferred[Any] = getattr(self._target, name)(*args, **how)
            return result

        return order


class Watched(_Orders):
    """A data plane whose orders are seen by the rig."""

    def __init__(self, dataplane: DataPlane, rig: Rig) -> None:
        super().__init__(dataplane, rig)
        self.gate = _Orders(dataplane.gate, rig)
        self.move = _Orders(dataplane.move, rig)
        self.clients = _Orders(dataplane.clients, rig)
        self.handover = _Orders(dataplane.handover, rig)
        self.notes = _Orders(dataplane.notes, rig)
        self.records = _Orders(dataplane.records, rig)


class Client:
    """A client of the proxy.

    @ivar got: what has come. @ivar gone: it was disconnected.
    """

    def __init__(self, rig: Rig) -> None:
        near, far = rig.net.pair("client", "proxy")
        self.got = b""
        self.gone = False
        self._end: End = near
        near.protocol = self
        far.protocol = rig.factory.buildProtocol(IPv4Address("TCP", "10.9.9.9", 1))
        far.protocol.makeConnection(far)

    def send(self, *command: str | int) -> None:
        self._end.write(encode_command(*command))

    def leave(self) -> None:
        """Disconnect."""
        self._end.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: object) -> None:
        self.gone = True


class Outcome:
    """What a Deferred came to."""

    def __init__(self, deferred: Deferred[Any]) -> None:
        self.deferred = deferred
        self.value: Any = None
        self.error: Exception | None = None
        deferred.addCallbacks(lambda value: setattr(self, "value", value), self._failed)

    def _failed(self, failure: Any) -> None:
        self.error = failure.value


class Rig:
    """Everything.

    @ivar orders: what the control plane has ordered, with the reason if there is one.
    @ivar same_process: nothing is between the two. @ivar dataplane: what the control plane is given.
    @ivar faults: what orders fail with. @ivar held_up: what orders wait for before they are carried out.
    """

    def __init__(self, seam: Seam, folder: Path, **settings: Any) -> None:
        self.clock = SimClock()
        self.net = Net(self.clock, Random(1))
        self.net.now = Conditions()
        self.servers = [Server(f"10.0.0.{at}:6379", self.clock, Random(at), self._find) for at in (1, 2)]
        self.net.hosts |= {server.name: server for server in self.servers}
        self.net.names["redis.test"] = ["10.0.0.1"]
        self.orders: list[str] = []
        self.faults: dict[str, Exception] = {}
        self.held_up: dict[str, Deferred[Any]] = {}
        self._path = folder / "config.json"
        self._settings = settings
        self.same_process = seam is same_process
        self.name_server(self.servers[0])
        read = self.read()
        network = SimNetwork(self.net)
        self.local = LocalDataPlane(read, self.clock, network, lambda low, high: high)
        self.factory = self.local.listeners.client_factory(read.listen[0])
        watched: Any = Watched(seam(self.local, self.clock), self)
        self.dataplane: DataPlane = watched
        self.control = Control(Configuration(str(self._path), read, network, self.clock), watched, network, self.clock)
        self.operations = self.control.operations
        self.gate = self.local.core.gate
        self.control.start()
        self.advance(0.5)
        self.orders.clear()

    def _find(self, host: str, port: int) -> Server | None:
        server: Server | None = self.net.hosts.get(f"{host}:{port}")
        return server

    def name_server(self, server: Server, **settings: Any) -> None:
        """Have the file name this server."""
        listen = {"listen": {"addr": "10.9.9.9:7000"}, "read_time_limit_ms": 0}
        document = {"uplink": {"addr": server.name}, **listen, **self._settings, **settings}
        self._path.write_text(json.dumps(document))

    def read(self) -> config.Settings:
        """What the file says."""
        return config.load(str(self._path), tls.faults)

    def read_as(self, server: Server) -> config.Settings:
        """What the file would say if it named this server; it is as before afterwards."""
        before = self._path.read_text()
        self.name_server(server)
        try:
            return self.read()
        finally:
            self._path.write_text(before)

    @property
    def server(self) -> str:
        """The server in use, for the control plane and for the data plane."""
        of_control, of_data = self.control.configuration.settings, self.local.in_force.settings
        assert str(of_control.uplink.address) == str(of_data.uplink.address)
        return str(of_data.uplink.address)

    def client(self) -> Client:
        return Client(self)

    def in_flight(self, count: int) -> list[Client]:
        """So many clients whose command the server does not answer; it hangs."""
        self.servers[0].hang(3600)
        clients = [self.client() for _ in range(count)]
        for client in clients:
            client.send("INCR", "n")
        self.advance(0.01)
        assert self.gate.in_flight == count
        return clients

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.run_until(self.clock.seconds() + seconds)

    def until(self, holds: Callable[[], bool]) -> None:
        """Let time pass, at most ten seconds, until `holds()`."""
        deadline = self.clock.seconds() + 10
        while not holds():
            assert self.clock.seconds() < deadline
            self.advance(0.001)

    def stop(self) -> Outcome:
        """End the process."""
        return Outcome(ensureDeferred(self.control.stop()))

    def end(self) -> None:
        """End the process, if that was not done, and see that nothing is left of it."""
        self.faults.clear()
        self.stop()
        self.advance(60)
        assert not self.net.connections("uplink") and not self.clock.getDelayedCalls()
