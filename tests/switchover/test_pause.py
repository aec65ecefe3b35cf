"""The pause of a switchover: what fits the budget, what is left for rolling back, and that it ends once."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred, succeed
from twisted.internet.task import Clock

from redisproxy.config import TcpAddress
from redisproxy.switchover.pause import Pause
from redisproxy.switchover.report import Report, SwitchoverReport


class Clients:
    """The control plane, as far as it holds clients."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def hold(self) -> Deferred[None]:
        self.log.append("hold")
        return succeed(None)

    def release(self) -> Deferred[Report]:
        self.log.append("release")
        return succeed({"pause_ms": 12.0, "held": 3})

    async def swap(self) -> None:
        self.log.append("swap")

    def told_to_go_on(self) -> Deferred[None]:
        return Deferred()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def clients() -> Clients:
    return Clients()


@pytest.fixture
def report(clock: Clock) -> SwitchoverReport:
    return SwitchoverReport(clock, TcpAddress("old", 1), TcpAddress("new", 1))


@pytest.fixture
def pause(clients: Clients, report: SwitchoverReport, clock: Clock) -> Pause:
    return Pause(clients, report, 1000, clock)


def begin(pause: Pause) -> None:
    assert ensureDeferred(pause.begin()).called


def test_clients_are_held_and_go_on_once_with_what_they_waited_in_the_report(
    pause: Pause, clients: Clients, report: SwitchoverReport
) -> None:
    begin(pause)
    for _ in range(2):
        assert ensureDeferred(pause.end()).called
    assert clients.log == ["hold", "release"]
    assert (report.fields["pause_ms"], report.fields["held"]) == (12.0, 3)


def test_a_pause_that_has_not_begun_has_no_end(pause: Pause, clients: Clients) -> None:
    assert ensureDeferred(pause.end()).called
    assert clients.log == [] and pause.budget_ends is None


def test_a_fifth_of_the_budget_is_kept_for_rolling_back(pause: Pause, clock: Clock) -> None:
    clock.advance(5)
    begin(pause)
    clock.advance(0.5)
    work: Deferred[None] = Deferred()
    waiting = ensureDeferred(pause.within(work))
    clock.advance(0.299)
    assert not waiting.called
    clock.advance(0.002)
    assert isinstance(waiting.result.value, TimeoutError) and work.called  # type: ignore[attr-defined]
    waiting.addErrback(lambda _: None)
    assert pause.budget_ends == 6.0


def test_work_that_is_done_in_time_gives_its_result(pause: Pause) -> None:
    async def work() -> str:
        return "done"

    begin(pause)
    waiting = ensureDeferred(pause.within(work()))
    assert waiting.result == "done"


def test_work_that_begins_after_the_budget_gets_no_time(pause: Pause, clock: Clock) -> None:
    begin(pause)
    clock.advance(2)
    nothing: Deferred[None] = Deferred()
    waiting = ensureDeferred(pause.within(nothing))
    clock.advance(0)
    assert waiting.called
    waiting.addErrback(lambda failure: failure.trap(TimeoutError))


def test_what_comes_too_late_is_not_begun_at_all(pause: Pause, clock: Clock) -> None:
    begun: list[str] = []

    async def fence() -> None:
        begun.append("fence")

    begin(pause)
    clock.advance(0.8)  # this process has stood still
    too_late = ensureDeferred(pause.within(fence()))
    clock.advance(0)
    with pytest.raises(TimeoutError):
        too_late.result.raiseException()  # type: ignore[attr-defined]
    assert not begun
    too_late.addErrback(lambda _: None)
