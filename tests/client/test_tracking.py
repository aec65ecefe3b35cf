"""Client-side caching on the command path, and its move to another server, interrupted wherever it waits."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import ILogObserver, globalLogPublisher
from zope.interface import provider

from redisproxy.client.session_value import MAX_PREFIXES
from redisproxy.client.tracking_options import INVALIDATE_ALL
from redisproxy.dataplane.subscriptions import Subscribers
from redisproxy.dataplane.watches import Watches
from redisproxy.resp import encode_command as cmd
from tests.wire import OK, Client, Server, Wire

ON = cmd("CLIENT", "TRACKING", "ON")
QUEUED = b"+QUEUED\r\n"
EXECABORT = b"-EXECABORT Transaction discarded because of previous errors.\r\n"
GET = cmd("GET", "x")
VALUE = b"$1\r\n1\r\n"


def invalidate(*keys: bytes) -> bytes:
    names = b"".join(b"$%d\r\n%s\r\n" % (len(key), key) for key in keys)
    return b">2\r\n$10\r\ninvalidate\r\n*%d\r\n" % len(keys) + names


@pytest.fixture(autouse=True)
def nothing_is_logged() -> Iterator[None]:
    """No failure is logged, and none is left unhandled."""
    failures: list[str] = []

    @provider(ILogObserver)
    def observe(event: dict[str, Any]) -> None:
        if "log_failure" in event:
            failures.append(event["log_failure"].getTraceback())

    globalLogPublisher.addObserver(observe)
    yield
    gc.collect()
    globalLogPublisher.removeObserver(observe)
    assert not failures, failures[0]


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def client(wire: Wire) -> Client:
    return resp3(wire)


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


class Move:
    """What a reload does with the connections that bring messages, step by step."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.new = wire.uplinks()
        registry = wire.registry
        self.subscribers = Subscribers(registry, self.new, wire.clock, 1.0)
        self.watches = Watches(registry, self.new, wire.clock, 1.0)

    def open(self) -> Server:
        """Open the connections; the last one."""
        self.run(self.subscribers.open())
        return self.wire.server

    def copy(self) -> Deferred[Any]:
        """Close the gate and begin to copy."""
        self.wire.pause()
        assert not self.wire.gate.in_flight
        return self.run(self.subscribers.copy())

    def renew(self) -> Deferred[Any]:
        """Make WATCH and MULTI again."""
        return self.run(self.watches.renew(self.subscribers.connections()))

    def run(self, work: Any) -> Deferred[Any]:
        running = ensureDeferred(work)
        self.wire.turn()
        return running

    def swap(self) -> None:
        """Change over, as plan.swap and proxy.take do."""
        self.subscribers.change_over(self.watches.on_copies)
        self.watches.change_over()
        old, self.wire.core.uplinks = self.wire.core.uplinks, self.new
        old.close()  # type: ignore[attr-defined]
        self.wire.turn()


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


