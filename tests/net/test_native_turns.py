"""A turn of the compiled hub: how long it goes on after what has arrived was handled, and in which order."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
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


def make_hub() -> Any:
    ignore: Callable[..., Any] = lambda *_: None  # noqa: E731
    return core.Hub(ignore, ignore, ignore, ignore, ignore, ignore, ignore)


def connected(hub: Any, protocol: Protocol) -> tuple[Any, socket.socket]:
    """A transport of the hub, and the other end."""
    near, far = socket.socketpair()
    near.setblocking(False)
    connection = core.Connection(hub, near.detach())
    connection.begin(protocol)
    return connection, far


def shortest_turn_s(gate_open: bool | None) -> float:
    """The shortest of several turns in which something arrives; None has no gate."""
    hub = make_hub()
    connection, far = connected(hub, _Silent())
    if gate_open is not None:
        flow = core.Flow()
        flow.open = gate_open
        core.Queue(hub.end_of_turn, flow, lambda *_: None)
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


class _Noting(Protocol):
    def __init__(self, order: list[bytes]) -> None:
        self.order = order

    def dataReceived(self, data: bytes) -> None:
        self.order.append(data)


Two = tuple[Any, list[bytes], list[tuple[Any, socket.socket]]]


@pytest.fixture
def two() -> Iterator[Two]:
    hub, order = make_hub(), list[bytes]()
    both = [connected(hub, _Noting(order)) for _ in range(2)]
    yield hub, order, both
    for connection, far in both:
        connection.abortConnection()
        far.close()
    hub.doRead()
    hub.close()


def test_what_comes_just_before_reading_is_resumed_keeps_its_place(two: Two) -> None:
    hub, order, ((first, one), (_, other)) = two
    first.pauseProducing()
    one.send(b"first")
    other.send(b"second")
    first.resumeProducing()
    hub.doRead()
    assert order == [b"first", b"second"]


@pytest.mark.parametrize("gone", [False, True])
def test_who_is_not_read_does_not_keep_the_hub_busy(two: Two, gone: bool) -> None:
    hub, order, ((first, one), _) = two
    first.pauseProducing()
    one.send(b"first")
    if gone:
        one.close()
    hub.doRead()
    assert not select.select([hub], [], [], 0)[0] and not order
    first.resumeProducing()
    hub.doRead()
    assert order == [b"first"]
