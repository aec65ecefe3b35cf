"""What is bound to a pinned connection when its client has to leave it."""

from __future__ import annotations

from redisproxy.resp import encode_command as cmd
from tests.wire import OK, Wire


def test_a_watch_goes_with_the_connection_of_a_blocking_command_that_is_moved(wire: Wire) -> None:
    client = wire.client()
    client.send(cmd("WATCH", "a"))
    server = wire.servers[0]
    server.send(OK)
    client.send(cmd("BLPOP", "b", 0))
    wire.pause()
    server.send(b"*-1\r\n")
    wire.switch()
    wire.unpause()
    wire.server.send(b"*2\r\n$1\r\nb\r\n$1\r\n1\r\n")
    client.send(cmd("MULTI"))
    wire.server.send(OK)
    client.got()
    client.send(cmd("EXEC"))
    assert wire.server.got().endswith(cmd("DISCARD"))
    wire.server.send(OK)
    assert client.got() == b"*-1\r\n"


def test_what_comes_behind_a_blocking_command_waits_on_a_connection_for_life_too(wire: Wire) -> None:
    wire.core.multiplex = False
    client = wire.client()
    client.send(cmd("BLPOP", "b", 0))
    server = wire.servers[0]
    assert server.got() == cmd("BLPOP", "b", 0)
    client.send(cmd("ECHO", "x"))
    assert server.got() == b""
    wire.pause()
    server.send(b"*-1\r\n")
    wire.switch()
    wire.unpause()
    assert wire.server.got() == cmd("BLPOP", "b", 0) and not client.closed
    wire.server.send(b"*2\r\n$1\r\nb\r\n$1\r\n1\r\n")
    assert wire.server.got() == cmd("ECHO", "x")
