"""Messages of the proxy's own, wherever the replies around them are cut."""

from __future__ import annotations

import pytest

from redisproxy.client.tracking_options import INVALIDATE_ALL
from redisproxy.resp import encode_command as cmd
from redisproxy.uplink.connection import UplinkConnection
from tests.handlers.caching import GET, ON, VALUE, invalidate, resp3, track
from tests.handlers.moving import Move
from tests.wire import HELLO, OK, QUEUED, Client, Wire

HELLO_3 = b"%3" + HELLO[2:] % 9


@pytest.fixture
def client(wire: Wire) -> Client:
    return resp3(wire)


def owing(wire: Wire) -> tuple[Client, Move]:
    """A client with tracking in RESP2 that has moved: it can't be told there to forget what it has cached."""
    client = wire.client()
    track(wire, client)
    moving = Move(wire)
    new = moving.open()
    moving.copy()
    new.got()
    new.send(OK)
    moving.swap()
    wire.unpause()
    return client, moving


@pytest.mark.parametrize("cut", [0, 1, 5, 12, 30, 150])
def test_what_a_client_has_to_forget_is_told_behind_the_reply_of_exec(wire: Wire, cut: int) -> None:
    client, _ = owing(wire)
    server = wire.server
    wire.answer_login = False
    client.send(cmd("MULTI"))
    server.got()
    server.send(OK)
    client.send(GET + cmd("HELLO", 3) + GET)
    server.got()
    server.send(QUEUED * 3)
    client.got()
    client.send(cmd("EXEC"))
    reply = b"*3\r\n$1\r\n1\r\n" + HELLO_3 + b"$1\r\n2\r\n"
    if cut:
        server.send(reply[:cut])
    server.send(reply[cut:])
    got = client.got()
    assert got.endswith(b"$1\r\n2\r\n" + INVALIDATE_ALL) and got.count(b"invalidate") == 1


@pytest.mark.parametrize("cut", range(1, len(HELLO_3)))
def test_tracking_may_begin_while_the_answer_to_a_command_of_the_proxys_own_arrives(wire: Wire, cut: int) -> None:
    client = wire.client()
    client.inside.share.dedicate()
    client.send(GET)
    server = wire.server
    server.got()
    server.send(VALUE)
    client.got()
    wire.answer_login = False
    client.send(cmd("HELLO", 3))
    assert server.got() == cmd("HELLO", 3)
    client.got()
    server.send(HELLO_3[:cut])
    client.send(ON)
    server.send(HELLO_3[cut:])
    assert server.got() == ON
    server.send(OK + invalidate(b"x"))
    assert client.got() == OK + invalidate(b"x")


@pytest.mark.parametrize("cut", range(1, 7))
def test_tracking_may_end_while_the_answer_to_a_command_of_the_proxys_own_arrives(
    wire: Wire, client: Client, cut: int
) -> None:
    client.inside.share.dedicate()
    server = track(wire, client)
    client.send(cmd("CLIENT", "TRACKING", "OFF"))
    connection = client.inside.route.connection
    assert isinstance(connection, UplinkConnection)
    connection.keepalive.ping(0.0)
    server.send(OK + b"+PONG\r\n"[:cut])
    server.send(b"+PONG\r\n"[cut:])
    assert client.got() == OK
    client.send(GET)
    server.send(VALUE)
    assert client.got() == VALUE


@pytest.mark.parametrize("cut", range(1, 7))
def test_a_push_of_the_proxys_own_waits_no_longer_than_for_the_answer_that_is_under_way(
    wire: Wire, client: Client, cut: int
) -> None:
    server = track(wire, client)
    connection = client.inside.route.connection
    assert isinstance(connection, UplinkConnection)
    connection.keepalive.ping(0.0)
    server.send(b"+PONG\r\n"[:cut])
    client.inside.push(b">1\r\n+x\r\n")
    server.send(b"+PONG\r\n"[cut:])
    assert client.got() == b">1\r\n+x\r\n"
