"""Client-side caching where bytes are cut, connections are scarce and clients read slowly."""

from __future__ import annotations

import pytest
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import provider

from redisproxy.client.tracking_options import INVALIDATE_ALL
from redisproxy.commands.lookup import CommandTable
from redisproxy.resp import encode_command as cmd
from redisproxy.uplink import UplinkLimits
from redisproxy.uplink.connection import UplinkConnection
from tests.client.test_tracking import GET, ON, QUEUED, VALUE, Move, invalidate, resp3, track
from tests.wire import HELLO, OK, Client, Server, Wire

HELLO_3 = b"%3" + HELLO[2:] % 9
CONFIRMED = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
MESSAGE = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nhello\r\n"
LARGE = invalidate(*(b"key:%06d" % number for number in range(60000)))


@pytest.fixture
def wire() -> Wire:
    return Wire()


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


def test_a_client_forgets_at_once_when_the_new_server_is_in_the_middle_of_a_message(wire: Wire, client: Client) -> None:
    track(wire, client, "BCAST")
    moving = Move(wire)
    new = moving.open()
    moving.copy()
    new.send(OK + LARGE[:600000])
    moving.swap()
    assert client.got() == INVALIDATE_ALL
    new.send(LARGE[600000:] + invalidate(b"x"))
    assert client.got() == invalidate(b"x")


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


def test_a_connection_for_another_database_than_at_the_change_is_given_back(wire: Wire, client: Client) -> None:
    server = track(wire, client)
    moving = Move(wire)
    moving.open()
    client.send(cmd("SELECT", 1))
    server.got()
    server.send(OK)
    copied = moving.copy()
    new = wire.server
    assert new.got() == cmd("SELECT", 1)
    new.send(OK)
    assert new.got() == ON
    new.send(OK)
    assert copied.called
    moving.swap()
    assert client.got() == OK + INVALIDATE_ALL
    assert len(moving.new.pinned_connections) == 1


def test_clients_for_whom_there_are_no_connections_make_the_pause_no_longer(wire: Wire, client: Client) -> None:
    track(wire, client)
    track(wire, resp3(wire))
    wire.limits = UplinkLimits(max_pinned=1)
    moving = Move(wire)
    moving.open()
    wire.advance(1)
    copied = moving.copy()
    wire.server.send(OK)
    assert copied.called
    moving.swap()
    assert client.got() == INVALIDATE_ALL


def test_one_line_tells_of_all_who_can_not_be_moved_for_the_same_reason(wire: Wire) -> None:
    for _ in range(3):
        track(wire, resp3(wire))
    wire.limits = UplinkLimits(max_pinned=1)
    moving = Move(wire)
    moving.open()
    wire.advance(1)
    lines: list[str] = []

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    moving.copy()
    wire.server.send(OK)
    globalLogPublisher.removeObserver(observe)
    taken = "all 1 connections for single clients are taken (uplink.max_pinned)"
    assert [line for line in lines if "moved" in line] == [f"2 clients that get messages can't be moved: {taken}"]


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


def test_what_client_caching_says_of_a_blocking_command_goes_with_it_to_the_new_server(
    wire: Wire, client: Client
) -> None:
    server = track(wire, client, "OPTIN")
    assert client.ask("CLIENT", "CACHING", "YES") == OK
    yes, read = cmd("CLIENT", "CACHING", "YES"), cmd("XREAD", "BLOCK", 0, "STREAMS", "s", "1-1")
    client.send(read)
    assert server.got() == yes + read
    server.send(OK)
    moving = Move(wire)
    new = moving.open()
    wire.pause()
    server.send(b"_\r\n")
    moving.run(moving.subscribers.copy())
    new.got()
    new.send(OK)
    moving.swap()
    wire.unpause()
    wire.advance(1)
    assert new.got() == yes + read


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


class TestAhead:
    """CLIENT TRACKING at the new server before the gate closes."""

    @staticmethod
    def ahead(wire: Wire) -> tuple[Move, Server]:
        moving = Move(wire)
        new = moving.open()
        going = moving.run(moving.subscribers.go_ahead())
        assert new.got() == ON
        new.send(OK)
        assert going.called
        return moving, new

    def test_nothing_is_left_for_the_pause(self, wire: Wire, client: Client) -> None:
        track(wire, client)
        moving, new = self.ahead(wire)
        new.send(invalidate(b"x"))
        assert moving.copy().called and new.got() == b""
        moving.swap()
        wire.unpause()
        assert client.got() == INVALIDATE_ALL and len(moving.new.pinned_connections) == 1
        client.send(GET)
        assert new.got() == GET

    @pytest.mark.parametrize(
        "change", [("CLIENT", "TRACKING", "ON", "NOLOOP"), ("SELECT", "1"), ("SUBSCRIBE", "c"), ("HELLO", "2")]
    )
    def test_what_a_client_has_changed_since_is_made_anew(
        self, wire: Wire, client: Client, change: tuple[str, ...]
    ) -> None:
        wire.core.table = CommandTable(pubsub=True)
        server = track(wire, client)
        moving, new = self.ahead(wire)
        wire.answer_login = change[0] != "HELLO"
        client.send(cmd(*change))
        assert server.got() == cmd(*change)
        server.send(b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n" if change[0] == "SUBSCRIBE" else OK)
        wire.answer_login = True
        moving.copy()
        assert new.closed and new is not wire.server

    @pytest.mark.parametrize("end", [("CLIENT", "TRACKING", "OFF"), ("RESET",), ()])
    def test_whoever_wants_no_messages_any_more_leaves_nothing_there(
        self, wire: Wire, client: Client, end: tuple[str, ...]
    ) -> None:
        server = track(wire, client)
        moving, new = self.ahead(wire)
        if end:
            client.send(cmd(*end))
            server.send(OK)
        else:
            client.close()
        assert moving.copy().called and new.closed
        moving.swap()
        assert len(moving.new.pinned_connections) == 0

    def test_a_server_that_is_lost_in_between_is_asked_again(self, wire: Wire, client: Client) -> None:
        track(wire, client)
        moving, new = self.ahead(wire)
        new.close()
        moving.copy()
        assert wire.server is not new and wire.server.got() == ON

    def test_subscribers_wait_for_the_pause(self, wire: Wire) -> None:
        wire.core.table = CommandTable(pubsub=True)
        client = resp3(wire)
        client.send(cmd("SUBSCRIBE", "c"))
        moving = Move(wire)
        new = moving.open()
        assert moving.run(moving.subscribers.go_ahead()).called and new.got() == b""