class TestOn:
    def test_messages_reach_the_client_between_the_replies(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        client.send(GET + GET)
        assert pinned.got() == GET + GET and wire.gate.in_flight == 2
        pinned.send(VALUE + invalidate(b"x") + b"$1\r\n2\r\n")
        assert client.got() == VALUE + invalidate(b"x") + b"$1\r\n2\r\n"
        assert wire.gate.in_flight == client.inside.lane.pending == 0

    def test_a_message_reaches_a_client_that_waits_for_nothing(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        message = invalidate(b"x", b"y")
        for at in range(len(message)):
            pinned.send(message[at : at + 1])
        assert client.got() == message and not pinned.closed

    def test_a_message_is_heard_while_replies_are_off(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        client.send(cmd("CLIENT", "REPLY", "OFF") + GET)
        pinned.send(VALUE + invalidate(b"x"))
        assert client.got() == invalidate(b"x")

    def test_a_large_message_arrives_in_pieces_and_nothing_is_written_into_it(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        message = invalidate(b"k" * 1_000_000)
        pinned.send(message[:700_000])
        client.send(cmd("CLIENT", "ID"))
        pinned.send(message[700_000:])
        answer = client.got()
        assert answer.startswith(message) and answer[len(message) :].startswith(b":")

    def test_the_server_checks_the_options(self, wire: Wire, client: Client) -> None:
        client.send(cmd("CLIENT", "TRACKING", "ON", "OPTIN", "OPTOUT"))
        wire.server.send(b"-ERR You can't specify both OPTIN mode and OPTOUT mode\r\n")
        assert client.got().startswith(b"-ERR You can't")
        assert not client.inside.route.pinned and client.inside.session.tracking is None

    @pytest.mark.parametrize("options", [["REDIRECT", "5"], ["NOLOOP", "REDIRECT", "05"]])
    def test_redirect_is_refused(self, wire: Wire, client: Client, options: list[str]) -> None:
        servers = len(wire.servers)
        assert b"REDIRECT" in client.ask("CLIENT", "TRACKING", "ON", *options)
        assert len(wire.servers) == servers and client.ask("CLIENT", "GETREDIR") == b":-1\r\n"

    def test_a_prefix_may_have_the_name_of_an_option(self, wire: Wire, client: Client) -> None:
        track(wire, client, "BCAST", "PREFIX", "REDIRECT", "PREFIX", "5")

    def test_prefixes_are_bounded(self, wire: Wire, client: Client) -> None:
        track(wire, client, "BCAST", "PREFIX", "a")
        words = [word for number in range(MAX_PREFIXES) for word in ("PREFIX", str(number))]
        assert b"no more than" in client.ask("CLIENT", "TRACKING", "ON", "BCAST", *words)

    def test_arguments_are_counted(self, wire: Wire, client: Client) -> None:
        for words in (["TRACKING"], ["CACHING"], ["CACHING", "YES", "NO"], ["TRACKINGINFO", "x"]):
            assert client.ask("CLIENT", *words).startswith(b"-ERR wrong number of arguments for 'client|")

    def test_what_the_proxy_tells_of_it(self, wire: Wire, client: Client) -> None:
        assert b"~1\r\n$3\r\noff\r\n" in client.ask("CLIENT", "TRACKINGINFO")
        pinned = track(wire, client, "BCAST")
        assert client.ask("CLIENT", "GETREDIR") == b":0\r\n"
        info = client.ask("CLIENT", "INFO")
        assert b" flags=tB " in info and b" redir=0 " in info
        client.send(cmd("CLIENT", "TRACKINGINFO"))
        assert pinned.got() == cmd("CLIENT", "TRACKINGINFO")
        pinned.send(b"%3\r\n+a\r\n+b\r\n+c\r\n+d\r\n+e\r\n*0\r\n")
        assert client.got() == b"%3\r\n+a\r\n+b\r\n+c\r\n+d\r\n+e\r\n*0\r\n"

    def test_database_and_blocking_commands_use_the_same_connection(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        client.send(cmd("SELECT", 3))
        pinned.send(OK)
        client.send(cmd("BLPOP", "l", 0))
        pinned.send(b"*2\r\n$1\r\nl\r\n$1\r\n1\r\n")
        client.send(GET)
        assert pinned.got() == cmd("SELECT", 3) + cmd("BLPOP", "l", 0) + GET

    def test_an_array_that_looks_like_a_message_is_a_reply(self, wire: Wire) -> None:
        client = wire.client()
        client.send(cmd("CLIENT", "TRACKING", "ON"))
        wire.server.got()
        wire.server.send(OK)
        client.send(cmd("LRANGE", "l", 0, -1))
        reply = b"*3\r\n$7\r\nmessage\r\n$9\r\nsubscribe\r\n$1\r\na\r\n"
        wire.server.send(reply)
        assert client.got() == OK + reply and client.inside.lane.pending == wire.gate.in_flight == 0


class TestOrder:
    @pytest.mark.parametrize("command", ["CLIENT GETREDIR", "HELLO 2"])
    def test_what_the_proxy_answers_comes_behind_messages_that_were_there(
        self, wire: Wire, client: Client, command: str
    ) -> None:
        pinned = track(wire, client)
        wire.answer_login = False
        client.send(cmd("INCR", "x") + cmd(*command.split()))
        pinned.send(b":1\r\n" + invalidate(b"x"))
        answer = client.got()
        assert answer.startswith(b":1\r\n" + invalidate(b"x")) and len(answer) > len(b":1\r\n" + invalidate(b"x"))


class TestEnd:
    def test_off_closes_the_connection_because_the_server_still_knows_what_was_read_there(
        self, wire: Wire, client: Client
    ) -> None:
        pinned = track(wire, client)
        client.send(cmd("CLIENT", "TRACKING", "OFF"))
        pinned.send(OK)
        assert client.got() == OK and not client.inside.route.pinned and pinned.closed

    def test_off_without_on_gives_the_connection_back(self, wire: Wire, client: Client) -> None:
        client.send(cmd("CLIENT", "TRACKING", "OFF"))
        wire.server.send(OK)
        assert client.got() == OK and not client.inside.route.pinned and not wire.server.closed

    def test_off_on_a_connection_that_the_client_keeps_closes_it_when_it_leaves(
        self, wire: Wire, client: Client
    ) -> None:
        client.inside.share.dedicate()
        pinned = track(wire, client)
        client.send(cmd("CLIENT", "TRACKING", "OFF"))
        pinned.send(OK)
        assert not pinned.closed
        client.close()
        assert pinned.closed

    def test_off_keeps_a_watch(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        client.send(cmd("WATCH", "x"))
        pinned.send(OK)
        client.send(cmd("CLIENT", "TRACKING", "OFF"))
        pinned.send(OK)
        assert client.inside.route.pinned and client.inside.session.watching

    def test_reset_closes_the_connection_without_a_message(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        assert client.ask("RESET") == b"+RESET\r\n"
        assert pinned.closed and client.inside.session.tracking is None

    def test_a_client_that_goes_takes_the_connection_along(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        client.close()
        assert pinned.closed

    def test_it_stays_on_in_resp2_and_is_silent(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        wire.answer_login = False
        client.ask("HELLO", 2)
        assert pinned.got() == cmd("HELLO", 2)
        pinned.send(invalidate(b"x") + b"*0\r\n")
        assert client.got() == b""
        client.send(cmd("LRANGE", "l", 0, -1))
        pinned.send(b"*2\r\n$7\r\nmessage\r\n$1\r\na\r\n")
        assert client.got() == b"*2\r\n$7\r\nmessage\r\n$1\r\na\r\n"


class TestCaching:
    YES = cmd("CLIENT", "CACHING", "YES")

    def test_it_goes_out_together_with_the_next_command(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client, "OPTIN")
        assert client.ask("CLIENT", "CACHING", "YES") == OK and pinned.got() == b""
        client.send(GET + GET)
        assert pinned.got() == self.YES + GET + GET
        pinned.send(OK + VALUE + VALUE)
        assert client.got() == VALUE + VALUE

    def test_it_outlasts_client_commands_only(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client, "OPTIN")
        client.send(self.YES + cmd("CLIENT", "ID") + cmd("CLIENT", "TRACKING", "ON", "OPTIN"))
        assert pinned.got() == cmd("CLIENT", "TRACKING", "ON", "OPTIN")
        pinned.send(OK)
        client.send(cmd("BLPOP", "l", 0))
        assert pinned.got() == self.YES + cmd("BLPOP", "l", 0)
        pinned.send(OK + b"*-1\r\n")
        client.send(self.YES + cmd("ACL", "WHOAMI") + GET)
        assert pinned.got() == GET

    @pytest.mark.parametrize(
        ("options", "mode", "error"),
        [
            ([], "YES", b"CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."),
            (["OPTOUT"], "yes", b"CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."),
            (["OPTIN"], "NO", b"CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."),
            (["OPTIN"], "x", b"-ERR syntax error\r\n"),
        ],
    )
    def test_errors(self, wire: Wire, client: Client, options: list[str], mode: str, error: bytes) -> None:
        track(wire, client, *options)
        assert error in client.ask("CLIENT", "CACHING", mode)

    def test_without_tracking(self, client: Client) -> None:
        assert b"can be called only when" in client.ask("CLIENT", "CACHING", "YES")

    def test_it_counts_for_a_whole_transaction(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client, "OPTIN")
        client.send(self.YES + cmd("MULTI"))
        assert pinned.got() == self.YES + cmd("MULTI")
        pinned.send(OK + OK)
        assert client.got() == OK + OK

    def test_inside_of_multi_it_is_queued(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client, "OPTIN")
        client.send(cmd("MULTI"))
        pinned.send(OK)
        client.send(self.YES + GET)
        assert pinned.got() == cmd("MULTI") + self.YES + GET

    def test_a_client_whose_key_is_not_tracked_after_all_is_dropped(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client, "OPTIN")
        client.send(self.YES + GET)
        pinned.send(b"-NOPERM\r\n")
        assert client.closed and client.got() == OK

    def test_a_switch_between_it_and_its_command(self, wire: Wire, client: Client) -> None:
        track(wire, client, "OPTIN")
        client.ask("CLIENT", "CACHING", "YES")
        new = move(wire, cmd("CLIENT", "TRACKING", "ON", "OPTIN"))
        assert client.got() == INVALIDATE_ALL
        wire.unpause()
        client.send(GET)
        assert new.got() == self.YES + GET


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
        client.send(TestCaching.YES + cmd("MULTI"))
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
        assert new.got() == TestCaching.YES + cmd("MULTI") + GET
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
        moving.run(moving.subscribers.copy())
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


class TestLostUplink:
    def test_the_client_forgets_and_tracking_is_on_before_the_next_command(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client, "OPTOUT")
        pinned.close()
        assert client.got() == INVALIDATE_ALL and not client.closed
        client.send(GET + GET)
        assert wire.server.got() == cmd("CLIENT", "TRACKING", "ON", "OPTOUT") and wire.gate.in_flight == 1
        wire.server.send(OK)
        assert wire.server.got() == GET + GET
        wire.server.send(VALUE + invalidate(b"x") + VALUE)
        assert client.got() == VALUE + invalidate(b"x") + VALUE and wire.gate.in_flight == 0

    def test_it_is_lost_again_while_it_is_made_again(self, wire: Wire, client: Client) -> None:
        track(wire, client).close()
        client.send(GET)
        assert wire.server.got() == ON
        wire.server.close()
        assert wire.server.got() == ON and wire.gate.in_flight == 1
        wire.server.send(OK)
        assert wire.server.got() == GET

    def test_the_gate_closes_before_it_is_made_again(self, wire: Wire, client: Client) -> None:
        track(wire, client).close()
        wire.answer_login = False
        client.send(GET)
        wire.pause()
        wire.answer_login = True
        wire.turn()
        assert wire.server.got() == b"" and wire.gate.in_flight == 0
        wire.unpause()
        assert wire.server.got() == ON

    def test_a_transaction_is_queued_again_behind_it(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        client.send(cmd("MULTI"))
        pinned.send(OK)
        pinned.close()
        client.send(GET)
        assert wire.server.got() == ON + cmd("MULTI")
        wire.server.send(OK + OK)
        assert wire.server.got() == GET

    def test_one_that_is_silently_lost_is_found(self) -> None:
        wire = Wire(ping_interval_s=5.0, ping_timeout_s=5.0)
        client = resp3(wire)
        pinned = track(wire, client)
        for _ in range(4):
            wire.advance(5.1)
            for server in wire.servers:
                if server is not pinned and server.got():
                    server.send(b"+PONG\r\n")
            wire.core.uplinks.tick(wire.clock.seconds())  # type: ignore[attr-defined]
            wire.turn()
        assert pinned.got() == cmd("PING") and pinned.closed
        assert client.got() == INVALIDATE_ALL and not client.closed

    @pytest.mark.parametrize("state", ["MULTI", "WATCH x", "BCAST"])
    def test_one_with_more_to_lose_is_not_asked(self, state: str) -> None:
        wire = Wire(ping_interval_s=5.0, ping_timeout_s=5.0)
        client = resp3(wire)
        pinned = track(wire, client, *(["BCAST"] if state == "BCAST" else []))
        if state != "BCAST":
            client.send(cmd(*state.split()))
            pinned.send(OK)
            pinned.got()
        for _ in range(3):
            wire.advance(5.1)
            wire.core.uplinks.tick(wire.clock.seconds())  # type: ignore[attr-defined]
            wire.turn()
        assert pinned.got() == b"" and not pinned.closed

    def test_one_that_waits_for_a_reply_is_dropped(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        client.send(GET)
        pinned.close()
        assert client.closed and client.got() == b""

    def test_one_with_broadcasts_is_dropped(self, wire: Wire, client: Client) -> None:
        track(wire, client, "BCAST").close()
        assert client.closed and wire.metrics.clients.closed["uplink_lost"] == 1

    def test_one_in_the_middle_of_a_message_is_dropped(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        pinned.send(invalidate(b"k" * 1_000_000)[:700_000])
        pinned.close()
        assert client.closed

    def test_plain_commands_never_pass_it_on_a_shared_connection(self, wire: Wire, client: Client) -> None:
        other = resp3(wire)
        other.send(GET)
        shared = wire.server
        shared.got()
        shared.send(VALUE)
        track(wire, client).close()
        client.send(GET)
        assert shared.got() == b"" and wire.server.got() == ON


class TestBlocked:
    NULL = b"_\r\n"

    def blocked(self, wire: Wire, client: Client, timeout: int = 0) -> Server:
        pinned = track(wire, client)
        client.send(cmd("BLPOP", "l", timeout))
        assert pinned.got() == cmd("BLPOP", "l", timeout)
        return pinned

    def test_it_keeps_its_connection_when_it_is_called_back(self, wire: Wire, client: Client) -> None:
        pinned = self.blocked(wire, client)
        wire.pause()
        pinned.send(self.NULL + invalidate(b"x"))
        assert client.got() == invalidate(b"x") and not pinned.closed and wire.gate.in_flight == 0
        wire.unpause()
        assert pinned.got() == cmd("BLPOP", "l", 0)
        pinned.send(self.NULL)  # an UNBLOCK that was still on its way
        assert client.got() == b"" and pinned.got() == cmd("BLPOP", "l", 0)
        pinned.send(b"*2\r\n$1\r\nl\r\n$1\r\n1\r\n")
        assert client.got() == b"*2\r\n$1\r\nl\r\n$1\r\n1\r\n"

    def test_nobody_else_gets_that_connection(self, wire: Wire, client: Client) -> None:
        pinned = self.blocked(wire, client)
        wire.pause()
        pinned.send(b"*2\r\n$1\r\nl\r\n$1\r\n1\r\n")
        wire.unpause()
        client.send(cmd("CLIENT", "TRACKING", "OFF"))
        pinned.send(OK)
        assert pinned.closed and client.got().endswith(OK)

    def test_it_goes_on_at_the_new_server_after_forgetting(self, wire: Wire, client: Client) -> None:
        pinned = self.blocked(wire, client)
        wire.pause()
        pinned.send(self.NULL)
        new = move(wire)
        assert client.got() == INVALIDATE_ALL
        wire.unpause()
        assert new.got() == cmd("BLPOP", "l", 0)
        assert not client.inside.route.unblocked

    def test_a_timeout_is_a_timeout(self, wire: Wire, client: Client) -> None:
        pinned = self.blocked(wire, client, 5)
        wire.pause()
        pinned.send(self.NULL)
        wire.unpause()
        assert pinned.got() == cmd("BLPOP", "l", "5.000")
        wire.advance(5.1)
        pinned.send(self.NULL)
        assert client.got() == self.NULL


class TestSubscribers:
    @pytest.fixture
    def wire(self) -> Wire:
        from redisproxy.commands.lookup import CommandTable

        wire = Wire()
        wire.core.table = CommandTable(pubsub=True)
        return wire

    CONFIRMED = b">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
    MESSAGE = b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"

    def subscribed(self, wire: Wire, client: Client) -> Server:
        pinned = track(wire, client)
        client.send(cmd("SUBSCRIBE", "a"))
        pinned.send(self.CONFIRMED)
        assert client.got() == self.CONFIRMED
        return pinned

    def test_one_may_be_tracked_too_and_both_move(self, wire: Wire, client: Client) -> None:
        pinned = self.subscribed(wire, client)
        pinned.send(self.MESSAGE + invalidate(b"x"))
        assert client.got() == self.MESSAGE + invalidate(b"x")
        moving = Move(wire)
        new = moving.open()
        pinned.got()
        copied = moving.copy()
        assert new.got() == cmd("SUBSCRIBE", "a")
        new.send(self.CONFIRMED)
        assert new.got() == ON
        new.send(OK)
        assert pinned.got() == cmd("PING") and not copied.called
        pinned.send(b"+PONG\r\n")
        moving.swap()
        assert client.got() == INVALIDATE_ALL

    def test_the_last_unsubscribe_leaves_tracking_on(self, wire: Wire, client: Client) -> None:
        pinned = self.subscribed(wire, client)
        client.send(cmd("UNSUBSCRIBE", "a"))
        pinned.send(b">3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n" + invalidate(b"x"))
        assert client.got().endswith(invalidate(b"x")) and not pinned.closed

    def test_off_leaves_the_subscription(self, wire: Wire, client: Client) -> None:
        pinned = self.subscribed(wire, client)
        client.send(cmd("CLIENT", "TRACKING", "OFF"))
        pinned.send(OK + self.MESSAGE)
        assert client.got() == OK + self.MESSAGE

    def test_an_array_that_looks_like_a_message_is_a_reply_in_resp3(self, wire: Wire, client: Client) -> None:
        pinned = self.subscribed(wire, client)
        client.send(cmd("LRANGE", "l", 0, -1))
        pinned.send(b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n")
        assert client.inside.lane.pending == wire.gate.in_flight == 0
