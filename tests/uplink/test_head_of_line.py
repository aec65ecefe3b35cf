"""A shared connection on which something waits too long is replaced, and who held others up leaves it."""

from __future__ import annotations

from redisproxy.resp import encode_command as cmd
from redisproxy.uplink.head_of_line import AGAIN_S
from redisproxy.uplink.shared_connections import LAG_S
from tests.uplink.sharing import GET, connected, connected_to, look
from tests.wire import Client, Server, Wire


class TestASharedConnectionThatLags:
    def slow(self, wire: Wire) -> tuple[Client, Client, Server]:
        """One client's command is not answered, and another one waits behind it."""
        slow, waits = connected(wire), connected(wire)
        slow.send(cmd("SLOW"))
        waits.send(GET)
        look(wire)
        look(wire)
        return slow, waits, wire.servers[0]

    def test_a_new_connection_takes_the_place_of_one_that_lags(self, wire: Wire) -> None:
        slow, waits, old = self.slow(wire)
        old.got()
        connected_to(wire, 2)
        assert not old.closed
        old.send(b":1\r\n:2\r\n")
        assert slow.got() == b":1\r\n" and waits.got() == b":2\r\n" and old.closed and not wire.gate.in_flight

    def test_nothing_is_sent_twice(self, wire: Wire) -> None:
        _, _, old = self.slow(wire)
        assert old.got() == cmd("SLOW") + GET
        assert all(b"GET" not in server.got() for server in wire.servers[1:])

    def test_who_held_others_up_gets_a_connection_of_its_own(self, wire: Wire) -> None:
        slow, waits, old = self.slow(wire)
        old.send(b":1\r\n:2\r\n")
        assert slow.inside.share.dedicated and not waits.inside.share.dedicated
        slow.send(GET)
        assert slow.inside.route.pinned

    def test_the_old_one_stays_when_it_answers_before_the_new_one_is_there(self, wire: Wire) -> None:
        wire.core.multiplex = True
        slow, waits = connected(wire), connected(wire)
        wire.answer_login = False
        slow.send(cmd("SLOW"))
        waits.send(GET)
        look(wire)
        look(wire)
        old = wire.servers[0]
        old.send(b":1\r\n:2\r\n")
        look(wire)
        wire.answer_login = True
        wire.turn()
        assert not old.closed and shared(wire) is old.transport.protocol

    def test_one_that_lags_again_is_replaced_again_but_not_at_once(self, wire: Wire) -> None:
        self.slow(wire)
        opened = len(wire.servers)
        for server in wire.servers[1:]:
            server.got()
        again = connected_to(wire, 2)
        again.send(cmd("SLOW"))
        for _ in range(int(AGAIN_S / LAG_S) - 3):
            look(wire)
        replaced = [server for server in wire.servers[opened:] if b"PING" not in server.got()]
        assert not replaced
        for _ in range(4):
            look(wire)
        assert shared(wire) is not wire.servers[2].transport.protocol

    def test_a_command_that_may_wait_does_not_count(self, wire: Wire) -> None:
        client = connected(wire)
        client.send(cmd("BLPOP", "k", 0))
        opened = len(wire.servers)
        for _ in range(5):
            look(wire)
        assert len(wire.servers) == opened


def shared(wire: Wire) -> object:
    """The connection that clients share."""
    return dict(wire.uplink_set.shared_connections.items())[(0, 2)]
