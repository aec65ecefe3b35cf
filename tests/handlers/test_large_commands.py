"""Commands that are too large to hold."""

from __future__ import annotations

from redisproxy.resp import encode_command as cmd
from redisproxy.shared.core import ClientLimits
from tests.wire import OK, Wire

GET = cmd("GET", "a")


def test_a_command_too_large_to_hold_is_streamed_on_a_connection_of_its_own(wire: Wire) -> None:
    wire.core.limits = ClientLimits(max_held_request_bytes=100)
    client, other = wire.client(), wire.client()
    large = cmd("SET", "a", "x" * 1000)
    client.send(large[:50])
    pinned = wire.server
    other.send(GET)
    shared = wire.server
    assert shared is not pinned
    shared.send(b":1\r\n")
    assert other.got() == b":1\r\n"
    client.send(large[50:])
    assert pinned.got() == large
    pinned.send(OK)
    assert client.got() == OK and wire.gate.in_flight == 0
    client.send(GET)
    assert shared.got() == GET * 2


def test_a_client_that_leaves_in_the_middle_of_a_large_command_leaves_no_half_command_behind(wire: Wire) -> None:
    wire.core.limits = ClientLimits(max_held_request_bytes=100)
    client = wire.client()
    client.send(cmd("SET", "a", "x" * 1000)[:500])
    client.close()
    assert wire.server.closed and wire.gate.in_flight == 0


def test_a_client_that_half_closes_in_the_middle_of_a_large_command_has_left(wire: Wire) -> None:
    wire.core.limits = ClientLimits(max_held_request_bytes=100)
    client = wire.client()
    client.send(cmd("SET", "a", "x" * 1000)[:500])
    client.transport.protocol.readConnectionLost()
    wire.turn()
    assert client.closed and wire.server.closed and wire.gate.in_flight == 0


def test_a_large_command_before_the_password_is_refused_and_its_rest_thrown_away() -> None:
    wire = Wire(password="secret")
    wire.core.limits = ClientLimits(max_held_request_bytes=32768)
    client = wire.client()
    large = cmd("MSET", *["x" * 16000] * 8)
    for at in range(0, len(large), 9000):
        client.send(large[at : at + 9000])
    assert client.got() == b"-NOAUTH Authentication required.\r\n" and not wire.servers
    assert client.ask("AUTH", "secret") == OK


def test_a_large_refused_command_is_answered_and_its_rest_thrown_away(wire: Wire) -> None:
    wire.core.limits = ClientLimits(max_held_request_bytes=100)
    client = wire.client()
    large = cmd("PUBLISH", "a", "x") and cmd("SUBSCRIBE", "x" * 1000)
    client.send(large[:50], large[50:], cmd("CLIENT", "ID"))
    assert client.got().startswith(b"-ERR redisproxy") and not client.closed
    assert not wire.servers
