"""A data plane as one in another process is reached: orders and answers cross an AMP connection, and take a while."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import ensureDeferred

from redisproxy.dataplane.interface import DataPlane
from redisproxy.remote.data_plane import RemoteDataPlane
from redisproxy.remote.served import ServedDataPlane
from tests.remote.pair import pipe
from tests.simulation.network import Net, SimNetwork

if TYPE_CHECKING:
    from redisproxy.dataplane.local import LocalDataPlane
    from tests.simulation.clock import SimClock

ROUND_TRIP_S = 0.01


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


class _Promptly:
    def __init__(self, target: Any, clock: SimClock) -> None:
        self._target = target
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        if name in ("gate", "move", "clients", "handover", "notes"):
            return _Promptly(getattr(self._target, name), self._clock)

        def order(*args: Any, **how: Any) -> Any:
            answer = getattr(self._target, name)(*args, **how)
            self._clock.run_until(self._clock.seconds() + ROUND_TRIP_S)
            return answer

        return order


def promptly(dataplane: DataPlane, clock: SimClock) -> DataPlane:
    """The same data plane; the time that order and answer are on their way passes within the call."""
    return cast("DataPlane", _Promptly(dataplane, clock))
