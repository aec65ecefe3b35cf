"""A server that is back while a client's pipeline waits for it."""

from __future__ import annotations

import pytest
from twisted.logger import capturedLogs, formatEvent

from redisproxy.resp import encode_command as cmd
from tests.wire import OK, Client, Wire

EXECABORT = b"-EXECABORT Transaction discarded because of previous errors.\r\n"


@pytest.fixture
def wire() -> Wire:
    return Wire(wait_limit_s=3.0)


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


def test_a_connection_that_was_never_logged_in_is_not_told_to_be_lost(wire: Wire) -> None:
    wire.login_error = b"-WRONGPASS invalid\r\n"
    with capturedLogs() as events:
        wire.client().send(cmd("GET", "a"))
        for _ in range(20):
            wire.advance(0.1)
    told = [formatEvent(event) for event in events if event.get("log_namespace", "").startswith("redisproxy.uplink")]
    assert len(wire.servers) > 3 and len(told) == 1 and "WRONGPASS" in told[0]


def test_the_last_connection_that_is_lost_is_told_of_once(wire: Wire) -> None:
    with capturedLogs() as events:
        wire.client().send(cmd("GET", "a"))
        wire.refuse_connections = True
        for server in wire.servers:
            server.close()
        wire.advance(1.0)
        wire.refuse_connections = False
        wire.client().send(cmd("GET", "a"))
        wire.advance(1.0)
    told = " ".join(formatEvent(event) for event in events)
    assert told.count("lost (") == 1 and told.count(": connected") == 2
