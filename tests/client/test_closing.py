"""The end of a client, and one that is turned away."""

from __future__ import annotations

from redisproxy.resp import encode_command as cmd
from tests.wire import Wire

GET = cmd("GET", "a")


def test_one_client_too_many_is_told_so() -> None:
    wire = Wire(max_clients=1)
    wire.client()
    second = wire.client()
    wire.turn()
    assert second.got() == b"-ERR max number of clients reached\r\n" and second.closed


def test_a_half_closed_client_gets_its_replies_and_is_closed_then(wire: Wire) -> None:
    client = wire.client()
    client.send(GET)
    client.transport.protocol.readConnectionLost()
    wire.turn()
    assert not client.closed
    wire.server.send(b":1\r\n")
    assert client.got() == b":1\r\n" and client.closed


def test_a_client_that_is_killed_with_replies_outstanding_releases_what_it_admitted(wire: Wire) -> None:
    one, two = wire.client(), wire.client()
    one.send(GET)
    two.ask("CLIENT", "KILL", "ID", 1)
    assert one.closed
    wire.server.send(b":1\r\n")
    assert wire.gate.in_flight == 0
