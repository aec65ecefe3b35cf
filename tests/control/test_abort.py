"""An operator aborts a switchover: everything is undone when that is answered, or it is too late, at every moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from redisproxy.control.errors import WrongState
from redisproxy.net.errors import UplinkUnavailable
from tests.control.rig import Outcome, Rig
from tests.control.test_switchover import ORDERS, TIME_S, as_before, switch

BEFORE_THE_PROMOTION = ORDERS[: ORDERS.index("bring")]


def abort(rig: Rig) -> Outcome:
    return Outcome(rig.operations.switchover_abort())


@pytest.mark.parametrize("order", BEFORE_THE_PROMOTION)
def test_it_is_undone_whatever_is_waited_for(rig: Rig, order: str) -> None:
    rig.held_up[order] = held_up = Deferred[None]()
    outcome = switch(rig)
    rig.advance(1.0)
    assert any(given.split()[0] == order for given in rig.orders)
    aborted, again = abort(rig), abort(rig)
    if not held_up.called:
        held_up.callback(None)
    rig.advance(TIME_S)
    assert isinstance(outcome.error, WrongState) and "aborted by an operator" in str(outcome.error)
    assert aborted.value["state"] == "aborted" and as_before(rig)
    assert again.value == aborted.value or "no switchover is running" in str(again.error)
    assert rig.orders.count("release switchover") == rig.orders.count("hold switchover")
    rig.held_up.clear()
    repeated = switch(rig)
    rig.advance(TIME_S)
    assert repeated.value["report"]["result"] == "done" and rig.server == rig.servers[1].name


@pytest.mark.parametrize("order", ["bring", "swap", "release", "state"])
def test_after_the_promotion_it_is_too_late(rig: Rig, order: str) -> None:
    rig.held_up[order] = held_up = Deferred[None]()
    outcome = switch(rig, pause_budget_ms=10000)
    rig.until(lambda: any(given.split()[0] == order for given in rig.orders))
    aborted = abort(rig)
    assert isinstance(aborted.error, WrongState) and "too late" in str(aborted.error)
    held_up.callback(None)
    rig.advance(TIME_S)
    assert outcome.value["report"]["result"] == "done" and rig.server == rig.servers[1].name


def aborted_at(rig: Rig, number: int) -> tuple[Outcome, Outcome]:
    """Abort a switchover when so much has happened in its world."""
    first = rig.clock.events
    outcome = switch(rig)
    rig.clock.run_until(rig.clock.seconds() + TIME_S, lambda: rig.clock.events >= first + number)
    aborted = abort(rig)
    rig.advance(TIME_S)
    return outcome, aborted


def test_at_every_single_moment_it_is_undone_or_too_late(make_rig: Callable[..., Rig]) -> None:
    """One client works all the time; no answer is lost, and no write."""
    undone = late = 0
    rig = make_rig()
    client = rig.client()
    for number in range(0, 3000, 2):
        rig.servers[0], rig.servers[1] = sorted(rig.servers, key=lambda server: server.name != rig.server)
        rig.servers[1].promote()
        rig.servers[1].dbs = [{} for _ in rig.servers[1].dbs]
        rig.servers[1].config["min-replicas-to-write"] = "0"
        client.send("INCR", "n")
        outcome, aborted = aborted_at(rig, number)
        client.send("INCR", "n")
        rig.advance(0.1)
        if aborted.error is None:
            undone += 1
            assert as_before(rig) and "aborted" in str(outcome.error), number
        else:
            late += 1
            assert outcome.value["report"]["result"] == "done" and rig.server == rig.servers[1].name, number
        if late > 20:
            break
    assert client.got == b"".join(b":%d\r\n" % count for count in range(1, 2 * (undone + late) + 1))
    assert undone > 30 and late > 20


def test_in_external_mode_the_clients_go_on_at_the_old_server(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(switchover={"mode": "external"})
    outcome = switch(rig, mode="external")
    rig.until(lambda: not rig.gate.open)
    rig.advance(1)
    aborted = abort(rig)
    rig.advance(1)
    assert aborted.value["report"]["step"] == "wait for the operator" and as_before(rig)
    assert "aborted by an operator" in str(outcome.error)
    with pytest.raises(WrongState, match="no switchover waits"):
        rig.operations.switchover_go_on()


def test_there_is_nothing_to_abort_before_and_afterwards(rig: Rig) -> None:
    assert "no switchover is running, and no failover" in str(abort(rig).error)
    outcome: Any = switch(rig)
    rig.advance(TIME_S)
    assert outcome.value["report"]["result"] == "done" and "no switchover is running" in str(abort(rig).error)


def test_one_that_is_being_undone_already_is_undone_once(rig: Rig) -> None:
    rig.faults["prove_watches"] = UplinkUnavailable("no")
    rig.held_up["abandon"] = held_up = Deferred[None]()
    outcome = switch(rig)
    rig.until(lambda: "abandon" in rig.orders)
    aborted = abort(rig)
    rig.advance(0.1)
    held_up.callback(None)
    rig.advance(TIME_S)
    assert aborted.value["state"] == "aborted" and as_before(rig)
    assert str(outcome.error) == "no" and rig.orders.count("release switchover") == 1


def test_who_asked_for_it_may_leave(rig: Rig) -> None:
    rig.held_up["connect"] = held_up = Deferred[None]()
    outcome = switch(rig)
    rig.advance(1.0)
    abort(rig).deferred.cancel()
    if not held_up.called:
        held_up.callback(None)
    rig.advance(TIME_S)
    assert outcome.error is not None and as_before(rig)
