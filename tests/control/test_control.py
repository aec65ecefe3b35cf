"""Pause, unpause and reload in memory: each combination has one answer."""

from __future__ import annotations

import gc
from typing import Any, cast

import pytest
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, globalLogPublisher
from zope.interface import provider

from redisproxy.control.control import Control
from redisproxy.control.interfaces import Rejected
from redisproxy.control.operations import BadRequest, WrongState
from redisproxy.figures.metrics import Metrics
from redisproxy.forwarding.gate import Gate, GateState


class FakePlan:
    changed = ("uplink.addr",)

    def __init__(self, proxy: FakeProxy) -> None:
        self.proxy = proxy
        self.fail: Exception | None = None

    async def prepare(self) -> None:
        assert self.proxy.gate.state is GateState.PAUSED
        self.proxy.events.append("scripts")

    def swap(self) -> None:
        assert self.proxy.gate.state is GateState.PAUSED
        if self.fail is not None:
            raise self.fail
        self.proxy.events.append("swap")

    def abandon(self) -> None:
        self.proxy.events.append("abandon")


class FakeProxy:
    drain_limit_s = 5.0
    busy = ""

    def __init__(self) -> None:
        self.clock = Clock()
        self.gate = Gate(self.clock)
        self.metrics = Metrics()
        self.events: list[str] = []
        self.preparing: Deferred[Any] = Deferred()
        self.plan = FakePlan(self)

    async def prepare_reload(self) -> FakePlan:
        await self.preparing
        return self.plan

    def drop_in_flight(self) -> list[dict[str, Any]]:
        count = self.gate.in_flight
        self.gate.release(count)
        return [{"id": number} for number in range(count)]

    def gate_closed(self) -> None:
        self.events.append("closed")

    def gate_opened(self) -> None:
        self.events += ["opened"] if self.gate.open else []


class Outcome:
    """What a Deferred came to."""

    def __init__(self, deferred: Deferred[Any]) -> None:
        self.deferred = deferred
        self.value: Any = None
        self.error: Exception | None = None
        deferred.addCallbacks(lambda value: setattr(self, "value", value), self._failed)

    def _failed(self, failure: Any) -> None:
        self.error = failure.value


@pytest.fixture
def proxy() -> FakeProxy:
    return FakeProxy()


@pytest.fixture
def control(proxy: FakeProxy) -> Control:
    return Control(cast(Any, proxy))


def test_pause_answers_at_once_and_twice_is_the_same_as_once(proxy: FakeProxy, control: Control) -> None:
    proxy.gate.admit(1)
    assert control.pause() == {"state": "pausing", "in_flight": 1}
    assert control.pause() == {"state": "pausing", "in_flight": 1}
    assert proxy.metrics.operations.pauses_total == 1 and proxy.events == ["closed"]
    proxy.gate.release(1)
    proxy.clock.advance(0)
    assert control.unpause() == {"state": "running", "in_flight": 0}


def test_unpausing_when_running_is_no_error(control: Control) -> None:
    assert control.unpause() == {"state": "running", "in_flight": 0}


def test_pause_drops_what_runs_past_the_deadline(proxy: FakeProxy, control: Control) -> None:
    proxy.gate.admit(2)
    control.pause()
    proxy.clock.advance(5)
    proxy.clock.advance(0)
    assert proxy.gate.state is GateState.PAUSED


def test_pause_and_wait_answers_when_everything_has_drained(proxy: FakeProxy, control: Control) -> None:
    proxy.gate.admit(1)
    outcome = Outcome(control.pause_and_wait(None))
    proxy.clock.advance(1)
    assert outcome.value is None
    proxy.gate.release(1)
    proxy.clock.advance(0)
    assert outcome.value == {"state": "paused", "in_flight": 0, "dropped": []}
    assert not proxy.clock.getDelayedCalls()


def test_pause_and_wait_names_what_it_dropped(proxy: FakeProxy, control: Control) -> None:
    proxy.gate.admit(2)
    outcome = Outcome(control.pause_and_wait(100))
    proxy.clock.advance(0.1)
    proxy.clock.advance(0)
    assert outcome.value["dropped"] == [{"id": 0}, {"id": 1}]


def test_unpause_ends_a_pending_pause_and_wait(proxy: FakeProxy, control: Control) -> None:
    proxy.gate.admit(1)
    outcomes = [Outcome(control.pause_and_wait(None)) for _ in range(2)]
    assert control.unpause()["state"] == "running"
    assert all(isinstance(each.error, WrongState) for each in outcomes)
    assert not proxy.clock.getDelayedCalls()


