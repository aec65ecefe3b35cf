"""Commands that may change their connection run on one that nobody else gets afterwards."""

from __future__ import annotations

import pytest

from redisproxy.commands.lookup import CommandTable, learn
from redisproxy.resp import encode_command as cmd
from tests.wire import OK, Wire

EXECABORT = b"-EXECABORT Transaction discarded because of previous errors.\r\n"
NO_CLUSTER = b"-ERR This instance has cluster support disabled\r\n"


@pytest.mark.parametrize("name", ["READONLY", "READWRITE", "ASKING"])
class TestTheStateOfAClusterConnection:
    def test_the_error_of_a_server_without_one_is_the_answer_and_the_connection_stays(
        self, wire: Wire, name: str
    ) -> None:
        client = wire.client()
        client.send(cmd(name) + cmd("GET", "a"))
        pinned = wire.server
        assert pinned.got() == cmd(name)
        pinned.send(NO_CLUSTER)
        assert client.got() == NO_CLUSTER and not pinned.closed
        assert wire.server is not pinned and wire.server.got() == cmd("GET", "a")
        wire.server.send(b"$-1\r\n")
        assert client.got() == b"$-1\r\n" and not wire.gate.in_flight
        client.send(cmd(name))
        assert pinned.got() == cmd(name)

    @pytest.mark.parametrize("answer", [OK, b"-" + b"x" * 600 + b"\r\n"])
    def test_whatever_else_is_answered_costs_the_connection(self, wire: Wire, name: str, answer: bytes) -> None:
        client = wire.client()
        client.send(cmd(name) + cmd("GET", "a"))
        pinned = wire.server
        pinned.send(answer)
        refusal = client.got()
        assert refusal.startswith(b"-ERR redisproxy does not support '" + name.lower().encode())
        assert refusal.endswith(b"\r\n") and refusal.count(b"\r\n") == 1
        assert pinned.closed and wire.server is not pinned and wire.server.got() == cmd("GET", "a")
        assert sum(wire.metrics.clients.refused.values()) == 1 and wire.gate.in_flight == 1

    def test_the_answer_may_come_in_pieces(self, wire: Wire, name: str) -> None:
        client = wire.client()
        client.send(cmd(name))
        wire.server.send(NO_CLUSTER[:10])
        assert client.got() == b""
        wire.server.send(NO_CLUSTER[10:])
        assert client.got() == NO_CLUSTER

    def test_inside_of_multi_it_is_refused(self, wire: Wire, name: str) -> None:
        client = wire.client()
        client.send(cmd("MULTI") + cmd(name) + cmd("EXEC"))
        wire.server.got()
        wire.server.send(OK)
        assert name.encode() not in wire.server.got()
        wire.server.send(b"-ERR wrong\r\n" + EXECABORT)
        refusal = b"-ERR redisproxy does not run this command inside of MULTI\r\n"
        assert client.got() == OK + refusal + EXECABORT
        assert not client.inside.route.pinned and not wire.gate.in_flight

    def test_a_lost_connection_is_told_by_closing(self, wire: Wire, name: str) -> None:
        client = wire.client()
        client.send(cmd(name))
        wire.server.close()
        assert client.closed and not wire.gate.in_flight

    def test_a_client_that_leaves_takes_the_connection_along(self, wire: Wire, name: str) -> None:
        client = wire.client()
        client.send(cmd(name))
        client.close()
        assert wire.server.closed and not wire.gate.in_flight


def test_an_allowed_command_that_nobody_knows_leaves_no_connection_behind(wire: Wire) -> None:
    learned = learn([[b"mod.listen", -1, [b"pubsub"], 0, 0, 0]])
    wire.core.table = CommandTable(frozenset({"MOD.LISTEN"}), learned)
    client = wire.client()
    client.send(cmd("MOD.LISTEN") + cmd("GET", "a"))
    pinned = wire.server
    assert pinned.got() == cmd("MOD.LISTEN")
    pinned.send(OK)
    assert client.got() == OK and pinned.closed
    assert wire.server is not pinned and wire.server.got() == cmd("GET", "a")


def test_shutdown_abort_does_not_wait_behind_a_shutdown(wire: Wire) -> None:
    wire.core.table = CommandTable(frozenset({"SHUTDOWN"}))
    one, two = wire.client(), wire.client()
    one.send(cmd("SHUTDOWN"))
    first = wire.server
    two.send(cmd("SHUTDOWN", "ABORT"))
    assert first.got() == cmd("SHUTDOWN") and wire.server is not first
    wire.server.send(OK)
    assert two.got() == OK
    first.send(b"-ERR Errors trying to SHUTDOWN. Check logs.\r\n")
    assert one.got().startswith(b"-ERR Errors")


def test_a_watch_does_not_outlive_such_a_connection(wire: Wire) -> None:
    client = wire.client()
    client.send(cmd("WATCH", "k"))
    watching = wire.server
    watching.send(OK)
    client.send(cmd("READONLY"))
    watching.send(OK)
    assert watching.closed and client.got().startswith(OK + b"-ERR redisproxy")
    client.send(cmd("MULTI"))
    wire.server.send(OK)
    client.send(cmd("EXEC"))
    wire.server.send(OK)
    assert client.got() == OK + b"*-1\r\n"
