"""AUTH on open connections when the password has changed, in between the commands of clients."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, succeed

from redisproxy.net.errors import UplinkUnavailable
from redisproxy.resp import encode_command as cmd
from redisproxy.uplink import Credentials
from tests.wire import OK, QUEUED, Client, Wire

AUTH = cmd("AUTH", "app", "second")


class Changing:
    """A password that changes, and may have to be waited for."""

    def __init__(self) -> None:
        self.current = Credentials("app", "first")
        self.due = False
        self.failures = 0
        self.asked: list[Deferred[Credentials]] = []
        self.late = False
        self.refused_ones: list[str | None] = []

    def ask(self) -> Deferred[Credentials]:
        if not self.late:
            return succeed(self.current)
        self.asked.append(Deferred())
        return self.asked[-1]

    def refused(self, credentials: Credentials) -> None:
        self.refused_ones.append(credentials.password)

    def change(self) -> None:
        self.current = Credentials("app", "second")


@pytest.fixture
def source() -> Changing:
    return Changing()


@pytest.fixture
def wire(source: Changing) -> Wire:
    return Wire(source=source)


def tick(wire: Wire) -> None:
    wire.uplink_set.tick(wire.clock.seconds())
    wire.turn()


def ready(wire: Wire) -> Client:
    """A client that has had a reply."""
    client = wire.client()
    client.send(cmd("GET", "a"))
    wire.server.got()
    wire.server.send(b"$1\r\n1\r\n")
    assert client.got() == b"$1\r\n1\r\n"
    return client


def test_nothing_is_sent_while_the_password_is_the_same(wire: Wire) -> None:
    ready(wire)
    tick(wire)
    assert b"AUTH" not in wire.server.got()


def test_a_new_password_goes_out_between_commands_and_its_reply_to_nobody(wire: Wire, source: Changing) -> None:
    client = ready(wire)
    client.send(cmd("GET", "before"))
    source.change()
    tick(wire)
    client.send(cmd("GET", "after"))
    assert wire.server.got() == cmd("GET", "before") + AUTH + cmd("GET", "after")
    wire.server.send(b"+1\r\n" + OK + b"+2\r\n")
    assert client.got() == b"+1\r\n+2\r\n"
    tick(wire)
    assert wire.server.got() == b""


def test_a_multi_is_waited_for(wire: Wire, source: Changing) -> None:
    client = ready(wire)
    client.send(cmd("MULTI"))
    pinned = wire.server
    assert cmd("MULTI") in pinned.got()
    pinned.send(OK)
    source.change()
    tick(wire)
    client.send(cmd("SET", "a", 1))
    tick(wire)
    assert pinned.got() == cmd("SET", "a", 1)
    pinned.send(QUEUED)
    client.send(cmd("EXEC"))
    tick(wire)
    assert pinned.got() == cmd("EXEC")
    pinned.send(b"*1\r\n+OK\r\n")
    assert client.got() == OK + QUEUED + b"*1\r\n+OK\r\n"
    tick(wire)
    assert pinned.got() == AUTH


def test_a_watch_does_not_keep_it_back_and_stays(wire: Wire, source: Changing) -> None:
    client = ready(wire)
    client.send(cmd("WATCH", "a"))
    pinned = wire.server
    pinned.got()
    pinned.send(OK)
    source.change()
    tick(wire)
    assert pinned.got() == AUTH
    pinned.send(OK)
    assert client.got() == OK and client.inside.session.watching


def test_a_blocked_client_is_waited_for(wire: Wire, source: Changing) -> None:
    client = ready(wire)
    client.send(cmd("BLPOP", "q", 0))
    pinned = wire.server
    assert cmd("BLPOP", "q", 0) in pinned.got()
    source.change()
    tick(wire)
    assert pinned.got() == b""
    pinned.send(b"*2\r\n$1\r\nq\r\n$1\r\nx\r\n")
    tick(wire)
    assert pinned.got() == AUTH


def test_one_that_is_refused_changes_nothing_and_is_tried_again_later(wire: Wire, source: Changing) -> None:
    client = ready(wire)
    source.change()
    tick(wire)
    assert wire.server.got() == AUTH
    wire.server.send(b"-WRONGPASS invalid\r\n")
    tick(wire)
    assert wire.server.got() == b""
    assert wire.metrics.uplink.password_failures_total == 1
    assert client.ask("GET", "a") == b"" and wire.server.got() == cmd("GET", "a")
    wire.advance(31)
    tick(wire)
    assert wire.server.got() == AUTH


def test_the_program_is_asked_once_before_the_password_expires(wire: Wire, source: Changing) -> None:
    ready(wire)
    source.due = source.late = True
    tick(wire)
    tick(wire)
    assert len(source.asked) == 1
    source.due = False
    source.change()
    source.asked[0].callback(source.current)
    tick(wire)
    assert wire.server.got() == AUTH


def test_a_new_connection_logs_in_with_what_is_told_then(wire: Wire, source: Changing) -> None:
    source.late = True
    client = wire.client()
    client.send(cmd("GET", "a"))
    assert not wire.servers and len(source.asked) == 1
    source.change()
    wire.answer_login = False
    source.asked[0].callback(source.current)
    wire.turn()
    assert b"$4\r\nAUTH\r\n$3\r\napp\r\n$6\r\nsecond\r\n" in wire.server.got()


def test_without_a_password_the_connection_fails_as_any_other(wire: Wire, source: Changing) -> None:
    source.late = True
    wire.client().send(cmd("GET", "a"))
    source.asked[0].errback(UplinkUnavailable("passcommand: it has failed with exit code 1"))
    wire.turn()
    assert not wire.servers and "exit code 1" in wire.uplink_set.last_error
    wire.advance(5)
    assert len(source.asked) == 2


def test_a_password_that_the_server_refuses_at_the_login_is_not_used_again(wire: Wire, source: Changing) -> None:
    wire.answer_login = False
    wire.client().send(cmd("GET", "a"))
    wire.server.send(b"-WRONGPASS invalid\r\n" + OK + OK)
    assert source.refused_ones == ["first"]


def test_closing_while_the_password_is_waited_for_leaves_nothing(wire: Wire, source: Changing) -> None:
    source.late = True
    wire.client().send(cmd("GET", "a"))
    wire.uplink_set.stop()
    wire.turn()
    assert not wire.servers
