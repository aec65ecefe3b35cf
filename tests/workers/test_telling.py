"""What a worker tells of its clients: soon after something has changed, and nothing as long as nothing does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from redisproxy.remote.order_server import OrderServer
from redisproxy.workers import orders
from redisproxy.workers.asking import Upward
from redisproxy.workers.taking import Taking
from redisproxy.workers.telling import NAME_S, TELL_S, Telling
from tests.remote.pair import pipe
from tests.simulation.network import SimNetwork
from tests.workers.rig import Client, Rig

A_MOMENT_S = 0.01


class Told:
    """The first worker of the rig, and what the control process hears from it.

    @ivar occupied: each time, how many clients the worker says it has. @ivar present: which came and went.
    """

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.occupied: list[int] = []
        self.present: list[tuple[set[int], set[int]]] = []
        upward, plane = Upward(rig.clock), rig.workers[0].local
        network: Any = SimNetwork(rig.net)
        self.telling = Telling(plane, Taking(plane, network), upward, rig.clock)
        handlers: dict[Any, Any] = {orders.Occupied: self._occupied, orders.Present: self._present}
        self.ends = pipe(rig.clock, upward.link(), OrderServer(rig.clock, handlers, lambda link: None))
        rig.advance(A_MOMENT_S)
        assert upward.there

    def _occupied(self, given: int, clients: int, given_raw: int, raw: int) -> None:
        self.occupied.append(clients)

    def _present(self, came: tuple[tuple[int, str], ...], gone: frozenset[int]) -> None:
        self.present.append(({number for number, _ in came}, set(gone)))


@pytest.fixture
def told() -> Iterator[Told]:
    rig = Rig()
    told = Told(rig)
    yield told
    told.telling.stop()
    told.ends[0].abortConnection()
    rig.end()


def test_clients_that_come_and_go_are_told_together_a_little_later(told: Told) -> None:
    told.telling.start()
    clients = [Client(told.rig.workers[0]) for _ in range(3)]
    told.rig.advance(TELL_S + A_MOMENT_S)
    assert told.occupied == [3] and not told.present
    told.rig.advance(NAME_S)
    assert told.present == [({client.id for client in clients}, set())]
    told.rig.workers[0].local.registry.get(clients[0].id).closing.abort()  # type: ignore[union-attr]
    told.rig.advance(TELL_S + A_MOMENT_S)
    assert told.occupied == [3, 2]
    told.rig.advance(NAME_S)
    assert told.present[1:] == [(set(), {clients[0].id})]


def test_clients_that_came_before_the_start_are_told(told: Told) -> None:
    Client(told.rig.workers[0])
    told.rig.advance(1)
    assert not told.occupied
    told.telling.start()
    told.rig.advance(TELL_S + A_MOMENT_S)
    assert told.occupied == [1]


def test_nothing_wakes_a_worker_whose_clients_stay(told: Told) -> None:
    before = len(told.rig.clock.getDelayedCalls())
    told.telling.start()
    Client(told.rig.workers[0])
    told.rig.advance(NAME_S + A_MOMENT_S)
    assert len(told.rig.clock.getDelayedCalls()) <= before


def test_nothing_is_told_after_the_stop(told: Told) -> None:
    told.telling.start()
    told.rig.advance(TELL_S + A_MOMENT_S)
    assert told.occupied == [0]
    Client(told.rig.workers[0])
    told.telling.stop()
    Client(told.rig.workers[0])
    told.rig.advance(NAME_S + A_MOMENT_S)
    assert told.occupied == [0] and not told.present