def test_unpause_ends_a_pending_pause_and_wait_while_a_reload_holds_the_gate(
    proxy: FakeProxy, control: Control
) -> None:
    proxy.gate.admit(1)
    reloading = Outcome(control.reload())
    proxy.preparing.callback(None)
    waiting = Outcome(control.pause_and_wait(None))
    assert control.unpause()["state"] == "pausing"
    assert isinstance(waiting.error, WrongState)
    proxy.gate.release(1)
    proxy.clock.advance(0)
    assert reloading.value["state"] == "running"


def test_a_cancelled_pause_and_wait_leaves_the_proxy_paused(proxy: FakeProxy, control: Control) -> None:
    proxy.gate.admit(1)
    outcome = Outcome(control.pause_and_wait(None))
    outcome.deferred.cancel()
    assert isinstance(outcome.error, CancelledError) and proxy.gate.state is GateState.PAUSING
    assert not proxy.clock.getDelayedCalls()


def test_reload_swaps_with_the_gate_closed_and_opens_it(proxy: FakeProxy, control: Control) -> None:
    outcome = Outcome(control.reload())
    assert proxy.gate.open
    proxy.preparing.callback(None)
    proxy.clock.advance(0)
    assert proxy.events == ["closed", "scripts", "swap", "opened"] and proxy.gate.open
    assert outcome.value["changed"] == ["uplink.addr"] and control.last.result["ok"]


def test_a_second_reload_at_the_same_time_is_refused(proxy: FakeProxy, control: Control) -> None:
    first = Outcome(control.reload())
    assert isinstance(Outcome(control.reload()).error, WrongState)
    proxy.preparing.callback(None)
    proxy.clock.advance(0)
    assert first.value is not None


def test_a_hangup_during_a_reload_is_carried_out_after_it(proxy: FakeProxy, control: Control) -> None:
    control.reload()
    control.reload_on_signal()
    control.reload_on_signal()
    proxy.preparing.callback(None)
    proxy.clock.advance(0)
    proxy.clock.advance(0)
    assert proxy.events.count("swap") == 2 and proxy.metrics.operations.reloads_total == 2


def test_a_hangups_reload_that_the_end_of_the_process_cuts_short_is_no_unhandled_error(
    proxy: FakeProxy, control: Control
) -> None:
    logged: list[Any] = []

    @provider(ILogObserver)
    def observe(event: Any) -> None:
        if event.get("log_failure"):
            logged.append(event)

    globalLogPublisher.addObserver(observe)
    try:
        control.reload_on_signal()
        stopped = Outcome(ensureDeferred(control.stop()))
        gc.collect()
    finally:
        globalLogPublisher.removeObserver(observe)
    assert stopped.deferred.called and stopped.error is None and not logged


def test_a_reload_that_the_end_of_the_process_cuts_short_says_so(control: Control) -> None:
    outcome = Outcome(control.reload())
    ensureDeferred(control.stop())
    assert isinstance(outcome.error, WrongState) and str(outcome.error) == "the proxy is shutting down"


def test_nothing_new_begins_while_the_process_ends(control: Control) -> None:
    ensureDeferred(control.stop())
    for begin in (control.reload, control.switchover):
        assert str(Outcome(begin()).error) == "the proxy is shutting down"


def test_a_reload_while_paused_stays_paused(proxy: FakeProxy, control: Control) -> None:
    control.pause()
    outcome = Outcome(control.reload())
    proxy.preparing.callback(None)
    proxy.clock.advance(0)
    assert outcome.value["state"] == "paused" and proxy.gate.reasons == {"operator"}


def test_a_rejected_reload_never_closes_the_gate(proxy: FakeProxy, control: Control) -> None:
    outcome = Outcome(control.reload())
    proxy.preparing.errback(Rejected("uplink: connection refused"))
    assert isinstance(outcome.error, BadRequest) and str(outcome.error) == "uplink: connection refused"
    assert proxy.events == [] and proxy.metrics.operations.reloads_rejected_total == 1
    assert control.last.result["ok"] is False
    proxy.preparing = Deferred()
    again = Outcome(control.reload())
    assert again.error is None
    proxy.preparing.errback(Rejected("again"))
    assert isinstance(again.error, BadRequest)


def test_a_swap_that_fails_opens_the_gate_and_leaves_no_trace(proxy: FakeProxy, control: Control) -> None:
    proxy.plan.fail = RuntimeError("bang")
    outcome = Outcome(control.reload())
    proxy.preparing.callback(None)
    proxy.clock.advance(0)
    assert isinstance(outcome.error, RuntimeError) and proxy.gate.open
    assert proxy.events[-2:] == ["abandon", "opened"]


def test_a_reload_past_the_drain_deadline_drops_and_goes_on(proxy: FakeProxy, control: Control) -> None:
    proxy.gate.admit(1)
    outcome = Outcome(control.reload())
    proxy.preparing.callback(None)
    proxy.clock.advance(5)
    proxy.clock.advance(0)
    assert outcome.value["dropped"] == [{"id": 0}] and proxy.gate.open
