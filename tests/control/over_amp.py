"""A data plane as one in another process is reached: orders and answers cross an AMP connection, and take a while."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from twisted.internet.defer import ensureDeferred

from redisproxy.dataplane.interface import DataPlane
from redisproxy.dataplane.remote import RemoteDataPlane
from redisproxy.dataplane.served import ServedDataPlane
from tests.dataplane.pair import pipe
from tests.simulation.network import Net, SimNetwork

if TYPE_CHECKING:
    from redisproxy.dataplane.local import LocalDataPlane
    from tests.simulation.clock import SimClock


def over_amp(local: LocalDataPlane, clock: SimClock) -> DataPlane:
    """A C{rig.Seam}."""
    network = SimNetwork(Net(clock, Random(1)))  # nobody is asked: the connection lasts
    remote = RemoteDataPlane(clock, lambda settings: None)
    served = ServedDataPlane(local, local.in_force.settings, network, clock)
    client, server = remote.link(), served.link()
    pipe(clock, client, server)
    used = ensureDeferred(remote.use(client))
    clock.run_until(clock.seconds() + 0.1)
    assert used.called
    return remote
