"""How long a turn of the compiled hub goes on after what has arrived was handled."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.protocol import Protocol

core = pytest.importorskip("redisproxy._native.core", exc_type=ImportError)

WAITS_S = 0.001
"""The hub waits at least so long for more when it lingers."""
TRIES = 30


class _Silent(Protocol):
    def dataReceived(self, data: bytes) -> None:
        pass


def shortest_turn_s(gate_open: bool | None) -> float:
    """The shortest of several turns in which something arrives; None has no gate."""
    ignore: Callable[..., Any] = lambda *_: None  # noqa: E731
    hub = core.Hub(ignore, ignore, ignore, ignore, ignore, ignore, ignore)
    near, far = socket.socketpair()
    near.setblocking(False)
    connection = core.Connection(hub, near.detach())
    connection.begin(_Silent())
    if gate_open is not None:
        flow = core.Flow()
        flow.open = gate_open
        core.Queue(hub.end_of_turn, flow, ignore)
    try:
        return min(_turn_s(hub, far) for _ in range(TRIES))
    finally:
        connection.abortConnection()
        hub.doRead()
        hub.close()
        far.close()


def _turn_s(hub: Any, far: socket.socket) -> float:
    far.send(b"x")
    began = time.perf_counter()
    hub.doRead()
    return time.perf_counter() - began


def test_a_hub_with_clients_waits_a_moment_for_more() -> None:
    assert shortest_turn_s(gate_open=True) >= WAITS_S


@pytest.mark.parametrize("gate_open", [False, None])
def test_while_clients_are_held_or_where_there_are_none_it_keeps_nobody_waiting(gate_open: bool | None) -> None:
    assert shortest_turn_s(gate_open) < WAITS_S
