"""The boundary between control plane and data plane: orders cross a simulated connection, which stalls and is cut.

It is cut before an order arrives, in the middle of one, or after one was carried out and before its answer is back. Each
side notices at a moment of its own. Then the control plane connects again.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import ConnectionLost
from twisted.protocols import amp

from redisproxy import config
from redisproxy.dataplane.interface import DataPlane, DataPlaneLost
from redisproxy.dataplane.order_client import OrderClient
from redisproxy.dataplane.remote import RemoteDataPlane
from redisproxy.dataplane.served import ServedDataPlane

if TYPE_CHECKING:
    from redisproxy.dataplane.order_server import OrderServer
    from tests.simulation.network import End
    from tests.simulation.world import World

Responder = Callable[[amp.AmpBox], Any]

OF_A_MOVE = ("HoldGate", "Drained", "Prepare", "Connect", "ProveWatches", "Bring", "Swap", "Abandon", "ReleaseGate")
MOMENTS = ("before", "during", "after")
"""Of the order at which the connection is cut: it does not arrive; it has begun; it is done and not answered."""


class Boundary:
    """One data plane in a process of its own.

    @ivar remote: what the control plane is given.
    """

    def __init__(self, world: World, plane: DataPlane, settings: config.Settings, open_server: Any) -> None:
        self._world = world
        self._chance = Random(f"{world.seed} boundary")
        self.remote = RemoteDataPlane(world.clock)
        self.served = ServedDataPlane(plane, settings, world.clock, open_server)
        self._ends: tuple[End, End] | None = None
        self._over = False
        self._cuts = self._drawn_cuts() if world.faulty else []

    def _drawn_cuts(self) -> list[tuple[str, int, str]]:
        """At the so many-th order of this name, in this moment."""
        pick = self._chance.choice
        return [(pick(OF_A_MOVE), self._chance.randint(1, 4), pick(MOMENTS)) for _ in range(pick((0, 1, 1, 2, 3)))]

    # -- the connection

    def connect(self) -> Deferred[None]:
        """Connect control plane and data plane."""
        near, far = self._world.net.pair("control", "data plane")
        self._ends = near, far
        client, server = self.remote.link(), self.served.link()
        self._watch_orders(server)
        for end, protocol in ((near, client), (far, server)):
            end.protocol = protocol
            protocol.makeConnection(end)
        return ensureDeferred(self._greet(client))

    async def _greet(self, client: OrderClient) -> None:
        try:
            await self.remote.greet(client)
        except DataPlaneLost:
            return  # cut again
        finally:
            self._world.clock.at(0.01, self._look, client)

    def _look(self, client: OrderClient) -> None:
        """Connect again some time after the control plane has noticed the loss."""
        if not client.lost:
            self._world.clock.at(0.01, self._look, client)
        elif not self._over:
            self._world.clock.at(self._chance.choice((0.0, 0.05, 0.5, 3.0)), self._connect_again)

    def _connect_again(self) -> None:
        if not self._over:
            self.connect().addErrback(self._world.crashed)

    # -- cutting it

    def _watch_orders(self, server: OrderServer) -> None:
        original = server.responder

        def responder(name: bytes) -> Responder | None:
            return self._may_cut(name.decode(), original(name))

        server.responder = responder  # type: ignore[method-assign]

    def _may_cut(self, name: str, responder: Responder | None) -> Responder | None:
        for at, (order, left, moment) in enumerate(self._cuts):
            if order == name and responder is not None:
                self._cuts[at] = order, left - 1, moment
                if left == 1:
                    del self._cuts[at]
                    return self._cutting(name, moment, responder)
        return responder

    def _cutting(self, name: str, moment: str, responder: Responder) -> Responder:
        def respond(box: amp.AmpBox) -> Any:
            if moment == "before":
                self._cut(name, moment)
                return Deferred()
            answer = responder(box)
            if moment == "during" or answer.called:
                self._cut(name, moment)
            else:
                answer.addBoth(self._cut_after, name)
            return answer

        return respond

    def _cut_after(self, result: Any, name: str) -> Any:
        self._cut(name, "after")
        return result

    def _cut(self, name: str, moment: str) -> None:
        """Nothing gets through from now on; each side learns of it some time later."""
        assert self._ends is not None
        clock = self._world.clock
        self._world.note("fate", f"the link is cut, {moment} {name}")
        for end in self._ends:
            end.stalled_until = clock.seconds() + 1000
            end.protocol.dataReceived = lambda data: None
            clock.at(self._chance.choice((0.0, 0.001, 0.02, 0.08)), end._lost, ConnectionLost())
