"""The end in memory: who is waited for, for how long, and what is refused meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from redisproxy.config import TcpAddress
from redisproxy.control.errors import SHUTTING_DOWN, WrongState
from redisproxy.dataplane.interface import DataPlaneLost
from tests.control.rig import Outcome, Rig

WAIT = {"shutdown": {"wait_for_clients_ms": 10_000}}
A_MOMENT_S = 0.2


@pytest.fixture
def waiting(make_rig: Callable[..., Rig]) -> Rig:
    """Waits for clients for ten seconds."""
    return make_rig(**WAIT)


def over(outcome: Outcome) -> bool:
    return bool(outcome.deferred.called)


def test_it_ends_as_soon_as_the_last_client_has_left(waiting: Rig) -> None:
    first, last = waiting.client(), waiting.client()
    waiting.advance(A_MOMENT_S)
    stop = waiting.stop()
    waiting.advance(3)
    first.leave()
    waiting.advance(3)
    assert not over(stop) and not last.gone
    last.send("SET", "a", 1)
    waiting.advance(A_MOMENT_S)
    assert last.got == b"+OK\r\n"
    last.leave()
    waiting.advance(A_MOMENT_S)
    assert over(stop)


def test_it_waits_no_longer_than_it_may_and_then_closes_who_is_left(waiting: Rig) -> None:
    client = waiting.client()
    waiting.advance(A_MOMENT_S)
    stop = waiting.stop()
    waiting.advance(9.9)
    assert not over(stop) and not client.gone
    waiting.advance(0.3)
    assert over(stop) and client.gone


def test_without_clients_or_without_the_setting_it_ends_at_once(waiting: Rig, make_rig: Callable[..., Rig]) -> None:
    stop = waiting.stop()
    waiting.advance(A_MOMENT_S)
    assert over(stop)
    other = make_rig()
    client = other.client()
    other.advance(A_MOMENT_S)
    stop = other.stop()
    other.advance(A_MOMENT_S)
    assert over(stop) and client.gone


@pytest.mark.parametrize("after_s", [0.0, 0.001, 0.1, 3.0])
def test_a_second_signal_ends_the_wait_and_not_what_is_in_flight(waiting: Rig, after_s: float) -> None:
    client, idle = waiting.client(), waiting.client()
    waiting.servers[0].hang(3600)
    client.send("INCR", "n")
    waiting.advance(A_MOMENT_S)
    stop = waiting.stop()
    waiting.advance(after_s)
    waiting.control.shutdown.hurry()
    waiting.control.shutdown.hurry()
    waiting.advance(1)
    assert not over(stop) and not client.gone, "it drains"
    waiting.servers[0].wake()
    waiting.advance(A_MOMENT_S)
    assert over(stop) and client.got == b":1\r\n" and client.gone and idle.gone


def test_a_second_signal_that_comes_before_anything_has_begun_counts(waiting: Rig) -> None:
    waiting.client()
    waiting.control.shutdown.hurry()
    stop = waiting.stop()
    waiting.advance(A_MOMENT_S)
    assert over(stop)


def test_operators_can_move_nobody_meanwhile_and_are_told_why(waiting: Rig) -> None:
    client = waiting.client()
    waiting.advance(A_MOMENT_S)
    waiting.stop()
    waiting.advance(A_MOMENT_S)
    operations, moves = waiting.operations, ("pause", "reload")
    asked = [Outcome(getattr(operations, name)()) for name in moves]
    asked += [Outcome(operations.pause_and_wait(None)), Outcome(operations.switchover(dry_run=False))]
    waiting.advance(A_MOMENT_S)
    for each in asked:
        assert isinstance(each.error, WrongState) and str(each.error) == SHUTTING_DOWN
    client.send("PING")
    waiting.advance(A_MOMENT_S)
    assert client.got == b"+PONG\r\n"


def test_who_was_paused_before_can_still_be_let_go_on(waiting: Rig) -> None:
    client = waiting.client()
    Outcome(waiting.operations.pause())
    waiting.advance(A_MOMENT_S)
    client.send("SET", "a", 1)
    waiting.stop()
    waiting.advance(A_MOMENT_S)
    assert client.got == b""
    Outcome(waiting.operations.unpause())
    waiting.advance(A_MOMENT_S)
    assert client.got == b"+OK\r\n"


def test_the_pages_say_that_it_ends_and_who_is_left(waiting: Rig) -> None:
    waiting.client()
    waiting.advance(A_MOMENT_S)
    before = told(waiting)
    assert before["state"] == "running" and before["shutdown"] is None
    waiting.stop()
    ready = Outcome(waiting.operations.ready())
    waiting.advance(4)
    now = told(waiting)
    assert ready.value == (False, SHUTTING_DOWN) and now["state"] == "shutting down"
    assert now["shutdown"]["clients_left"] == 1 and 5.5 < now["shutdown"]["waits_for_s"] < 6.1


def test_a_failover_is_still_followed_while_clients_leave(waiting: Rig) -> None:
    client = waiting.client()
    waiting.advance(A_MOMENT_S)
    stop = waiting.stop()
    waiting.advance(A_MOMENT_S)
    host, _, port = waiting.servers[1].name.rpartition(":")
    failover = waiting.control.follower._failover
    gone_there = Outcome(failover.go_to(TcpAddress(host, int(port))))
    waiting.advance(1)
    assert gone_there.error is None and gone_there.value["dropped"] == []
    client.send("SET", "a", 1)
    waiting.advance(A_MOMENT_S)
    assert client.got == b"+OK\r\n"
    waiting.control.shutdown.hurry()
    waiting.advance(A_MOMENT_S)
    assert over(stop)
    too_late = Outcome(failover.go_to(TcpAddress(host, int(port))))
    assert str(too_late.error) == SHUTTING_DOWN


def told(rig: Rig) -> dict[str, Any]:
    info = Outcome(rig.operations.info())
    rig.advance(0.01)
    found: dict[str, Any] = info.value
    return found


def test_a_sighup_meanwhile_is_over_at_once_and_changes_nothing(waiting: Rig) -> None:
    waiting.client()
    waiting.advance(A_MOMENT_S)
    waiting.stop()
    waiting.advance(A_MOMENT_S)
    waiting.name_server(waiting.servers[1])
    assert over(Outcome(waiting.control.reload.on_signal()))
    waiting.advance(A_MOMENT_S)
    assert waiting.server == waiting.servers[0].name


def test_a_sighup_that_waits_for_its_turn_when_the_end_begins_is_over(waiting: Rig) -> None:
    waiting.in_flight(1)
    waiting.name_server(waiting.servers[1])
    Outcome(waiting.operations.reload())
    waiting.advance(A_MOMENT_S)
    hangup = Outcome(waiting.control.reload.on_signal())
    assert not over(hangup)
    waiting.stop()
    waiting.advance(A_MOMENT_S)
    assert over(hangup)


def test_a_data_plane_that_is_lost_meanwhile_does_not_keep_it(waiting: Rig) -> None:
    waiting.client()
    waiting.advance(A_MOMENT_S)
    waiting.held_up["all_left"] = lost = Deferred[None]()
    stop = waiting.stop()
    waiting.advance(1)
    assert not over(stop)
    lost.errback(DataPlaneLost("gone"))
    waiting.advance(A_MOMENT_S)
    assert over(stop)
