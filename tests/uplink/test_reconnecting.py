"""A server that is back while a client's pipeline waits for it."""

from __future__ import annotations

import pytest

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
