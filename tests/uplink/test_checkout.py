"""A spare pinned connection is set to the database of who wants it next."""

from __future__ import annotations

import pytest

from redisproxy.resp import encode_command as cmd
from tests.wire import OK, Client, Wire


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
