"""A leader that is cut off from its peers and from the new server behind the promotion, played in the simulation."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest
from twisted.internet.defer import ensureDeferred

from tests.simulation.fleet import CONNECTED_S, LIMIT_S, FleetWorld
from tests.simulation.fleet_fate import FleetFate
from tests.simulation.fleet_operator import FleetOperator

if TYPE_CHECKING:
    from redisproxy.remote.order_server import OrderServer
    from tests.simulation.fleet_proxy import FleetProxy

pytestmark = [
    pytest.mark.one_twin,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # of what was given up
]

PEERS_S, SERVER_S = 3.0, 20.0
"""The second is longer than the pause budget, a lease and the margin, after which nobody is held any more."""
SEEDS = range(3)


class CutOffBehindThePromotion(FleetFate):
    """At the first order to go to the new server, the leader can reach neither that nor its peers."""

    cut_off = False

    def watched(self, proxy: FleetProxy, server: OrderServer) -> OrderServer:
        answering = server.responder

        def responder(name: bytes) -> object:
            if name == b"Bring" and not self.cut_off:
                self.cut_off = True
                self._cut_off()
            return answering(name)

        server.responder = responder  # type: ignore[method-assign,assignment]
        return server

    def _cut_off(self) -> None:
        world = self.world
        leader = next(each for each in world.living if each.service.fleet._assembly.leading)
        assert world.target is not None
        for proxy in world.proxies:
            proxy.hit = True
            if proxy is not leader:
                self._block(leader.host, proxy.host, PEERS_S)
        self._block(leader.host, world.target.name.partition(":")[0], SERVER_S)
        self.quiet_at = world.clock.seconds() + SERVER_S

    async def run(self, count: int) -> None: ...


class OneSwitchover(FleetOperator):
    """Has one led, and never aborts it."""

    async def run(self, operations: int) -> None:
        await self.switchover()

    def _perhaps_abort(self) -> None: ...


class WithoutClients(FleetWorld):
    """Those of the leader may read what is old in the meantime."""

    def _play(self) -> None:
        self.write_configs(self.current)
        for proxy in self.proxies:
            proxy.start()
        self.run_until(self.ready, CONNECTED_S)
        switching = ensureDeferred(self.operator.run(1)).addErrback(self.crashed)
        self.run_until(lambda: switching.called, LIMIT_S)
        self.fate.heal()
        self._settle()
        self._stop()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_leader_that_could_not_ask_the_new_server_in_time_follows_its_peers_there_later(seed: int) -> None:
    world = WithoutClients(seed)
    fate = world.fate = CutOffBehindThePromotion(world)
    world.operator = OneSwitchover(world)
    outcome = world.play()
    gc.collect()  # what was given up in the middle must not disturb the next one
    assert not outcome.violation, "\n".join([*outcome.transcript, outcome.violation])
    assert fate.cut_off and world.current is not world.servers[0]
