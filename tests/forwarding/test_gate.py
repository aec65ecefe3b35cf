"""The gate, in memory."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from redisproxy.forwarding.gate import Gate, GateClosed, GateReopened, GateState


class Waiting:
    def __init__(self, then: object = None) -> None:
        self.calls = 0
        self.then = then

    def gate_opened(self) -> None:
        self.calls += 1
        if callable(self.then):
            self.then()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> Gate:
    return Gate(clock)


def test_it_begins_open_and_empty(gate: Gate) -> None:
    assert gate.open and gate.state is GateState.RUNNING and gate.in_flight == 0


def test_closing_with_commands_in_flight_is_pausing_until_the_last_one_is_released(gate: Gate) -> None:
    gate.admit(2)
    gate.close("operator")
    seen = [gate.state]
    for _ in range(2):
        gate.release(1)
        seen.append(gate.state)
    assert seen == [GateState.PAUSING, GateState.PAUSING, GateState.PAUSED]


def test_nothing_is_admitted_through_a_closed_gate(gate: Gate) -> None:
    gate.close("operator")
    with pytest.raises(GateClosed):
        gate.admit(1)


def test_releasing_more_than_was_admitted_is_a_bug_that_shows(gate: Gate) -> None:
    with pytest.raises(ValueError, match="released"):
        gate.release(1)


def test_drained_fires_in_a_later_turn_than_the_last_release(gate: Gate, clock: Clock) -> None:
    gate.admit(1)
    gate.close("operator")
    fired: list[object] = []
    gate.drained().addCallback(fired.append)
    gate.release(1)
    assert not fired
    clock.advance(0)
    assert fired == [None]


def test_drained_fires_when_nothing_was_in_flight(gate: Gate, clock: Clock) -> None:
    gate.close("operator")
    fired: list[object] = []
    gate.drained().addCallback(fired.append)
    clock.advance(0)
    assert fired == [None]


def test_drained_fails_when_the_gate_opens_first(gate: Gate) -> None:
    gate.admit(1)
    gate.close("operator")
    drained = gate.drained()
    gate.reopen("operator")
    failures: list[object] = []
    drained.addErrback(lambda failure: failures.append(failure.check(GateReopened)))
    assert failures == [GateReopened]


def test_drained_on_an_open_gate_fails_at_once(gate: Gate) -> None:
    failures: list[object] = []
    gate.drained().addErrback(lambda failure: failures.append(failure.check(GateReopened)))
    assert failures == [GateReopened]


def test_a_cancelled_wait_is_forgotten(gate: Gate, clock: Clock) -> None:
    gate.admit(1)
    gate.close("operator")
    drained = gate.drained()
    failures: list[object] = []
    drained.addErrback(lambda failure: failures.append(failure.check(CancelledError)))
    drained.cancel()
    gate.release(1)
    clock.advance(0)
    assert failures == [CancelledError]


def test_every_wait_is_told(gate: Gate, clock: Clock) -> None:
    gate.close("operator")
    fired: list[object] = []
    for _ in range(3):
        gate.drained().addCallback(fired.append)
    clock.advance(0)
    assert len(fired) == 3


def test_two_reasons_have_to_go_before_it_opens(gate: Gate) -> None:
    waiting = Waiting()
    gate.close("operator")
    gate.close("reload")
    gate.hold(waiting)
    gate.reopen("reload")
    assert not gate.open and not waiting.calls
    gate.reopen("operator")
    assert gate.open and waiting.calls == 1


def test_who_waits_is_let_in_once_and_in_order(gate: Gate) -> None:
    order: list[str] = []
    first, second = Waiting(lambda: order.append("first")), Waiting(lambda: order.append("second"))
    gate.close("operator")
    gate.hold(first)
    gate.hold(second)
    gate.hold(first)
    assert gate.held == 2
    gate.reopen("operator")
    assert order == ["first", "second"] and gate.held == 0


def test_who_has_gone_is_not_called(gate: Gate) -> None:
    waiting = Waiting()
    gate.close("operator")
    gate.hold(waiting)
    gate.unhold(waiting)
    gate.reopen("operator")
    assert not waiting.calls


def test_a_gate_that_closes_again_while_opening_holds_the_rest(gate: Gate) -> None:
    second = Waiting()
    gate.close("operator")
    gate.hold(Waiting(lambda: gate.close("reload")))
    gate.hold(second)
    gate.reopen("operator")
    assert not gate.open and not second.calls and gate.held == 1


def test_a_release_between_close_and_reopen_does_not_wake_the_next_pause(gate: Gate, clock: Clock) -> None:
    gate.admit(1)
    gate.close("operator")
    gate.drained().addErrback(lambda _: None)
    gate.release(1)
    gate.reopen("operator")
    gate.admit(1)
    gate.close("operator")
    fired: list[object] = []
    gate.drained().addCallback(fired.append)
    clock.advance(0)
    assert not fired
    gate.release(1)
    clock.advance(0)
    assert fired == [None]


def test_it_tells_since_when_each_waits(gate: Gate, clock: Clock) -> None:
    gate.close("operator")
    holders = [Waiting(), Waiting(), Waiting()]
    for holder in holders:
        clock.advance(1.0)
        gate.hold(holder)
    gate.hold(holders[0])
    gate.unhold(holders[1])
    assert gate.held_times == [1.0, 3.0] and gate.held_since == 1.0


def test_who_is_stopped_by_the_next_pause_has_waited_since_the_first(gate: Gate, clock: Clock) -> None:
    gate.close("operator")
    gate.hold(Waiting(lambda: gate.close("reload")))
    gate.hold(Waiting())
    clock.advance(1.0)
    gate.reopen("operator")
    assert gate.held_times == [0.0]
