"""Three data planes in memory as three workers, before two Redis servers, on a simulated clock."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred

from redisproxy import config
from redisproxy.dataplane import shared_value
from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.dataplane.local import LocalDataPlane
from redisproxy.resp import encode_command
from redisproxy.shared.registry import Ids
from redisproxy.workers.all_clients import ID_STEP, AllClients
from redisproxy.workers.all_gates import AllGates
from redisproxy.workers.all_moves import AllMoves
from redisproxy.workers.all_notes import AllNotes
from redisproxy.workers.members import Members
from tests.control.rig import Outcome, Watched
from tests.simulation.clock import SimClock
from tests.simulation.network import Conditions, End, Net, SimNetwork
from tests.simulation.redis import Server

__all__ = ["Client", "Outcome", "Rig", "Worker", "now"]

LOST = DataPlaneLost("its process has ended")


class Client:
    """A client of one worker."""

    def __init__(self, worker: Worker) -> None:
        near, far = worker.rig.net.pair("client", "proxy")
        self.got = b""
        self.gone = False
        self._end: End = near
        near.protocol = self
        far.protocol = worker.factory.buildProtocol(IPv4Address("TCP", "10.9.9.9", 1))
        far.protocol.makeConnection(far)
        self.id: int = far.protocol.client.id

    def send(self, *command: str | int) -> None:
        self._end.write(encode_command(*command))

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: object) -> None:
        self.gone = True


class Worker:
    """Implements L{redisproxy.workers.members.Member}: a data plane whose orders are seen, and fail when told to.

    @ivar orders, faults, held_up: see C{tests.control.rig.Rig}. @ivar why: why it was ended; empty while it lives.
    """

    def __init__(self, rig: Rig, number: int, settings: config.Settings) -> None:
        self.rig = rig
        self.number = number
        self.serving = True
        self.door = ""
        self.settings = settings
        self.why = ""
        self.orders: list[str] = []
        self.faults: dict[str, Exception] = {}
        self.held_up: dict[str, Deferred[Any]] = {}
        ids = Ids(number, ID_STEP)
        self.local = LocalDataPlane(settings, rig.clock, SimNetwork(rig.net), lambda low, high: high, ids)
        self.factory = self.local.listeners.client_factory(settings.listen[0])
        self.local.start()
        watched: Any = Watched
        self.plane = watched(self.local, self)

    @property
    def label(self) -> str:
        return f"worker {self.number}"

    @property
    def load(self) -> int:
        return len(self.local.registry)

    def failed(self, why: str) -> None:
        self.end(why)

    def learn(self, shared: bytes) -> Deferred[None]:
        return maybeDeferred(shared_value.learn, shared, self.local.core)

    @property
    def server(self) -> str:
        return str(self.local.in_force.settings.uplink.address)

    def end(self, why: str) -> None:
        if not self.why:
            self.why = why
            orders = ("state", "hold", "release", "drained", "drop_in_flight", "prepare", "connect", "bring", "swap")
            more = ("prove_watches", "abandon", "list", "kill", "unblock", "begin", "take", "end")
            self.faults = dict.fromkeys((*orders, *more), LOST)
            self.rig.members.forget(self)
            self.stop()

    def stop(self) -> None:
        for client in self.local.registry:
            client.closing.abort()
        self.local.move.abandon()
        self.local.stop()


class Rig:
    """Everything."""

    def __init__(self) -> None:
        self.clock = SimClock()
        self.net = Net(self.clock, Random(1))
        self.net.now = Conditions()
        self.servers = [Server(f"10.0.0.{at}:6379", self.clock, Random(at), self._find) for at in (1, 2)]
        self.net.hosts |= {server.name: server for server in self.servers}
        self.members = Members(self.settings(0), self.clock)
        self.gate = AllGates(self.members)
        self.move = AllMoves(self.members, unwatched=self.gate.unwatched)
        self.clients = AllClients(self.members, self._stop_listening)
        self.notes = AllNotes(self.members)
        self.workers = [self.worker(number) for number in (1, 2, 3)]
        for worker in self.workers:
            self.members.join(worker)
        self.advance(0.5)

    async def _stop_listening(self) -> None:
        """There is no port."""

    def _find(self, host: str, port: int) -> Server | None:
        server: Server | None = self.net.hosts.get(f"{host}:{port}")
        return server

    def worker(self, number: int) -> Worker:
        """One more, which has not joined."""
        return Worker(self, number, self.members.settings)

    def settings(self, at: int) -> config.Settings:
        """The settings with this server."""
        document = {"uplink": {"addr": self.servers[at].name}, "listen": {"addr": "10.9.9.9:7000"}, "workers": 3}
        return config.Settings.model_validate(document)

    def advance(self, seconds: float) -> None:
        self.clock.run_until(self.clock.seconds() + seconds)

    def prepared(self) -> None:
        """A move to the other server, up to the swap."""
        now(self.move.prepare(self.settings(1)))
        self.connected()
        now(self.gate.hold("reload"))
        drained = Outcome(self.gate.drained())
        self.advance(0.1)
        assert drained.deferred.called and drained.error is None
        now(self.move.bring())

    def connected(self) -> None:
        """Those that have prepared a move have connected."""
        connecting = Outcome(self.move.connect())
        self.advance(0.5)
        assert connecting.deferred.called and connecting.error is None, connecting.error

    def end(self) -> None:
        """See that nothing is left."""
        for worker in [*self.workers, *(member for member in self.members.in_use if member not in self.workers)]:
            if not worker.why:  # type: ignore[attr-defined]
                worker.stop()  # type: ignore[attr-defined]
        self.advance(60)
        assert not self.net.connections("uplink") and not self.clock.getDelayedCalls()


def now(deferred: Deferred[Any]) -> Any:
    """What has fired already: its result, or its error."""
    outcome = Outcome(deferred)
    assert outcome.deferred.called
    return outcome.value if outcome.error is None else outcome.error
