"""What waits at a closed gate."""

from __future__ import annotations

from redisproxy.resp import encode_command as cmd
from redisproxy.shared.core import ClientLimits
from tests.wire import OK, Client, Wire

GET = cmd("GET", "a")


def test_commands_wait_at_the_closed_gate_in_the_kernel(wire: Wire, client: Client) -> None:
    wire.pause()
    client.send(GET)
    assert client.transport.paused and wire.gate.held == 1 and wire.servers[0].got() == b""
    wire.unpause()
    assert wire.servers[0].got() == GET and not client.transport.paused


def test_a_client_that_connects_while_paused_waits_at_its_first_command(wire: Wire) -> None:
    wire.pause()
    client = wire.client()
    assert not client.transport.paused
    client.send(cmd("PING"))
    assert client.got() == b"" and client.transport.paused
    wire.unpause()
    assert wire.server.got() == cmd("PING")


def test_a_large_command_under_way_is_finished_first(wire: Wire, client: Client) -> None:
    wire.core.limits = ClientLimits(max_held_request_bytes=100)
    sender = wire.client()
    large = cmd("SET", "a", "x" * 1000)
    sender.send(large[:500])
    wire.pause()
    sender.send(large[500:])
    assert wire.server.got() == large
    wire.server.send(OK)
    assert sender.got() == OK and wire.gate.in_flight == 0


def test_a_held_client_that_leaves_is_forgotten(wire: Wire, client: Client) -> None:
    wire.pause()
    client.send(GET)
    client.close()
    assert wire.gate.held == 0
    wire.unpause()
    assert wire.servers[0].got() == b""


def test_the_database_and_version_hold_across_a_switch(wire: Wire, client: Client) -> None:
    client.ask("SELECT", 5)
    client.ask("HELLO", 3)
    wire.pause()
    wire.switch()
    wire.unpause()
    client.send(GET)
    protocol = wire.server.transport.protocol
    assert (protocol.db, protocol.resp_version) == (5, 3) and wire.server.got() == GET


def test_waiting_for_a_connection_does_not_count_as_in_flight(wire: Wire) -> None:
    wire.refuse_connections = True
    client = wire.client()
    client.send(GET)
    wire.pause()
    assert wire.gate.in_flight == 0
    wire.refuse_connections = False
    wire.switch()
    wire.unpause()
    wire.server.send(b":1\r\n")
    assert client.got() == b":1\r\n"
