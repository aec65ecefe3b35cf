"""Clients that do not read: who is held up by them, and when they are dropped."""

from __future__ import annotations

from redisproxy.resp import encode_command as cmd
from redisproxy.shared.core import ClientLimits
from tests.wire import Wire

GET = cmd("GET", "a")


def test_a_slow_reader_of_a_pinned_connection_stops_the_server_and_nobody_else(wire: Wire) -> None:
    wire.core.multiplex = False
    client = wire.client()
    client.send(GET)
    wire.server.send(b"$100000\r\n" + b"x" * 1000)
    client.inside.slow_reader.pauseProducing()
    assert wire.server.transport.paused and client.transport.paused
    client.inside.slow_reader.resumeProducing()
    assert not wire.server.transport.paused and not client.transport.paused


def test_a_slow_reader_of_a_large_shared_reply_leaves_the_connection_to_itself(wire: Wire) -> None:
    slow, other = wire.client(), wire.client()
    slow.send(GET)
    first = wire.server
    first.send(b"$300000\r\n" + b"x" * 1000)
    slow.inside.slow_reader.pauseProducing()
    assert first.transport.paused
    other.send(GET)
    wire.server.send(b":1\r\n")
    assert wire.server is not first and other.got() == b":1\r\n"


def test_a_slow_reader_without_outstanding_replies_costs_nobody_a_connection(wire: Wire) -> None:
    slow = wire.client()
    slow.send(GET)
    wire.server.send(b"$3\r\nabc\r\n")
    slow.inside.slow_reader.pauseProducing()
    assert not wire.server.closed and not wire.server.transport.paused
    wire.client().send(GET)
    assert len(wire.servers) == 1


def test_a_slow_reader_that_leaves_takes_its_half_read_reply_along(wire: Wire) -> None:
    slow = wire.client()
    slow.send(GET)
    wire.server.send(b"$300000\r\n" + b"x" * 1000)
    slow.inside.slow_reader.pauseProducing()
    slow.close()
    assert wire.server.closed and wire.gate.in_flight == 0


def test_a_slow_reader_of_many_replies_has_the_connection_to_itself_once_others_have_theirs(wire: Wire) -> None:
    slow, other = wire.client(), wire.client()
    slow.send(GET)
    other.send(GET)
    slow.send(GET * 5)
    first, reply = wire.server, b"$600000\r\n" + b"x" * 600000 + b"\r\n"
    slow.inside.slow_reader.pauseProducing()
    first.send(reply, b":1\r\n", reply)
    assert first.transport.paused and other.got() == b":1\r\n"
    other.send(GET)
    assert wire.server is not first
    slow.inside.slow_reader.resumeProducing()
    assert not first.transport.paused
    first.send(reply * 4)
    assert slow.got() == reply * 6 and not slow.closed and first.closed


def test_a_slow_reader_is_waited_for_although_the_proxy_has_asked_something_behind_it(wire: Wire) -> None:
    slow = wire.client()
    slow.send(GET * 3)
    first = wire.server
    wire.core.uplinks.own_commands.run("COMMAND", "LIST")
    wire.turn()
    slow.inside.slow_reader.pauseProducing()
    assert first.transport.paused and not slow.closed


def test_a_slow_reader_past_the_hard_limit_is_dropped_while_others_wait_behind_it(wire: Wire) -> None:
    wire.core.limits = ClientLimits(output_hard_bytes=1000)
    slow, other = wire.client(), wire.client()
    slow.send(GET)
    other.send(GET)
    slow.inside.slow_reader.pauseProducing()
    assert not wire.server.transport.paused
    wire.server.send(b"$5000\r\n" + b"x" * 2000)
    assert slow.closed and wire.metrics.clients.closed["slow_reader"] == 1
    wire.server.send(b"x" * 3000 + b"\r\n:1\r\n")
    assert other.got() == b":1\r\n"
