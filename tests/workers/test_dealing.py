"""Which worker gets a connection: the one with the fewest clients, unless it has stalled."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.testing import MemoryReactorClock

from redisproxy import config
from redisproxy.net.listening import ListeningSocket
from redisproxy.workers.dealing import MOST_UNDER_WAY, PATIENCE_S, Dealing
from redisproxy.workers.members import Members

DOCUMENT = {"uplink": {"addr": "10.0.0.1:6379"}, "listen": {"addr": "127.0.0.1:7000"}, "workers": 2}


class Worker:
    """What L{Dealing} sees of a worker; it takes connections when the test says so."""

    def __init__(self, number: int, settings: config.Settings, clock: Any) -> None:
        self.number, self.settings, self.clock = number, settings, clock
        self.serving, self.label = True, f"worker {number}"
        self.clients = self.raw = self
        self.now = self.under_way = 0
        self.took = 0.0
        self.waiting: list[Deferred[None]] = []

    @property
    def load(self) -> int:
        return self.now

    def take(self, listener: int, is_raw: bool, full: bool, descriptor: int) -> Deferred[None]:
        self.took = self.took if self.under_way else self.clock.seconds()
        self.now += 1
        self.under_way += 1
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def takes(self, count: int) -> None:
        """It has taken so many of those on their way to it."""
        for _ in range(count):
            self.under_way -= 1
            self.took = self.clock.seconds()
            self.waiting.pop(0).callback(None)


class Bed:
    """A proxy that deals to two workers, and its clients."""

    def __init__(self) -> None:
        self.clock: Any = MemoryReactorClock()
        settings = config.Settings.model_validate(DOCUMENT)
        self.members = Members(settings, self.clock)
        self.workers = [Worker(number, settings, self.clock) for number in (1, 2)]
        self.dealing = Dealing(self.members, lambda: self.workers, self.clock)
        self.members.changed = self.dealing.steer
        listening = socket.create_server(("127.0.0.1", 0), backlog=1000)
        listening.setblocking(False)
        self.address = listening.getsockname()
        self.dealing.take({settings.listen[0].address: [ListeningSocket(listening)]})
        self.dealing.resume()
        self.clients: list[socket.socket] = []
        for worker in self.workers:
            self.members.join(worker)  # type: ignore[arg-type]

    def connect(self, count: int) -> None:
        self.clients += [socket.create_connection(self.address) for _ in range(count)]
        for _ in range(count):
            self.accept()

    def accept(self) -> None:
        """As the reactor has it do, which does not ask who accepts nobody."""
        for port in self.dealing.ports:
            port.doRead()

    @property
    def counts(self) -> list[int]:
        return [worker.now for worker in self.workers]


@pytest.fixture
def bed() -> Iterator[Bed]:
    bed = Bed()
    yield bed
    ensureDeferred(bed.dealing.close())
    for worker in bed.workers:
        worker.takes(len(worker.waiting))
    for client in bed.clients:
        client.close()


def test_a_slow_worker_gets_as_many_as_a_quick_one(bed: Bed) -> None:
    slow, quick = bed.workers
    for _ in range(10):
        bed.connect(40)
        quick.takes(len(quick.waiting))
        slow.takes(5)
        bed.clock.advance(0.1)
    while slow.waiting:
        slow.takes(1)
        quick.takes(len(quick.waiting))
        bed.accept()
    assert bed.counts == [200, 200]


def test_nobody_is_accepted_for_a_worker_with_enough_on_their_way_and_others_get_them_once_it_has_stalled(
    bed: Bed,
) -> None:
    stalled, quick = bed.workers
    bed.connect(100)
    quick.takes(len(quick.waiting))
    assert bed.counts == [MOST_UNDER_WAY, MOST_UNDER_WAY]
    bed.clock.advance(PATIENCE_S / 2)
    bed.accept()
    assert sum(bed.counts) == 2 * MOST_UNDER_WAY
    bed.clock.advance(PATIENCE_S)
    while sum(bed.counts) < 100:
        bed.connect(1)
        quick.takes(len(quick.waiting))
    assert stalled.now == MOST_UNDER_WAY


def test_nothing_is_to_happen_once_nobody_is_accepted_any_more(bed: Bed) -> None:
    for worker in bed.workers:
        worker.under_way = MOST_UNDER_WAY
    bed.dealing.steer()
    assert bed.clock.getDelayedCalls()
    ensureDeferred(bed.dealing.close())
    assert not bed.clock.getDelayedCalls()
