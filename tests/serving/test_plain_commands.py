"""Plain commands: as they came to the server, their replies as they are to the client, each in its order."""

from __future__ import annotations

import pytest

from redisproxy.resp import encode_command as cmd
from redisproxy.shared.core import ClientLimits
from tests.wire import Wire

GET = cmd("GET", "a")


def test_a_plain_command_goes_out_as_it_came_and_its_reply_comes_back_as_it_is(wire: Wire) -> None:
    client = wire.client()
    client.send(GET)
    assert wire.server.got() == GET
    wire.server.send(b"$1\r\nx\r\n")
    assert client.got() == b"$1\r\nx\r\n"
    assert wire.gate.in_flight == 0


def test_clients_share_one_connection_and_get_their_own_replies(wire: Wire) -> None:
    one, two = wire.client(), wire.client()
    one.send(GET + GET)
    two.send(cmd("GET", "b"))
    assert len(wire.servers) == 1
    wire.server.send(b":1\r\n:2\r\n:3\r\n")
    assert one.got() == b":1\r\n:2\r\n" and two.got() == b":3\r\n"


def test_a_reply_is_passed_on_before_it_is_complete(wire: Wire) -> None:
    client = wire.client()
    client.send(GET)
    wire.server.send(b"$10\r\nabc")
    assert client.got() == b"$10\r\nabc"
    assert wire.gate.in_flight == 1
    wire.server.send(b"defghij\r\n")
    assert client.got() == b"defghij\r\n" and wire.gate.in_flight == 0


def test_a_client_that_has_left_does_not_shift_the_replies_of_others(wire: Wire) -> None:
    one, two = wire.client(), wire.client()
    one.send(GET)
    two.send(GET)
    one.close()
    wire.server.send(b":1\r\n:2\r\n")
    assert two.got() == b":2\r\n" and wire.gate.in_flight == 0


def test_local_answers_keep_their_place_behind_forwarded_ones(wire: Wire) -> None:
    client = wire.client()
    client.send(GET + cmd("CLIENT", "ID") + GET)
    assert client.got() == b"" and wire.server.got() == GET
    wire.server.send(b":7\r\n")
    assert client.got() == b":7\r\n:1\r\n"
    assert wire.server.got() == GET
    wire.server.send(b":8\r\n")
    assert client.got() == b":8\r\n"


def test_without_multiplexing_each_client_has_its_own_connection(wire: Wire) -> None:
    wire.core.multiplex = False
    one, two = wire.client(), wire.client()
    one.send(GET)
    two.send(GET)
    assert len(wire.servers) == 2
    wire.servers[1].send(b":2\r\n")
    assert two.got() == b":2\r\n"
    one.close()
    assert wire.servers[0].closed and wire.gate.in_flight == 0


@pytest.mark.parametrize(
    "line",
    [
        *("SUBSCRIBE a", "PSUBSCRIBE a*", "MONITOR", "SHUTDOWN", "CONFIG SET a b", "ACL FOO"),
        "CLIENT TRACKING ON REDIRECT 5",
    ],
)
def test_refused_commands_never_reach_the_server(wire: Wire, line: str) -> None:
    client = wire.client()
    answer = client.ask(*line.split())
    assert answer.startswith((b"-ERR redisproxy", b"-NOPERM redisproxy"))
    assert not wire.servers
    assert wire.metrics.clients.refused == {line.split()[0]: 1}


def test_a_protocol_error_is_answered_after_what_came_before_it(wire: Wire) -> None:
    client = wire.client()
    client.send(GET + b"*1\r\n$x\r\n")
    assert not client.closed
    wire.server.send(b":1\r\n")
    assert client.got() == b":1\r\n-ERR Protocol error: invalid bulk length\r\n" and client.closed


def test_a_client_over_its_in_flight_limit_is_not_read_until_replies_come(wire: Wire) -> None:
    wire.core.limits = ClientLimits(max_in_flight=4)
    client = wire.client()
    client.send(GET * 5)
    assert client.transport.paused
    wire.server.send(b":1\r\n" * 4)
    assert not client.transport.paused


def test_the_in_flight_limit_holds_on_the_straight_way_too(wire: Wire) -> None:
    wire.core.limits = ClientLimits(max_in_flight=4)
    client = wire.client()
    client.send(GET)
    wire.server.send(b":1\r\n")
    client.send(GET * 3)
    assert not client.transport.paused
    client.send(GET * 2)
    assert client.transport.paused
    wire.server.send(b":1\r\n" * 5)
    assert not client.transport.paused and client.got() == b":1\r\n" * 6


def test_a_command_that_breaks_over_chunks_at_every_byte(wire: Wire) -> None:
    client = wire.client()
    for byte in GET + cmd("PING"):
        client.send(bytes([byte]))
    assert wire.server.got() == GET + cmd("PING")
