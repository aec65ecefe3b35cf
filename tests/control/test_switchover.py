"""The switchover in memory: the sequence of its orders, and what is left when any of them fails or is cut short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from redisproxy.control.errors import BadRequest, OperationError, WrongState
from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.servers.redis_server import RedisServer
from redisproxy.servers.state import ServerState
from tests.control.rig import Outcome, Rig
from tests.logged import logged
from tests.simulation.planted import planted

TIME_S = 5.0
"""What a switchover takes, with time for a rollback."""
IN_SEQUENCE = [
    "prepare",
    "figures",
    "highest_db",
    "connect",
    "hold switchover",
    "drained",
    "prove_watches",
    "bring",
    "swap",
    "release switchover",
]
ORDERS = [order.split()[0] for order in IN_SEQUENCE[:-1]]


def switch(rig: Rig, dry_run: bool = False, **settings: Any) -> Outcome:
    rig.name_server(rig.servers[1], **({"switchover": settings} if settings else {}))
    return Outcome(rig.operations.switchover(dry_run))


def moves(rig: Rig) -> list[str]:
    return [order for order in rig.orders if order not in ("connected", "state")]


def as_before(rig: Rig) -> bool:
    """Whether the old server is in use, and takes writes."""
    return rig.server == rig.servers[0].name and rig.servers[0].config["min-replicas-to-write"] == "0" and rig.gate.open


def test_it_fences_the_old_server_while_the_clients_are_held(rig: Rig) -> None:
    client = rig.client()
    client.send("INCR", "n")
    rig.advance(0.1)
    outcome = switch(rig)
    rig.advance(TIME_S)
    assert outcome.value["report"]["result"] == "done" and moves(rig) == IN_SEQUENCE
    assert rig.server == rig.servers[1].name and rig.gate.open
    client.send("INCR", "n")
    rig.advance(0.1)
    assert client.got == b":1\r\n:2\r\n" and not client.gone


def test_a_dry_run_changes_nothing(rig: Rig) -> None:
    outcome = switch(rig, dry_run=True)
    rig.advance(TIME_S)
    assert outcome.value["report"]["result"] == "dry_run" and as_before(rig)
    assert moves(rig) == ["prepare", "figures", "highest_db", "abandon"]


def test_a_dry_run_that_can_not_look_is_refused_and_is_no_failed_switchover(rig: Rig) -> None:
    rig.faults["highest_db"] = UplinkUnavailable("the new server (b:1): no answer")
    with logged() as told:
        outcome = switch(rig, dry_run=True)
        rig.advance(TIME_S)
    assert isinstance(outcome.error, OperationError) and as_before(rig)
    assert outcome.error.details["report"]["result"] == "refused"
    metrics = Outcome(rig.operations.metrics())
    rig.advance(0.1)
    assert b"redisproxy_switchovers_failed_total 0.0" in metrics.value
    (last,) = [(level, text) for level, text in told if "dry run of a switchover from" in text]
    assert last[0] == "warn" and "refused, nothing has changed: the new server (b:1): no answer" in last[1]


def test_the_log_tells_where_it_fails_before_it_is_undone_and_then_where_the_clients_are(rig: Rig) -> None:
    rig.faults["bring"] = UplinkUnavailable("no answer within 5 s")
    old, new = rig.servers[0].name, rig.servers[1].name
    with logged() as told:
        switch(rig)
        rig.advance(TIME_S)
    texts = [text for _, text in told]
    begun, *_ = [at for at, text in enumerate(texts) if f"moving from {old} to {new} (replicate)" in text]
    failed = texts.index("switchover: failed at the step promote, and is undone: no answer within 5 s")
    (running,) = [at for at, text in enumerate(texts) if "running again" in text]
    assert begun < failed < running and told[failed][0] == "error"
    level, text = told[-1]
    assert level == "error" and f"rolled back at the step promote, clients stay at {old}: no answer within 5 s" in text
    assert "clients were held for " in text and "verify " in text


def test_the_file_has_to_name_another_server(rig: Rig) -> None:
    outcome = Outcome(rig.operations.switchover(dry_run=False))
    assert isinstance(outcome.error, BadRequest) and "still names" in str(outcome.error) and moves(rig) == []


def test_the_report_counts_who_was_held_and_for_how_long(rig: Rig) -> None:
    rig.held_up["bring"] = held_up = Deferred[None]()
    outcome = switch(rig)
    rig.advance(1.0)
    clients = [rig.client() for _ in range(3)]
    for client in clients:
        client.send("GET", "k")
    rig.advance(0.05)
    held_up.callback(None)
    rig.advance(TIME_S)
    report = outcome.value["report"]
    assert report["held"] == 3 and 45 <= report["longest_wait_ms"] <= report["pause_ms"]
    assert report["clients_closed"] == {} and all(client.got == b"$-1\r\n" for client in clients)
    began_ms = report["pause_ms"] - report["longest_wait_ms"]
    assert report["held_course"] == [[pytest.approx(began_ms, abs=20), number] for number in (1, 2, 3)]


def test_who_keeps_the_drain_from_its_end_is_named(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(switchover={"pause_budget_ms": 300})
    rig.held_up["connect"] = held_up = Deferred[None]()
    outcome = switch(rig)
    rig.advance(1.0)
    rig.in_flight(1)
    held_up.callback(None)
    rig.advance(0.5)
    assert isinstance(outcome.error, OperationError) and rig.gate.open
    assert "1 client had commands in flight: incr of client 1" in str(outcome.error)
    rig.servers[0].wake()
    assert as_before(rig)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("error", [UplinkUnavailable("no"), DataPlaneLost("gone"), RuntimeError("bang")])
def test_an_order_that_fails_leaves_the_old_server_in_use(rig: Rig, order: str, error: Exception) -> None:
    rig.faults[order] = error
    outcome = switch(rig)
    rig.advance(TIME_S)
    assert outcome.error is not None and as_before(rig)
    assert rig.orders.count("release switchover") == rig.orders.count("hold switchover")
    assert ("abandon" in rig.orders) == (order != "prepare")
    rig.faults.clear()
    again = switch(rig)
    rig.advance(TIME_S)
    assert again.value["report"]["result"] == "done" and rig.server == rig.servers[1].name


@pytest.mark.parametrize("order", [*ORDERS, "release", "state"])
def test_one_that_is_stopped_while_an_order_is_carried_out_is_whole_or_nothing(rig: Rig, order: str) -> None:
    rig.held_up[order] = held_up = Deferred[None]()
    outcome = switch(rig)
    rig.advance(1.0)
    assert any(given.split()[0] == order for given in rig.orders) and not outcome.deferred.called
    stopped = rig.stop()
    rig.advance(0.01)
    if not held_up.called:
        held_up.callback(None)
    rig.advance(TIME_S)
    assert stopped.deferred.called and stopped.error is None and outcome.deferred.called
    assert rig.orders.count("release switchover") == rig.orders.count("hold switchover")
    if order in ("swap", "release", "state"):
        assert outcome.value["report"]["result"] == "done" and rig.server == rig.servers[1].name
    else:
        assert isinstance(outcome.error, WrongState) and rig.server == rig.servers[0].name
        assert rig.servers[0].config["min-replicas-to-write"] == "0"


@pytest.mark.parametrize("order", ["swap", "release"])
@pytest.mark.parametrize("times", [2, 3])
def test_a_swap_that_is_ordered_is_waited_for_however_often_it_is_cancelled(rig: Rig, order: str, times: int) -> None:
    rig.held_up[order] = held_up = Deferred[None]()
    outcome = switch(rig)
    rig.advance(2.0)
    running: Any = rig.control.exclusion._running
    for _ in range(times):
        running.cancel()
    assert not held_up.called
    held_up.callback(None)
    rig.advance(TIME_S)
    assert outcome.value["report"]["result"] == "done" and rig.server == rig.servers[1].name and rig.gate.open
    assert rig.servers[1].repl.primary is None


def test_nothing_stays_prepared_of_one_that_is_cancelled_at_once(rig: Rig) -> None:
    switch(rig)
    running: Any = rig.control.exclusion._running
    running.cancel()
    rig.advance(2)
    assert rig.orders.count("prepare") == 1 and rig.local.move._prepared is None and rig.gate.open


def test_a_hangup_during_one_that_does_not_take_place_is_not_carried_out(rig: Rig) -> None:
    rig.faults["bring"] = UplinkUnavailable("no")
    switch(rig)
    rig.control.reload.on_signal()
    rig.advance(TIME_S)
    assert rig.control.metrics.reloads_total == 0 and as_before(rig)


def test_after_one_that_did_not_take_place_no_reload_leads_to_the_replica_that_the_file_names(rig: Rig) -> None:
    rig.faults["connect"] = UplinkUnavailable("no")
    outcome = switch(rig)
    rig.advance(TIME_S)
    assert isinstance(outcome.error, OperationError) and rig.servers[1].repl.primary is not None
    rig.faults.clear()
    reload = Outcome(rig.operations.reload())
    rig.advance(TIME_S)
    assert "is a replica and takes no writes" in str(reload.error) and as_before(rig)
    rig.servers[1].promote()
    reload = Outcome(rig.operations.reload())
    rig.advance(TIME_S)
    assert reload.error is None and rig.server == rig.servers[1].name


def test_in_external_mode_it_waits_for_the_operators_word(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(switchover={"mode": "external"})
    with pytest.raises(WrongState, match="no switchover waits"):
        rig.operations.switchover_go_on()
    rig.servers[1].follow("10.0.0.1", 6379)
    rig.advance(1)
    outcome: Any = switch(rig)
    rig.advance(1)
    assert not rig.gate.open and not outcome.deferred.called
    rig.servers[1].promote()
    assert rig.operations.switchover_go_on() == {"state": "going on"}
    rig.advance(1)
    assert outcome.value["report"]["result"] == "done" and rig.server == rig.servers[1].name
    with pytest.raises(WrongState, match="no switchover waits"):
        rig.operations.switchover_go_on()


def test_a_release_that_does_not_reach_the_data_plane_keeps_nothing_else_from_being_undone(rig: Rig) -> None:
    rig.faults |= {"bring": UplinkUnavailable("no"), "release": DataPlaneLost("gone")}
    outcome = switch(rig)
    rig.advance(TIME_S)
    assert "gone: it lets the clients go on by itself" in str(outcome.error)
    assert rig.servers[0].config["min-replicas-to-write"] == "0"
    assert rig.servers[1].repl.primary is rig.servers[0], "the new server was promoted, and follows again"


@pytest.mark.parametrize("order", ["abandon", "release"])
def test_stopping_while_a_rollback_waits_for_the_data_plane_keeps_nothing_from_being_undone(
    rig: Rig, order: str
) -> None:
    rig.faults["bring"] = UplinkUnavailable("no")
    rig.held_up[order] = held_up = Deferred[None]()
    outcome = switch(rig)
    rig.advance(2.0)
    assert any(given.split()[0] == order for given in rig.orders) and not outcome.deferred.called
    stopped = rig.stop()
    rig.advance(0.1)
    held_up.callback(None)
    rig.advance(TIME_S)
    assert outcome.deferred.called and stopped.deferred.called and rig.orders.count("release switchover") == 1
    assert rig.server == rig.servers[0].name and rig.servers[0].config["min-replicas-to-write"] == "0"
    assert rig.servers[1].repl.primary is rig.servers[0]


def increased_behind_a_fence_that_stays(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """What a client gets that is held while a rollback can't lift the fence before the budget is used up."""
    unfence, refusals = RedisServer.unfence, [UplinkUnavailable("not now"), UplinkUnavailable("nor now")]

    async def late(server: RedisServer, state: ServerState) -> None:
        if refusals:
            raise refusals.pop()
        await unfence(server, state)

    monkeypatch.setattr(RedisServer, "unfence", late)
    rig.held_up["bring"] = Deferred()
    client = rig.client()
    outcome = switch(rig, pause_budget_ms=100)
    rig.until(lambda: not rig.gate.open)
    client.send("INCR", "n")
    rig.advance(TIME_S)
    rig.held_up.pop("bring").callback(None)
    assert outcome.error is not None and not refusals and as_before(rig)
    return client.got


