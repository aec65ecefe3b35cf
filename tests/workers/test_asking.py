"""What clients ask about all clients goes to the control process of the moment, also while one replaces the other."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.shared.every_worker import ClientFilter, NotAnswered
from redisproxy.workers.asking import ATTEMPTS, NOBODY_THERE, Asking, Upward
from redisproxy.workers.orders import ASKING_S

LATER_S = 1.0


class ControlProcess:
    """The link to one."""

    def __init__(self) -> None:
        self.asked: list[Deferred[Any]] = []

    async def greet(self) -> None: ...

    def abort(self) -> None: ...

    def give(self, order: Any, **arguments: Any) -> Deferred[Any]:
        self.asked.append(Deferred())
        return self.asked[-1]

    def ends(self) -> None:
        for each in self.asked:
            each.errback(DataPlaneLost("the connection to the data plane was lost"))


class Worker:
    """A worker whose clients ask."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.upward = Upward(self.clock)
        self.asking = Asking(self.upward, self.clock)

    def gets(self, control: Any) -> None:
        self.upward._connected(control)

    def loses(self, control: Any) -> None:
        self.upward._lost(control)
        control.ends()

    def list(self) -> list[Any]:
        told: list[Any] = []
        self.asking.list(ClientFilter()).addBoth(told.append)
        return told


def test_a_list_is_asked_for_when_there_is_a_control_process_again() -> None:
    worker, control = Worker(), ControlProcess()
    told = worker.list()
    worker.clock.advance(LATER_S)
    worker.gets(control)
    control.asked[0].callback(b"id=1\n")
    assert told == [b"id=1\n"]


def test_a_list_whose_control_process_goes_is_asked_for_at_the_next() -> None:
    worker, before, after = Worker(), ControlProcess(), ControlProcess()
    worker.gets(before)
    told = worker.list()
    worker.loses(before)
    worker.gets(after)
    worker.clock.pump([0.1] * 3)
    after.asked[0].callback(b"id=1\n")
    assert told == [b"id=1\n"]


def test_nobody_is_disconnected_twice_because_the_control_process_goes() -> None:
    worker, before, after = Worker(), ControlProcess(), ControlProcess()
    worker.gets(before)
    told: list[Any] = []
    worker.asking.kill(ClientFilter(), 0).addBoth(told.append)
    worker.loses(before)
    worker.gets(after)
    worker.clock.pump([0.1] * 3)
    assert told[0].check(NotAnswered) and not after.asked


def test_without_a_control_process_it_is_told_in_time() -> None:
    worker = Worker()
    told = worker.list()
    worker.clock.advance(ASKING_S - 0.1)
    assert not told
    worker.clock.advance(0.2)
    assert told[0].check(NotAnswered) and told[0].getErrorMessage() == NOBODY_THERE


def test_it_is_not_asked_for_without_end() -> None:
    worker = Worker()
    told = worker.list()
    for _ in range(ATTEMPTS):
        control = ControlProcess()
        worker.gets(control)
        worker.clock.pump([0.1] * 2)
        worker.loses(control)
    assert told[0].check(NotAnswered)
