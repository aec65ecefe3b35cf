"""A process that stood still has not read what the server answered meanwhile; nobody is disconnected for that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.base import DelayedCall

from tests.control.rig import Client, Outcome, Rig, same_process

LIMIT_S = 5.0


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    limits = {"read_time_limit_ms": int(LIMIT_S * 1000)}
    rig = Rig(same_process, tmp_path, **limits)
    yield rig
    rig.end()


def stand_still(rig: Rig, seconds: float) -> None:
    """Let time pass; timers come before what has arrived, as in the reactor."""
    rig.clock._now += seconds
    due = [call for call in rig.clock.getDelayedCalls() if call.getTime() <= rig.clock.seconds()]
    for call in sorted(due, key=DelayedCall.getTime):
        if call.active():
            call.called = 1
            call.func(*call.args, **call.kw)


def in_flight(rig: Rig) -> Client:
    """A client whose command the supervision has seen at the head."""
    client = rig.client()
    client.send("INCR", "n")
    rig.until(lambda: rig.gate.in_flight == 1)
    rig.local._supervision.look()
    return client


def pinged(rig: Rig) -> None:
    """A PING is out, and is answered a moment later."""
    registry = rig.local.in_force.uplinks.registry
    rig.until(lambda: not registry.clients_in_flight())
    rig.servers[0].hang(20.0)
    rig.until(lambda: any(each.keepalive.unanswered_s(rig.clock.seconds()) > 0 for each in registry))


def test_a_command_that_was_answered_meanwhile_has_taken_no_time(rig: Rig) -> None:
    client = in_flight(rig)
    stand_still(rig, 3 * LIMIT_S)
    rig.advance(1)
    assert client.got == b":1\r\n" and not client.gone


def test_a_ping_that_was_answered_meanwhile_is_not_overdue(rig: Rig) -> None:
    pinged(rig)
    client = in_flight(rig)
    stand_still(rig, 60.0)
    rig.advance(1)
    assert client.got == b":1\r\n" and not client.gone


def test_a_reload_does_not_drop_whom_the_server_has_answered_meanwhile(rig: Rig) -> None:
    rig.servers[0].hang(20.0)
    client = in_flight(rig)
    rig.name_server(rig.servers[1])
    reload = Outcome(rig.operations.reload())
    rig.until(lambda: not rig.gate.open)
    rig.advance(0.01)
    stand_still(rig, 60.0)
    rig.advance(1)
    assert client.got == b":1\r\n" and not client.gone and reload.value["dropped"] == []


def test_a_server_that_does_not_answer_afterwards_either_is_given_up(rig: Rig) -> None:
    rig.servers[0].hang(3600)
    client = in_flight(rig)
    stand_still(rig, 60.0)
    assert not client.gone
    rig.advance(LIMIT_S + 0.5)
    assert client.gone
