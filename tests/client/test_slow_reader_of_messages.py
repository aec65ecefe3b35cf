"""Subscribers and clients with a cache that do not read what the server sends of itself."""

from __future__ import annotations

import pytest

from redisproxy.commands.lookup import CommandTable
from redisproxy.resp import encode_command as cmd
from tests.handlers.caching import GET, invalidate, resp3, track
from tests.handlers.moving import Move
from tests.wire import Client, Server, Wire

CONFIRMED = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"


MESSAGE = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nhello\r\n"


LARGE = invalidate(*(b"key:%06d" % number for number in range(60000)))


@pytest.fixture
def client(wire: Wire) -> Client:
    return resp3(wire)


def test_a_client_that_reads_no_invalidations_is_dropped_when_they_are_too_many() -> None:
    wire = Wire(ping_interval_s=5.0)
    client = resp3(wire)
    server = track(wire, client)
    client.inside.slow_reader.pauseProducing()
    assert not server.transport.paused
    many = wire.core.limits.output_hard_bytes // len(LARGE)
    for _ in range(many):
        server.send(LARGE)
    assert not client.closed and not server.transport.paused
    server.send(LARGE)
    assert client.closed and wire.metrics.clients.closed == {"slow_reader": 1}


def test_a_client_that_reads_no_replies_and_is_tracked_is_asked_for_no_more(wire: Wire, client: Client) -> None:
    server = track(wire, client)
    client.send(GET)
    client.inside.slow_reader.pauseProducing()
    assert server.transport.paused
    client.inside.slow_reader.resumeProducing()
    assert not server.transport.paused


def slow_subscriber(wire: Wire) -> tuple[Client, Server]:
    wire.core.table = CommandTable(pubsub=True)
    client = wire.client()
    client.send(cmd("SUBSCRIBE", "c"))
    server = wire.server
    server.got()
    server.send(CONFIRMED)
    assert client.got() == CONFIRMED
    client.inside.slow_reader.pauseProducing()
    assert server.transport.paused
    return client, server


class TestASubscriberThatReadsNothing:
    """It makes the pause no longer: what it has not read is held for it, within its limit."""

    def test_gets_the_last_messages_of_the_old_server(self, wire: Wire) -> None:
        client, server = slow_subscriber(wire)
        moving = Move(wire)
        new = moving.open()
        copied = moving.copy()
        new.send(CONFIRMED)
        assert server.got() == cmd("PING") and not server.transport.paused
        server.send(MESSAGE * 50000)
        assert not server.transport.paused and not copied.called
        server.send(b"+PONG\r\n")
        assert copied.called and server.transport.paused
        moving.swap()
        assert client.got() == MESSAGE * 50000 and not client.closed

    def test_is_dropped_when_there_are_too_many(self, wire: Wire) -> None:
        client, server = slow_subscriber(wire)
        moving = Move(wire)
        new = moving.open()
        copied = moving.copy()
        new.send(CONFIRMED)
        for _ in range(2):
            server.send(MESSAGE * (wire.core.limits.output_hard_bytes // len(MESSAGE) // 2 + 1))
        assert copied.called and client.closed and wire.metrics.clients.closed == {"slow_reader": 1}
        moving.swap()
        assert new.closed
