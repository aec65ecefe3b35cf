"""A data plane that is reached with a delay, as one in another process is: orders and answers take a while each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred

from redisproxy.dataplane.interface import DataPlane
from redisproxy.dataplane.local import LocalDataPlane
from tests.simulation.clock import SimClock

DELAY_S = 0.001
CANCELLABLE = {"drained", "server_known", "connect", "prove_watches", "bring", "give_notice"}


class _LateOrders:
    def __init__(self, target: Any, clock: SimClock) -> None:
        self._target = target
        self._clock = clock

    def __getattr__(self, name: str) -> Callable[..., Deferred[Any]]:
        return lambda *args, **how: self._order(name, lambda: getattr(self._target, name)(*args, **how))

    def _order(self, name: str, carry_out: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        running: list[Deferred[Any]] = []

        def cancel(_: object) -> None:
            for each in running if name in CANCELLABLE else ():
                each.cancel()

        answer: Deferred[Any] = Deferred(cancel)

        def arrive() -> None:
            if not answer.called or name not in CANCELLABLE:
                running.append(carry_out().addBoth(lambda result: self._clock.callLater(DELAY_S, deliver, result)))

        def deliver(result: Any) -> None:
            if not answer.called:
                answer.callback(result)

        self._clock.callLater(DELAY_S, arrive)
        return answer


class LateDataPlane(_LateOrders):
    """One that is not in this process."""

    def __init__(self, local: DataPlane, clock: SimClock) -> None:
        super().__init__(local, clock)
        self.gate = _LateOrders(local.gate, clock)
        self.move = _LateOrders(local.move, clock)
        self.clients = _LateOrders(local.clients, clock)


def late(local: LocalDataPlane, clock: SimClock) -> DataPlane:
    """A C{rig.Seam}."""
    return cast(DataPlane, LateDataPlane(local, clock))
