"""Reload in memory: the sequence of its orders, and what is left when any of them fails or is cut short."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from redisproxy.control.errors import BadRequest, WrongState
from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.remote.errors import DataPlaneFailed
from tests.control.rig import Outcome, Rig

TIME_S = 0.2
"""What a reload takes."""
IN_SEQUENCE = ["prepare", "connect", "hold reload", "drained", "bring", "swap", "release reload"]
ORDERS = ["prepare", "connect", "state", "hold", "drained", "bring", "swap"]


def reload(rig: Rig) -> Outcome:
    """A reload to the second server, which has begun."""
    rig.name_server(rig.servers[1])
    return Outcome(rig.operations.reload())


def moves(rig: Rig) -> list[str]:
    """The orders that a reload consists of."""
    return [order for order in rig.orders if order not in ("connected", "state")]


def test_it_swaps_while_the_clients_are_held(rig: Rig) -> None:
    outcome = reload(rig)
    assert rig.gate.open
    rig.advance(TIME_S)
    assert moves(rig) == IN_SEQUENCE and rig.gate.open and rig.server == rig.servers[1].name
    assert outcome.value["changed"] == ["uplink.addr"] and rig.control.results.reload["ok"]


def test_with_the_data_plane_in_the_same_process_the_pause_takes_one_turn(rig: Rig) -> None:
    """Nothing but the wait for the last reply is between the closing and the opening of the gate."""
    closed_at: list[int] = []
    lasted: list[int] = []
    close, reopen = rig.gate.close, rig.gate.reopen

    def closing(reason: str) -> None:
        closed_at.append(rig.clock.events)
        close(reason)

    def opening(reason: str) -> None:
        lasted.append(rig.clock.events - closed_at[0])
        reopen(reason)

    rig.gate.close, rig.gate.reopen = closing, opening  # type: ignore[method-assign]
    reload(rig)
    rig.advance(TIME_S)
    if rig.same_process:
        assert lasted == [1]
    assert len(lasted) == 1


def test_a_second_one_at_the_same_time_is_refused(rig: Rig) -> None:
    first = reload(rig)
    assert isinstance(Outcome(rig.operations.reload()).error, WrongState)
    rig.advance(TIME_S)
    assert first.value is not None


def test_a_hangup_meanwhile_is_carried_out_after_it(rig: Rig) -> None:
    reload(rig)
    rig.control.reload.on_signal()
    rig.control.reload.on_signal()
    rig.advance(2 * TIME_S)
    assert rig.orders.count("swap") == 2 and rig.control.metrics.reloads_total == 2


@pytest.mark.parametrize("upgrade_first", [True, False])
def test_a_hangup_and_an_ordered_upgrade_meanwhile_are_both_carried_out_after_it(
    rig: Rig, upgrade_first: bool, said: list[str]
) -> None:
    reload(rig)
    signals = [rig.control.reload.on_signal, rig.control.upgrade.on_signal]
    for come in reversed(signals) if upgrade_first else signals:
        come()
    rig.advance(2 * TIME_S)
    assert rig.control.metrics.reloads_total == 2
    assert [text for text in said if "the SIGUSR2 has had no effect: this process can't be upgraded" in text]


def test_an_upgrade_ordered_in_a_switchover_that_does_not_take_place_is_carried_out(rig: Rig, said: list[str]) -> None:
    rig.faults["bring"] = UplinkUnavailable("no")
    rig.name_server(rig.servers[1])
    Outcome(rig.operations.switchover(dry_run=False))
    over = Outcome(rig.control.upgrade.on_signal())
    assert not over.deferred.called
    rig.advance(2 * TIME_S)
    assert over.deferred.called and [text for text in said if "the SIGUSR2 has had no effect" in text]


def test_a_hangups_reload_that_the_end_of_the_process_cuts_short_is_no_unhandled_error(
    rig: Rig, errors: list[Any]
) -> None:
    rig.control.reload.on_signal()
    stopped = rig.stop()
    rig.advance(2)
    gc.collect()
    assert stopped.deferred.called and stopped.error is None and not errors


def test_one_that_the_end_of_the_process_cuts_short_says_so(rig: Rig) -> None:
    outcome = reload(rig)
    rig.stop()
    rig.advance(2)
    assert isinstance(outcome.error, WrongState) and str(outcome.error) == "the proxy is shutting down"


def test_nothing_new_begins_while_the_process_ends(rig: Rig) -> None:
    rig.stop()
    for begin in (rig.operations.reload, lambda: rig.operations.switchover(dry_run=False)):
        assert str(Outcome(begin()).error) == "the proxy is shutting down"


def test_while_paused_it_stays_paused(rig: Rig) -> None:
    rig.operations.pause()
    rig.advance(0.01)
    outcome = reload(rig)
    rig.advance(TIME_S)
    assert outcome.value["state"] == "paused" and rig.gate.reasons == {"operator"}
    assert rig.server == rig.servers[1].name


def test_one_that_is_rejected_never_closes_the_gate(rig: Rig, errors: list[Any]) -> None:
    rig.servers[1].down = True
    outcome = reload(rig)
    rig.advance(TIME_S)
    assert isinstance(outcome.error, BadRequest) and str(outcome.error).startswith("uplink: ")
    assert str(outcome.error).count(rig.servers[1].name) == 1, "it says which server can't be used"
    assert moves(rig) == ["prepare", "connect", "abandon"]
    assert rig.control.metrics.reloads_rejected_total == 1 and rig.control.results.reload["ok"] is False
    assert rig.control.results.reload["for"] == "reload"
    rig.servers[1].down = False
    again = reload(rig)
    rig.advance(TIME_S)
    assert again.error is None and not errors


def test_a_file_with_faults_is_rejected(rig: Rig) -> None:
    rig.name_server(rig.servers[1], listen={"addr": "10.9.9.9:7001"}, nonsense=1)
    outcome = Outcome(rig.operations.reload())
    assert isinstance(outcome.error, BadRequest) and "nonsense" in str(outcome.error) and moves(rig) == []


def test_what_is_in_flight_past_the_drain_deadline_is_dropped(rig: Rig) -> None:
    (client,) = rig.in_flight(1)
    outcome = reload(rig)
    rig.advance(5.1 + TIME_S)
    assert [each["id"] for each in outcome.value["dropped"]] == [1] and client.gone and rig.gate.open


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("error", [UplinkUnavailable("no"), DataPlaneLost("gone"), RuntimeError("bang")])
def test_an_order_that_fails_leaves_everything_as_it_was(
    rig: Rig, errors: list[Any], order: str, error: Exception
) -> None:
    rig.faults[order] = error
    outcome = reload(rig)
    rig.advance(TIME_S)
    assert outcome.error is not None and rig.server == rig.servers[0].name and rig.gate.open
    assert rig.orders.count("release reload") >= rig.orders.count("hold reload")
    assert rig.orders.count("abandon") == (order != "prepare")
    assert bool(errors) == isinstance(error, RuntimeError)
    rig.faults.clear()
    again = reload(rig)
    rig.advance(TIME_S)
    assert again.error is None and rig.server == rig.servers[1].name


@pytest.mark.parametrize("order", [*ORDERS, "release"])
def test_one_that_is_stopped_while_an_order_is_carried_out_is_whole_or_nothing(rig: Rig, order: str) -> None:
    rig.held_up[order] = held_up = Deferred[None]()
    outcome = reload(rig)
    rig.advance(TIME_S)
    assert any(given.split()[0] == order for given in rig.orders) and not outcome.deferred.called
    stopped = rig.stop()
    rig.advance(TIME_S)
    if not held_up.called:
        held_up.callback(None)
    rig.advance(2)
    assert stopped.deferred.called and stopped.error is None and outcome.deferred.called
    assert rig.orders.count("release reload") >= rig.orders.count("hold reload")
    done = outcome.error is None
    assert rig.server == rig.servers[done].name and done == (order in ("swap", "release"))


@pytest.mark.parametrize("times", [2, 3])
def test_a_swap_that_is_ordered_is_waited_for_however_often_it_is_cancelled(rig: Rig, times: int) -> None:
    rig.held_up["swap"] = held_up = Deferred[None]()
    outcome = reload(rig)
    rig.advance(TIME_S)
    running: Any = rig.control.exclusion._running
    for _ in range(times):
        running.cancel()
    assert not held_up.called
    held_up.callback(None)
    rig.advance(TIME_S)
    assert outcome.error is None and rig.server == rig.servers[1].name and rig.gate.open


def test_nothing_stays_prepared_of_one_that_is_cancelled_at_once(rig: Rig) -> None:
    reload(rig)
    running: Any = rig.control.exclusion._running
    running.cancel()
    rig.advance(2)
    assert rig.orders.count("prepare") == 1 and rig.local.move._prepared is None and rig.gate.open


def test_a_failure_in_the_middle_of_the_swap_opens_the_gate(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def bang(*_: object) -> None:
        raise RuntimeError("bang")

    with monkeypatch.context() as patching:
        patching.setattr(rig.local.listeners, "take_certificates", bang)
        outcome = reload(rig)
        rig.advance(TIME_S)
    assert isinstance(outcome.error, RuntimeError | DataPlaneFailed) and rig.gate.open
    assert moves(rig)[-2:] == ["abandon", "release reload"]
