"""A server that runs a script: who logs in there, and how the proxy knows."""

from __future__ import annotations

from redisproxy.resp import encode_command as cmd
from redisproxy.uplink.busy_probe import PROBE_S
from tests.uplink.sharing import GET, connected, look
from tests.wire import Wire

EVAL = cmd("EVAL", "while true do end", 0)
BUSY = b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n"


class TestABusyServer:
    def test_a_login_succeeds_on_database_0(self, wire: Wire) -> None:
        wire.login_error = BUSY
        client = wire.client()
        client.send(GET)
        assert wire.server.got() == GET
        wire.server.send(BUSY)
        assert client.got() == BUSY

    def test_who_wants_another_database_gets_the_servers_answer(self, wire: Wire) -> None:
        client = connected(wire)
        wire.login_error = BUSY
        assert client.ask("SELECT", 3) == BUSY and client.inside.session.db == 0

    def test_it_is_known_while_it_lasts(self, wire: Wire) -> None:
        client = connected(wire)
        client.send(EVAL)
        server = wire.uplink_set.busy_probe
        look(wire)
        look(wire)
        probe = wire.servers[-1]
        assert probe.got() == cmd("PING") and not server.busy
        probe.send(BUSY)
        assert server.busy and probe.closed
        client.close()
        wire.advance(PROBE_S)
        look(wire)
        wire.servers[-1].send(b"+PONG\r\n")
        assert not server.busy
        opened = len(wire.servers)
        for _ in range(20):
            look(wire)
        assert len(wire.servers) == opened
