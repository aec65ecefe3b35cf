"""The set of uplink connections: pinned ones that are set to another database, and servers that can't be reached."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import ensureDeferred

from redisproxy.net.errors import UplinkUnavailable
from redisproxy.resp import encode_command as cmd
from redisproxy.uplink.connection import CLOSE_DEADLINE_S
from tests.wire import OK, Client, Wire

EXECABORT = b"-EXECABORT Transaction discarded because of previous errors.\r\n"


@pytest.fixture
def wire() -> Wire:
    """One pinned connection lies idle, set to database 0."""
    wire = Wire(wait_limit_s=3.0)
    first = wire.client()
    first.send(cmd("BLPOP", "a", 0))
    wire.server.send(b"*2\r\n$1\r\na\r\n$1\r\n1\r\n")
    wire.server.got()
    return wire


@pytest.fixture
def client(wire: Wire) -> Client:
    """Waits for that connection to be set to database 1."""
    client = wire.client()
    client.send(cmd("SELECT", 1))
    assert client.got() == OK
    client.send(cmd("BLPOP", "b", 0))
    assert wire.servers[0].got() == cmd("SELECT", 1)
    return client


class TestAConnectionThatIsBeingSetToAnotherDatabase:
    def test_is_used_when_it_is(self, wire: Wire, client: Client) -> None:
        wire.servers[0].send(OK)
        assert wire.servers[0].got() == cmd("BLPOP", "b", 0)

    def test_and_is_lost_is_replaced(self, wire: Wire, client: Client) -> None:
        wire.servers[0].close()
        assert wire.server.got() == cmd("BLPOP", "b", 0)
        assert client.got() == b"" and not client.closed

    def test_when_the_server_is_left_is_replaced_at_the_new_one(self, wire: Wire, client: Client) -> None:
        wire.pause()
        before = len(wire.servers)
        wire.switch()
        wire.unpause()
        assert len(wire.servers) > before and wire.server.got() == cmd("BLPOP", "b", 0)
        assert client.got() == b"" and not client.closed

    def test_is_not_waited_for_longer_than_for_a_new_one(self, wire: Wire, client: Client) -> None:
        wire.advance(3.1)
        assert client.got().startswith(b"-MASTERDOWN ") and not client.closed
        wire.servers[0].send(OK)
        assert wire.servers[0].closed

    def test_goes_with_a_client_that_leaves(self, wire: Wire, client: Client) -> None:
        client.close()
        wire.servers[0].send(OK)
        assert wire.servers[0].closed and wire.gate.in_flight == 0


class TestAServerThatIsBackInTheMiddleOfAPipeline:
    @pytest.fixture
    def client(self, wire: Wire) -> Client:
        client = wire.client()
        client.send(cmd("GET", "a"))
        wire.server.send(b":0\r\n")
        client.got()
        return client

    def back(self, wire: Wire) -> None:
        """After the first command's limit the server is there again."""
        wire.refuse_connections = True
        for server in wire.servers:
            server.close()

    def come(self, wire: Wire) -> None:
        wire.advance(3.1)
        wire.refuse_connections = False
        wire.advance(2)

    def test_does_not_run_half_a_transaction(self, wire: Wire, client: Client) -> None:
        self.back(wire)
        client.send(cmd("MULTI") + cmd("SELECT", 2) + cmd("INCR", "a") + cmd("EXEC"))
        self.come(wire)
        assert client.got() == OK + b"+QUEUED\r\n" * 2 + EXECABORT
        assert b"INCR" not in b"".join(server.got() for server in wire.servers)

    def test_does_not_run_commands_on_the_wrong_database(self, wire: Wire, client: Client) -> None:
        self.back(wire)
        client.send(cmd("SELECT", 2) + cmd("INCR", "a"))
        self.come(wire)
        assert client.got() == OK
        assert wire.server.transport.protocol.db == 2 and wire.server.got() == cmd("INCR", "a")


def test_a_promotion_since_the_login_is_learned(wire: Wire) -> None:
    uplinks: Any = wire.core.uplinks
    client = wire.client()
    client.ask("GET", "a")
    wire.server.send(b":0\r\n")
    wire.server.got()
    uplinks.server[b"role"] = b"replica"
    assert b"$7\r\nreplica\r\n" in client.ask("HELLO", 2)
    wire.answer_login = False
    asking = ensureDeferred(uplinks.warm_up.learn_role())
    wire.turn()
    assert wire.server.got() == cmd("HELLO")
    wire.server.send(b"*4\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n")
    assert asking.called and b"$6\r\nmaster\r\n" in client.ask("HELLO", 2)


def test_a_server_that_does_not_say_its_role_holds_nobody_up(wire: Wire) -> None:
    uplinks: Any = wire.core.uplinks
    uplinks.server[b"role"] = b"replica"
    wire.answer_login = False
    failed: list[Any] = []
    ensureDeferred(uplinks.warm_up.learn_role()).addErrback(failed.append)
    wire.advance(5.1)
    assert failed[0].check(UplinkUnavailable)


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


def test_a_connection_whose_closing_hangs_is_aborted(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """With TLS the close alert of a server that is stopped never comes."""
    hanging = wire.servers[0].transport
    monkeypatch.setattr(hanging, "loseConnection", lambda: None)
    wire.pause()
    wire.switch()
    wire.advance(CLOSE_DEADLINE_S - 0.1)
    assert not hanging.gone
    wire.advance(0.1)
    assert hanging.gone and wire.metrics.uplink.connections_open == 0


def test_a_connection_that_is_closed_leaves_no_deadline(wire: Wire) -> None:
    wire.pause()
    wire.switch()
    wire.advance(0.1)
    assert wire.servers[0].transport.gone and not wire.clock.getDelayedCalls()
