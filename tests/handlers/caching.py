"""Clients with CLIENT TRACKING on, for the tests of that and of what comes between replies."""

from __future__ import annotations

from redisproxy.resp import encode_command as cmd
from tests.handlers.moving import Move
from tests.wire import OK, Client, Server, Wire

ON = cmd("CLIENT", "TRACKING", "ON")


YES = cmd("CLIENT", "CACHING", "YES")
GET = cmd("GET", "x")


VALUE = b"$1\r\n1\r\n"


def invalidate(*keys: bytes) -> bytes:
    names = b"".join(b"$%d\r\n%s\r\n" % (len(key), key) for key in keys)
    return b">2\r\n$10\r\ninvalidate\r\n*%d\r\n" % len(keys) + names


def resp3(wire: Wire) -> Client:
    client = wire.client()
    assert b"$5\r\nproto\r\n:3\r\n" in client.ask("HELLO", 3)
    return client


def track(wire: Wire, client: Client, *options: str) -> Server:
    """Turn tracking on; the connection that is pinned for it."""
    client.send(cmd("CLIENT", "TRACKING", "ON", *options))
    pinned = wire.server
    assert pinned.got() == cmd("CLIENT", "TRACKING", "ON", *options)
    pinned.send(OK)
    assert client.got() == OK
    return pinned


def move(wire: Wire, expected: bytes = ON) -> Server:
    """Move one client with tracking on; its new connection."""
    moving = Move(wire)
    new = moving.open()
    copied = moving.copy()
    assert new.got() == expected
    new.send(OK * expected.count(b"TRACKING"))
    assert copied.called
    moving.renew()
    moving.swap()
    return new
