"""Client-side caching moves to another server, interrupted wherever it waits."""

from __future__ import annotations

import pytest
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import provider

from redisproxy.client.tracking_options import INVALIDATE_ALL
from redisproxy.commands.lookup import CommandTable
from redisproxy.resp import encode_command as cmd
from redisproxy.uplink import UplinkLimits
from tests.handlers.caching import GET, ON, VALUE, YES, invalidate, move, resp3, track
from tests.handlers.moving import Move
from tests.wire import EXECABORT, OK, QUEUED, Client, Server, Wire

pytestmark = pytest.mark.usefixtures("nothing_is_logged")


LARGE = invalidate(*(b"key:%06d" % number for number in range(60000)))


@pytest.fixture
def client(wire: Wire) -> Client:
    return resp3(wire)


class TestSwitch:
    def test_tracking_is_on_before_the_client_forgets_and_goes_on(self, wire: Wire, client: Client) -> None:
        old = track(wire, client, "NOLOOP")
        moving = Move(wire)
        new = moving.open()
        copied = moving.copy()
        client.send(GET)
        assert new.got() == cmd("CLIENT", "TRACKING", "ON", "NOLOOP") and not copied.called
        new.send(OK + invalidate(b"y"))  # nobody has cached it from there
        assert copied.called and client.got() == b""
        old.send(invalidate(b"x"))
        assert client.got() == invalidate(b"x")
        moving.swap()
        assert client.got() == INVALIDATE_ALL and old.closed and new.got() == b""
        wire.unpause()
        assert new.got() == GET
        new.send(VALUE + invalidate(b"x"))
        assert client.got() == VALUE + invalidate(b"x")

    def test_all_prefixes_go_along(self, wire: Wire, client: Client) -> None:
        track(wire, client, "BCAST", "PREFIX", "a", "PREFIX", "b")
        track(wire, client, "BCAST", "NOLOOP")
        on = ["CLIENT", "TRACKING", "ON", "BCAST", "NOLOOP"]
        move(wire, cmd(*on, "PREFIX", "a", "PREFIX", "b") + cmd(*on))
        assert client.got() == INVALIDATE_ALL

    def test_the_database_goes_along(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        client.send(cmd("SELECT", 3))
        pinned.send(OK)
        client.got()
        move(wire)
        assert client.inside.route.connection is not None and client.inside.route.connection.db == 3

    def test_an_abandoned_move_changes_nothing(self, wire: Wire, client: Client) -> None:
        old = track(wire, client)
        moving = Move(wire)
        new = moving.open()
        moving.copy()
        new.send(OK)
        moving.new.close()
        wire.turn()
        wire.unpause()
        client.send(GET)
        assert old.got() == GET and new.closed
        old.send(VALUE)
        assert client.got() == VALUE

    def test_one_that_is_abandoned_while_the_server_is_asked_changes_nothing(self, wire: Wire, client: Client) -> None:
        old = track(wire, client)
        moving = Move(wire)
        new = moving.open()
        copied = moving.copy()
        moving.new.close()
        wire.turn()
        assert copied.called and new.closed and not old.closed and client.got() == b""

    @pytest.mark.parametrize("when", ["opening", "copying", "copied"])
    @pytest.mark.parametrize("lost", ["new", "old", "client"])
    def test_losing_one_end_at_any_time(self, wire: Wire, client: Client, when: str, lost: str) -> None:
        old = track(wire, client)
        moving = Move(wire)
        new = moving.open()
        ends = {"new": new, "old": old, "client": client}
        if when == "opening":
            ends[lost].close()
        copied = moving.copy()
        new = wire.server
        ends["new"] = new if when != "opening" or lost == "new" else ends["new"]
        if when == "copying":
            ends[lost].close()
        if not new.closed:
            new.send(OK)
        if when == "copied":
            ends[lost].close()
        assert copied.called
        moving.swap()
        told = client.got()
        wire.unpause()
        if lost == "client":
            assert told == b"" and old.closed and (new.closed or when == "opening")
            return
        assert told == INVALIDATE_ALL and not client.closed
        client.send(GET)
        if lost == "new" and when == "opening":
            assert wire.server.got().endswith(GET)
        else:
            assert wire.server.got() == ON
            wire.server.send(OK)
            assert wire.server.got() == GET
        wire.server.send(VALUE)
        assert client.got() == VALUE

    def test_a_refusal_leaves_it_to_the_next_command(self, wire: Wire, client: Client) -> None:
        track(wire, client)
        moving = Move(wire)
        new = moving.open()
        moving.copy()
        new.send(b"-NOPERM\r\n")
        assert new.closed
        moving.swap()
        assert client.got() == INVALIDATE_ALL
        wire.unpause()
        client.send(GET)
        assert wire.server.got() == ON
        wire.server.send(b"-NOPERM\r\n")
        assert client.closed and client.got() == b""

    def test_a_server_that_does_not_answer_holds_nobody_up(self, wire: Wire, client: Client) -> None:
        track(wire, client)
        moving = Move(wire)
        new = moving.open()
        copied = moving.copy()
        wire.advance(1.1)
        assert copied.called and new.closed
        moving.swap()
        assert client.got() == INVALIDATE_ALL and not client.closed

    def test_a_client_in_the_middle_of_a_message_is_dropped(self, wire: Wire, client: Client) -> None:
        old = track(wire, client)
        moving = Move(wire)
        new = moving.open()
        moving.copy()
        new.send(OK)
        part = invalidate(b"k" * 1_000_000)[:700_000]
        old.send(part)
        moving.swap()
        assert client.closed and client.got() == part

    def test_with_broadcasts_a_client_that_can_not_be_moved_is_dropped(self, wire: Wire, client: Client) -> None:
        track(wire, client, "BCAST")
        moving = Move(wire)
        new = moving.open()
        moving.copy()
        new.close()
        moving.swap()
        assert client.closed and client.got() == b""

    def test_in_resp2_the_client_is_told_after_hello_3(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        wire.answer_login = False
        client.ask("HELLO", 2)
        pinned.send(b"*0\r\n")
        wire.answer_login = True
        pinned.got()
        new = move(wire)
        assert client.got() == b""
        wire.unpause()
        wire.answer_login = False
        answer = client.ask("HELLO", 3)
        assert answer.endswith(INVALIDATE_ALL) and answer.count(INVALIDATE_ALL) == 1 and new.got() == cmd("HELLO", 3)

    def test_a_hello_3_inside_of_multi_tells_behind_the_reply(self, wire: Wire) -> None:
        client = wire.client()
        track(wire, client)
        new = move(wire)
        wire.unpause()
        wire.answer_login = False
        for command, answer in ((cmd("MULTI"), OK), (cmd("HELLO", 3), QUEUED), (GET, QUEUED)):
            client.send(command)
            new.send(answer)
        client.got()
        client.send(cmd("EXEC"))
        new.send(b"*2\r\n%0\r\n" + VALUE)
        answer = client.got()
        assert answer.endswith(VALUE + INVALIDATE_ALL) and answer.count(INVALIDATE_ALL) == 1


class TestTransactions:
    def test_an_open_one_is_queued_again_behind_tracking(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client, "OPTIN")
        client.send(YES + cmd("MULTI"))
        pinned.send(OK + OK)
        client.send(GET)
        pinned.send(QUEUED)
        assert client.got() == OK + OK + QUEUED
        moving = Move(wire)
        new = moving.open()
        copied = moving.copy()
        new.got()
        pinned.got()
        new.send(OK)
        assert copied.called and pinned.got() == b""  # what is sent there would be queued
        moving.renew()
        assert new.got() == YES + cmd("MULTI") + GET
        new.send(OK + OK + QUEUED)
        moving.swap()
        assert client.got() == INVALIDATE_ALL
        wire.unpause()
        client.send(cmd("EXEC"))
        assert new.got() == cmd("EXEC")
        new.send(b"*1\r\n" + VALUE)
        assert client.got() == b"*1\r\n" + VALUE

    @pytest.mark.parametrize("mode", ["BCAST", "OPTIN"])
    def test_one_that_can_not_be_queued_again_there_fails_and_its_client_stays(
        self, wire: Wire, client: Client, mode: str
    ) -> None:
        pinned = track(wire, client, mode)
        client.send(cmd("MULTI"))
        pinned.send(OK)
        client.send(GET)
        pinned.send(QUEUED)
        moving = Move(wire)
        new = moving.open()
        moving.copy()
        new.send(OK)
        moving.renew()
        new.got()
        new.send(OK + b"-ERR\r\n")
        assert new.got() == cmd("DISCARD") + cmd("UNWATCH")
        new.send(OK + OK)
        moving.swap()
        wire.unpause()
        assert client.got().endswith(INVALIDATE_ALL)
        assert client.ask("GET", "x") == QUEUED and client.ask("EXEC") == EXECABORT
        client.send(GET)
        assert new.got() == GET

    def test_one_that_is_not_queued_again_in_time_is_left_with_the_connection(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        client.send(cmd("MULTI"))
        pinned.send(OK)
        moving = Move(wire)
        new = moving.open()
        moving.copy()
        new.send(OK)
        moving.renew()
        wire.advance(1.1)
        assert new.closed
        moving.swap()
        wire.unpause()
        client.got()
        client.send(cmd("EXEC"))
        assert wire.server.got() == ON + cmd("MULTI")

    @pytest.mark.parametrize("proven", [True, False])
    def test_a_watch_is_made_again_if_it_is_proven(self, wire: Wire, client: Client, proven: bool) -> None:
        pinned = track(wire, client)
        client.send(cmd("WATCH", "x"))
        pinned.send(OK)
        client.got()
        moving = Move(wire)
        new = moving.open()
        wire.pause()
        moving.run(moving.watches.prove())
        pinned.send(OK + QUEUED + (b"*1\r\n:-1\r\n" if proven else b"_\r\n") + OK)
        moving.run(moving.streams.copy())
        assert new.got() == ON
        new.send(OK)
        moving.renew()
        assert new.got() == (cmd("WATCH", "x") if proven else b"")
        if proven:
            new.send(OK)
        moving.swap()
        assert client.got() == INVALIDATE_ALL and not client.closed
        wire.unpause()
        client.send(cmd("MULTI"))
        new.send(OK)
        client.send(cmd("EXEC"))
        assert new.got() == cmd("MULTI") + cmd("EXEC" if proven else "DISCARD")

    def test_a_command_that_can_not_be_queued_ends_it_and_leaves_tracking_on(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client, "BCAST")
        client.send(cmd("MULTI"))
        pinned.send(OK)
        client.send(cmd("MONITOR") + cmd("CLIENT", "TRACKING", "OFF") + cmd("EXEC"))
        assert b"TRACKING" not in pinned.got()
        pinned.send(b"-ERR 1\r\n" + invalidate(b"x") + b"-ERR 2\r\n" + EXECABORT)
        answer = client.got()
        assert invalidate(b"x") in answer and answer.endswith(EXECABORT) and not client.closed
        assert b"-ERR redisproxy does not change CLIENT TRACKING inside of MULTI" in answer
        assert client.inside.session.tracking is not None

    def test_what_the_server_knows_of_it_the_server_answers_inside_of_a_transaction(
        self, wire: Wire, client: Client
    ) -> None:
        pinned = track(wire, client, "OPTIN")
        client.send(cmd("MULTI"))
        pinned.send(OK)
        pinned.got()
        asked = cmd("CLIENT", "TRACKINGINFO") + cmd("CLIENT", "CACHING", "YES")
        client.send(asked)
        assert pinned.got() == asked


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
    moving.run(moving.streams.copy())
    new.got()
    new.send(OK)
    moving.swap()
    wire.unpause()
    wire.advance(1)
    assert new.got() == yes + read


class TestAhead:
    """CLIENT TRACKING at the new server before the gate closes."""

    @staticmethod
    def ahead(wire: Wire) -> tuple[Move, Server]:
        moving = Move(wire)
        new = moving.open()
        going = moving.run(moving.streams.go_ahead())
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
        assert moving.run(moving.streams.go_ahead()).called and new.got() == b""
