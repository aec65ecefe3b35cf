"""A leader that dies in a failover: its peers lift its fence as soon as that is safe, in the simulation."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest
from twisted.internet.defer import ensureDeferred

from tests.simulation.failovers import FailoverFate, FailoverOperator, FailoverWorld
from tests.simulation.fleet import CONNECTED_S, LIMIT_S

if TYPE_CHECKING:
    from redisproxy.remote.order_server import OrderServer
    from tests.simulation.fleet_proxy import FleetProxy
    from tests.simulation.redis import Server

pytestmark = [
    pytest.mark.one_twin,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # of what was given up
]

LIFTED_S = 12.0
"""The leader's lease, and what asking the servers takes; an operator would come later."""
REPLICA_S = 60.0
"""Sentinels make the primary that was left a replica by then."""
PROXIES = 3


class DiesBehindItsFence(FailoverFate):
    """The leader dies at an order.

    @ivar fenced: the primary was, by then.
    """

    died = fenced = False
    dies_at = b"ProveWatches"

    def watched(self, proxy: FleetProxy, server: OrderServer) -> OrderServer:
        answering = server.responder

        def responder(name: bytes) -> object:
            if name == self.dies_at and not self.died:
                self.died, self.fenced = True, is_fenced(self.world.servers[0])
                leader = next(each for each in self.world.living if each.service.fleet._assembly.leading)
                self._note(f"{leader} dies behind its fence")
                self.world.clock.at(0, leader.kill)
            return answering(name)

        server.responder = responder  # type: ignore[method-assign,assignment]
        return server


class World(FailoverWorld):
    """Nothing else happens.

    @ivar lifted: the primary takes writes again, before an operator would look. @ivar limit_s: how long they have.
    """

    lifted = False
    limit_s = LIFTED_S

    def _play(self) -> None:
        self.write_configs(self.current)
        for proxy in self.proxies:
            proxy.start()
        self.run_until(self.ready, CONNECTED_S)
        assert isinstance(self.operator, FailoverOperator)
        failing_over = ensureDeferred(self.operator.failover()).addErrback(self.crashed)
        self.run_until(lambda: failing_over.called, LIMIT_S)
        self.run_until(lambda: not is_fenced(self.servers[0]), self.now + self.limit_s)
        self.lifted = not is_fenced(self.servers[0])
        self.fate.heal()
        self._settle()
        self._stop()


def is_fenced(server: Server) -> bool:
    return server.config["min-replicas-to-write"] != "0"


def played(dies_at: bytes, limit_s: float) -> list[World]:
    """Runs in which the leader dies at this order."""
    worlds = []
    for seed in [seed for seed in range(40) if len(FailoverWorld(seed).proxies) == PROXIES][:2]:
        world = World(seed)
        world.limit_s = limit_s
        fate = world.fate = DiesBehindItsFence(world)
        fate.dies_at = dies_at
        world.operator = FailoverOperator(world)
        outcome = world.play()
        gc.collect()  # what was given up in the middle must not disturb the next one
        assert not outcome.violation, "\n".join([*outcome.transcript, outcome.violation])
        assert fate.fenced and world.lifted, "\n".join(outcome.transcript)
        worlds.append(world)
    return worlds


def test_peers_lift_the_fence_of_a_leader_that_could_not_have_told_the_sentinels() -> None:
    assert all(world.primary is world.servers[0] for world in played(b"ProveWatches", LIFTED_S))


def test_peers_lift_the_fence_of_a_primary_that_was_left_when_it_is_a_replica() -> None:
    assert all(world.primary is not world.servers[0] for world in played(b"BringToPromoted", REPLICA_S))
