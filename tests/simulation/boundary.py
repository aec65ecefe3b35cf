"""The boundary between control plane and data plane: orders cross a simulated connection, which stalls and is cut.

It is cut before an order arrives, when one has begun, or after one was carried out and before its answer is back. Each
side notices at a moment of its own, or by the other's silence. Then the control plane connects again; or it has died,
and a new one connects.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.error import ConnectionLost

from redisproxy.control.shutdown import Shutdown
from redisproxy.dataplane.interface import SWITCHOVER, DataPlaneLost
from redisproxy.remote.data_plane import RemoteDataPlane
from redisproxy.remote.interrupted import MARGIN_S
from redisproxy.remote.order_client import OrderClient
from redisproxy.remote.served import ServedDataPlane
from tests.simulation.copying import marked
from tests.simulation.moments import Moments
from tests.simulation.network import End, SimNetwork

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.control.configuration import Configuration
    from redisproxy.dataplane.local import LocalDataPlane
    from redisproxy.remote.order_server import OrderServer
    from tests.simulation.world import World

DEATHS = 0.3
NEVER = 1000.0
NOTICED_AFTER_S = (0.0, 0.001, 0.02, 0.08, 0.4, NEVER)
"""How long it takes one side to learn of it; who never does finds the other one silent."""


class Boundary:
    """One data plane in a process of its own, and its connections to the control plane.

    @ivar remote: what the control plane is given.
    """

    def __init__(self, world: World, local: LocalDataPlane, configuration: Configuration, network: SimNetwork) -> None:
        self._world = world
        self._chance = Random(f"{world.seed} boundary")
        self._local = local
        self._configuration = configuration
        self.remote = RemoteDataPlane(world.clock, configuration.found_in_force)
        self._served = ServedDataPlane(local, local.in_force.settings, network, world.clock)
        self._lost_at: float | None = None
        self._watch_the_end_of_a_switchover()
        self._ends: tuple[End, End] | None = None
        self._client: OrderClient | None = None
        self._newest: OrderClient | None = None
        self._over = False
        counts = (0, 1, 2, 3) if world.faulty else (0,)
        self._moments = Moments(self._chance, counts, self._cut, lambda: world.ending)

    # -- the connection

    @property
    def usable(self) -> bool:
        """Whether the control plane gives orders on the connection of the moment."""
        return self._client is not None and not self._client.lost

    def connect(self) -> None:
        """Connect control plane and data plane."""
        if self._over:
            return
        near, far = self._world.net.pair("control", "data plane")
        self._ends = near, far
        client, server = self.remote.link(), self._served.link()
        self._newest = client
        self._moments.watch(server)
        for end, protocol in ((near, client), (far, server)):
            end.protocol = protocol
            protocol.makeConnection(end)
        ensureDeferred(self._use(client)).addErrback(self._world.crashed)

    async def _use(self, client: OrderClient) -> None:
        self._world.clock.at(0.01, self._look, client)
        try:
            await self.remote.use(client)
        except DataPlaneLost:
            return
        self._client = client
        self._world.note("boundary", "control plane and data plane are connected")
        if self._configuration.settings != self._local.in_force.settings:
            self._world.fail("the control plane is connected and does not know which settings are in force")

    def _look(self, client: OrderClient) -> None:
        """Connect again some time after the control plane has noticed the loss."""
        if not client.lost:
            self._world.clock.at(0.01, self._look, client)
            return
        self._world.clock.at(self._chance.choice((0.0, 0.05, 0.5, 3.0)), self.connect)

    async def stop(self) -> None:
        """The data plane's process is told to end, too. One that has its control plane has ended with it."""
        self._over = True
        await self._served.stop()
        if self._newest is not None:
            self._newest.abort()
        if "Stop" in self._moments.orders:
            return
        shutdown = Shutdown(self._local, lambda: self._local.in_force.settings.shutdown, self._world.clock)
        shutdown.begin()
        await shutdown.let_clients_leave()
        await shutdown.close_clients()
        await self._local.stop()

    # -- what the data plane decides by itself

    def _watch_the_end_of_a_switchover(self) -> None:
        moves: Any = self._served._moves
        interrupted: Any = self._served._interrupted
        ask, release, new = interrupted._look, moves.release, ""

        async def look(old: Settings, prepared: Settings | None) -> Any:
            nonlocal new
            new = "" if prepared is None else str(prepared.uplink.address)
            self._lost_at = self._lost_at or self._world.clock.seconds()
            return await ask(old, prepared)

        def released(reason: str) -> Any:
            if reason == SWITCHOVER and self._lost_at is not None:
                self._check_decision(self._world.net.hosts.get(new), self._world.clock.seconds() - self._lost_at)
                self._lost_at = None
            return release(reason)

        interrupted._look, moves.release = look, released

    def _check_decision(self, new: Any, after_s: float) -> None:
        """Nobody is left at a fenced server while the other one has its data and takes writes."""
        old, world = self._world.in_use, self._world
        if new is None or new is old or old.config["min-replicas-to-write"] == "0" or after_s >= MARGIN_S:
            return
        if marked(new) or (new.repl.primary is None and new.repl.replid2 == old.repl.replid):
            world.fail(f"clients go on at {old.name}, which is fenced, and {new.name} was promoted")

    # -- breaking it

    def stall(self, seconds: float) -> None:
        """Nothing gets through for a while."""
        for end in self._ends or ():
            end.stalled_until = self._world.clock.seconds() + seconds

    def _cut(self, server: OrderServer, when: str) -> bool:
        """Nothing gets through from now on; each side learns of it some time later."""
        clock = self._world.clock
        self._world.note("fate", f"the link is cut, {when}")
        for end in self._ends or ():
            end.peer = nowhere = End(self._world.net, end.getHost(), "nowhere")
            nowhere.gone = True
            clock.at(self._chance.choice(NOTICED_AFTER_S), end._lost, ConnectionLost())
        if self._chance.random() < DEATHS:
            clock.at(self._chance.choice((0.0, 0.0005, 0.002)), self._die)
        return False

    def _die(self) -> None:
        """The control plane's process dies in a switchover, which it neither goes on with nor undoes."""
        if self._world.control.switchover.running is not None:
            self._world.note("fate", "the control plane dies")
            self._world.control.switchover.running._roll_back = _nothing  # type: ignore[method-assign]
            running = self._world.control.exclusion._running
            assert running is not None
            running.cancel()


async def _nothing() -> bool:
    return False
