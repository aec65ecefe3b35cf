"""What /readyz tells load balancers: whether new clients may be sent here."""

from __future__ import annotations

from typing import Any

import pytest

from tests.control.rig import Outcome, Rig

HERE: Any = {"10.9.9.9:7000": []}


def ready(rig: Rig) -> tuple[bool, str]:
    outcome = Outcome(rig.operations.ready())
    rig.advance(0.1)
    found: tuple[bool, str] = outcome.value
    return found


@pytest.fixture
def listening(rig: Rig) -> Rig:
    """The rig once its ports are open."""
    rig.local.listeners.take(HERE)
    assert ready(rig) == (True, "ok")
    return rig


def test_it_is_not_ready_before_clients_are_accepted(rig: Rig) -> None:
    assert ready(rig) == (False, "clients are not accepted yet")


def test_a_pause_however_long_leaves_it_ready(listening: Rig) -> None:
    listening.operations.pause()
    listening.advance(600)
    assert ready(listening) == (True, "clients are held (operator)")
    listening.operations.unpause()
    assert ready(listening) == (True, "ok")


@pytest.mark.parametrize("operation", ["reload", "switchover"])
def test_a_move_leaves_it_ready(listening: Rig, operation: str) -> None:
    listening.gate.close(operation)
    assert ready(listening) == (True, f"clients are held ({operation})")
    listening.gate.reopen(operation)


def test_it_is_ready_while_the_server_is_restarted_in_a_pause_and_not_without_one(listening: Rig) -> None:
    listening.operations.pause()
    listening.advance(0.1)
    listening.servers[0].crash(5)
    assert ready(listening)[0]
    listening.operations.unpause()
    good, why = ready(listening)
    assert not good and why.startswith("the uplink is not connected")
    listening.advance(10)
    assert ready(listening) == (True, "ok")


def test_it_is_not_ready_while_clients_have_time_to_leave(listening: Rig) -> None:
    listening.control.shutdown.begin()
    assert ready(listening) == (False, "the proxy is shutting down")
