"""Clients that share a connection, and the supervision that looks at it."""

from __future__ import annotations

from redisproxy.client import Client as Inside
from redisproxy.resp import encode_command as cmd
from redisproxy.uplink.shared_connections import LAG_S
from tests.wire import Client, Wire

GET = cmd("GET", "a")


def connected(wire: Wire) -> Client:
    """A client with the shared connection at hand."""
    client = wire.client()
    client.send(GET)
    wire.servers[0].send(b":0\r\n")
    client.got()
    wire.servers[0].got()
    return client


def connected_to(wire: Wire, number: int) -> Client:
    """A client whose first command went to the connection of this number, and was answered."""
    client = wire.client()
    client.send(GET)
    server = wire.servers[number]
    assert server.got().endswith(GET)
    server.send(b":0\r\n")
    client.got()
    return client


def look(wire: Wire) -> None:
    """Let a tenth of a second pass, and the set look at its connections."""
    wire.advance(LAG_S)

    def dedicate(client: object) -> None:
        assert isinstance(client, Inside)
        client.share.dedicate()

    wire.uplink_set.head_of_line.check(wire.clock.seconds(), dedicate)
    wire.turn()
