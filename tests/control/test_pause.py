"""Pause and unpause in memory: each combination has one answer."""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from redisproxy.control.errors import WrongState
from redisproxy.forwarding.gate import GateState
from tests.control.rig import Outcome, Rig

A_MOMENT_S = 0.02


def answer(rig: Rig, outcome: Outcome) -> object:
    rig.advance(A_MOMENT_S)
    return outcome.value


def test_pause_answers_at_once_and_twice_is_the_same_as_once(rig: Rig) -> None:
    rig.in_flight(1)
    pausing = {"state": "pausing", "in_flight": 1}
    assert answer(rig, Outcome(rig.operations.pause())) == pausing
    assert answer(rig, Outcome(rig.operations.pause())) == pausing
    assert rig.control.metrics.pauses_total == 1
    rig.servers[0].wake()
    rig.advance(A_MOMENT_S)
    assert answer(rig, Outcome(rig.operations.unpause())) == {"state": "running", "in_flight": 0}


def test_unpausing_when_running_is_no_error(rig: Rig) -> None:
    assert answer(rig, Outcome(rig.operations.unpause())) == {"state": "running", "in_flight": 0}


def test_pause_drops_what_runs_past_the_deadline(rig: Rig) -> None:
    clients = rig.in_flight(2)
    rig.operations.pause()
    rig.advance(4.9)
    assert not any(client.gone for client in clients)
    rig.advance(0.2)
    assert rig.gate.state is GateState.PAUSED and all(client.gone for client in clients)


def test_pause_and_wait_answers_when_everything_has_drained(rig: Rig) -> None:
    rig.in_flight(1)
    outcome = Outcome(rig.operations.pause_and_wait(None))
    rig.advance(1)
    assert outcome.value is None
    rig.servers[0].wake()
    assert answer(rig, outcome) == {"state": "paused", "in_flight": 0, "dropped": []}


def test_pause_and_wait_names_what_it_dropped(rig: Rig) -> None:
    clients = rig.in_flight(2)
    outcome = Outcome(rig.operations.pause_and_wait(100))
    rig.advance(0.2)
    assert sorted((each["id"], each["pending"]) for each in outcome.value["dropped"]) == [(1, 1), (2, 1)]
    assert set(outcome.value["dropped"][0]) == {"id", "addr", "name", "cmd", "pending", "age_s"}
    assert all(client.gone for client in clients)


def test_who_is_dropped_is_named_with_the_command_in_flight_not_with_an_earlier_one(rig: Rig) -> None:
    first = rig.client()
    first.send("CLIENT", "SETINFO", "LIB-NAME", "redis-py")
    rig.advance(0.01)
    rig.in_flight(1)
    first.send("GET", "a")
    rig.advance(0.01)
    outcome = Outcome(rig.operations.pause_and_wait(100))
    rig.advance(0.2)
    assert [each["cmd"] for each in outcome.value["dropped"]] == ["incr", "get"]  # who has waited longest comes first


def test_a_deadline_that_was_met_drops_nobody_later(rig: Rig) -> None:
    rig.in_flight(1)
    rig.operations.pause_and_wait(1000)
    rig.servers[0].wake()
    rig.advance(0.1)
    rig.operations.unpause()
    rig.advance(0.1)
    (later,) = rig.in_flight(1)
    rig.advance(2)
    assert not later.gone


def test_unpause_ends_a_pending_pause_and_wait(rig: Rig) -> None:
    rig.in_flight(1)
    outcomes = [Outcome(rig.operations.pause_and_wait(None)) for _ in range(2)]
    rig.advance(A_MOMENT_S)
    assert answer(rig, Outcome(rig.operations.unpause())) == {"state": "running", "in_flight": 1}
    assert all(isinstance(each.error, WrongState) for each in outcomes)


def test_unpause_ends_a_pending_pause_and_wait_while_a_reload_holds_the_gate(rig: Rig) -> None:
    rig.name_server(rig.servers[1])
    rig.in_flight(1)
    reloading = Outcome(rig.operations.reload())
    rig.advance(0.1)
    assert rig.gate.reasons == {"reload"}
    waiting = Outcome(rig.operations.pause_and_wait(None))
    rig.advance(A_MOMENT_S)
    unpaused = Outcome(rig.operations.unpause())
    assert answer(rig, unpaused) == {"state": "pausing", "in_flight": 1}
    assert isinstance(waiting.error, WrongState)
    rig.servers[0].wake()
    rig.advance(0.1)
    assert reloading.value["state"] == "running"


def test_a_cancelled_pause_and_wait_leaves_the_proxy_paused(rig: Rig) -> None:
    rig.in_flight(1)
    outcome = Outcome(rig.operations.pause_and_wait(None))
    rig.advance(A_MOMENT_S)
    outcome.deferred.cancel()
    assert isinstance(outcome.error, CancelledError) and rig.gate.state is GateState.PAUSING


def test_without_sentinels_the_data_plane_is_not_asked_again_and_again(rig: Rig) -> None:
    rig.advance(2)
    assert not rig.orders