def test_clients_are_held_beyond_the_budget_while_the_fence_is_lifted(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert increased_behind_a_fence_that_stays(rig, monkeypatch) == b":1\r\n"


@pytest.mark.parametrize("lifts", [True, False])
def test_where_this_proxy_can_not_lift_the_fence_others_are_asked_before_clients_go_on(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, lifts: bool
) -> None:
    asked: list[bool] = []

    async def refuse(server: RedisServer, state: ServerState) -> None:
        raise UplinkUnavailable("it is not reached")

    async def lift_fence() -> bool:
        asked.append(rig.gate.open)
        if lifts:
            rig.servers[0].config["min-replicas-to-write"] = "0"
        return lifts

    monkeypatch.setattr(RedisServer, "unfence", refuse)
    rig.control.switchover.others_lift_fence = lift_fence
    rig.held_up["bring"] = Deferred()
    client = rig.client()
    outcome = switch(rig, pause_budget_ms=100)
    rig.until(lambda: not rig.gate.open)
    client.send("INCR", "n")
    rig.advance(2 * TIME_S)
    rig.held_up.pop("bring").callback(None)
    assert isinstance(outcome.error, OperationError) and asked == [False] and rig.gate.open
    assert (client.got == b":1\r\n") is lifts and client.got.startswith(b":1" if lifts else b"-NOREPLICAS")
    report = outcome.error.details["report"]
    assert ("another one has lifted the fence" in str(report["warnings"])) is lifts
    assert ("run redisproxy unfence" in report["error"]) is not lifts


def test_the_bug_that_let_them_go_is_seen(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    with planted("fence-left-behind"):
        assert increased_behind_a_fence_that_stays(rig, monkeypatch).startswith(b"-NOREPLICAS")
