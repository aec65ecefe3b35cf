"""A server that is lost, that can not be reached, or that is not one: what its clients are told."""

from __future__ import annotations

from redisproxy.resp import encode_command as cmd
from tests.wire import OK, Wire

GET = cmd("GET", "a")


def test_when_the_server_goes_away_clients_with_unknown_outcome_are_disconnected_and_others_stay(wire: Wire) -> None:
    busy, idle = wire.client(), wire.client()
    idle.send(GET)
    wire.server.send(b":1\r\n")
    busy.send(GET)
    wire.server.close()
    assert busy.closed and not idle.closed and wire.gate.in_flight == 0
    assert wire.metrics.clients.closed["uplink_lost"] == 1
    idle.got()
    idle.send(GET)
    wire.server.send(b":2\r\n")
    assert idle.got() == b":2\r\n"


def test_commands_wait_for_an_unreachable_server_and_then_get_a_clear_error() -> None:
    wire = Wire(wait_limit_s=3.0)
    wire.refuse_connections = True
    client = wire.client()
    client.send(GET + GET)
    assert client.got() == b"" and client.transport.paused
    for _ in range(40):
        wire.advance(0.1)
    answers = client.got().split(b"\r\n")
    assert answers[0].startswith(b"-MASTERDOWN ") and b"connection refused" in answers[0] and answers[1] == answers[0]
    assert wire.attempts > 3
    assert not client.closed and not client.transport.paused


def test_commands_that_waited_go_out_when_the_server_is_back(wire: Wire) -> None:
    wire.refuse_connections = True
    client = wire.client()
    client.send(GET)
    wire.advance(1)
    wire.refuse_connections = False
    wire.advance(3)
    wire.server.send(b":1\r\n")
    assert client.got() == b":1\r\n"


def test_an_uplink_that_takes_no_more_is_waited_for(wire: Wire) -> None:
    one, two = wire.client(), wire.client()
    one.send(GET)
    uplink = wire.server.transport.producer
    assert uplink is not None
    uplink.pauseProducing()
    wire.server.got()
    one.send(GET)
    two.send(cmd("SELECT", 0) + GET)
    assert one.transport.paused and two.transport.paused and wire.server.got() == b""
    uplink.resumeProducing()
    wire.turn()
    assert wire.server.got() == GET * 2 and two.got() == OK


def test_a_server_that_answers_what_was_not_asked_is_not_trusted(wire: Wire) -> None:
    client = wire.client()
    client.send(GET)
    wire.server.send(b":1\r\n:2\r\n")
    assert wire.server.closed and client.got() == b":1\r\n"


def test_a_server_that_talks_nonsense_is_left(wire: Wire) -> None:
    client = wire.client()
    client.send(GET)
    wire.server.send(b"HTTP/1.1 400 Bad Request\r\n")
    assert wire.server.closed and client.closed and wire.gate.in_flight == 0
