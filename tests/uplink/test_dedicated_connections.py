"""Who runs scripts has a connection of its own, so that nobody waits behind them, as long as there is one to be had."""

from __future__ import annotations

import pytest

from redisproxy.client.fair_share import KEPT_S, KEPT_WHEN_SHORT_S
from redisproxy.resp import encode_command as cmd
from tests.uplink.sharing import GET, connected
from tests.wire import OK, Wire

EVAL = cmd("EVAL", "while true do end", 0)


class TestScripts:
    @pytest.mark.parametrize("command", [EVAL, cmd("EVALSHA", "0" * 40, 0), cmd("FCALL", "f", 0)])
    def test_one_runs_on_a_connection_of_its_clients_own(self, wire: Wire, command: bytes) -> None:
        runs, waits = connected(wire), connected(wire)
        runs.send(command)
        waits.send(GET)
        assert wire.servers[1].got() == command and wire.servers[0].got() == GET
        wire.servers[0].send(b":1\r\n")
        assert waits.got() == b":1\r\n" and runs.got() == b""

    def test_what_its_client_sent_before_is_answered_before(self, wire: Wire) -> None:
        client = connected(wire)
        client.send(GET + EVAL + GET)
        assert wire.servers[0].got() == GET and len(wire.servers) == 1
        wire.servers[0].send(b":1\r\n")
        assert wire.servers[1].got() == EVAL + GET
        wire.servers[1].send(b":2\r\n:3\r\n")
        assert client.got() == b":1\r\n:2\r\n:3\r\n"

    def test_a_transaction_in_one_piece_with_a_script_does_too(self, wire: Wire) -> None:
        client = connected(wire)
        whole = cmd("MULTI") + EVAL + cmd("EXEC")
        client.send(whole)
        assert wire.servers[1].got() == whole and wire.servers[0].got() == b""

    def test_all_that_is_plain_goes_straight_there_from_then_on(self, wire: Wire) -> None:
        client = connected(wire)
        client.send(EVAL)
        wire.servers[1].send(b":1\r\n")
        assert client.inside.lane.queue is client.inside.route.connection.queue  # type: ignore[union-attr]
        wire.servers[1].got()
        client.send(GET + cmd("EVALSHA", "0" * 40, 0))
        assert wire.servers[1].got() == GET + cmd("EVALSHA", "0" * 40, 0) and wire.servers[0].got() == b""


class TestNoneToBeHad:
    """A connection of a client's own is a favour to others: nobody is refused because there is none."""

    def test_a_script_goes_where_the_others_are_when_the_server_takes_no_more_connections(self, wire: Wire) -> None:
        client = connected(wire)
        wire.refuse_connections = True
        client.send(EVAL)
        assert wire.servers[0].got() == EVAL and not wire.core.dedicated
        wire.servers[0].send(b":1\r\n")
        assert client.got() == b":1\r\n" and client.inside.lane.queue is not None

    def test_so_does_one_whose_connection_is_lost_while_it_logs_in(self, wire: Wire) -> None:
        client = connected(wire)
        wire.answer_login = False
        client.send(GET + EVAL + GET)
        wire.servers[0].send(b":1\r\n")
        wire.servers[1].close()
        assert wire.servers[0].got() == GET + EVAL + GET

    def test_so_do_those_for_whom_there_is_no_room(self) -> None:
        wire = Wire(max_pinned=2)
        clients = [connected(wire) for _ in range(3)]
        for client in clients:
            client.transport.protocol.dataReceived(GET + EVAL)
        wire.turn()
        wire.servers[0].send(b":1\r\n" * 3)
        assert wire.servers[0].got() == GET * 3 + EVAL
        assert wire.servers[1].got() == wire.servers[2].got() == EVAL and wire.core.dedicated == 2

    def test_one_that_waits_in_vain_goes_there_after_the_time_limit_and_not_again_and_again(self) -> None:
        wire = Wire(wait_limit_s=3.0, connect_timeout_s=9.0)
        client = connected(wire)
        wire.answer_login = False
        client.send(EVAL)
        wire.advance(3.0)
        assert wire.servers[0].got() == EVAL and len(wire.servers) == 2

    def test_who_needs_one_waits_for_it(self) -> None:
        wire = Wire(max_pinned=1)
        client = connected(wire)
        wire.refuse_connections = True
        client.send(cmd("BLPOP", "k", 0))
        assert client.got() == b""
        wire.refuse_connections = False
        wire.advance(1.0)
        assert wire.server.got() == cmd("BLPOP", "k", 0)

    def test_an_open_transaction_keeps_its_connection(self) -> None:
        wire = Wire(max_pinned=1)
        client = connected(wire)
        client.send(cmd("MULTI"))
        wire.server.send(OK)
        client.send(EVAL)
        assert wire.server.got() == cmd("MULTI") + EVAL

    def test_one_that_is_not_used_is_left_to_who_needs_it(self) -> None:
        wire = Wire(max_pinned=2)
        runs, blocked, needs = (connected(wire) for _ in range(3))
        runs.send(EVAL)
        wire.servers[1].send(b":1\r\n")
        wire.servers[1].got()
        blocked.send(cmd("BLPOP", "x", 0))
        needs.send(cmd("BLPOP", "k", 0))
        wire.clock.advance(KEPT_WHEN_SHORT_S)
        runs.inside.second_passed(wire.clock.seconds())
        wire.turn()
        assert wire.servers[1].got() == cmd("BLPOP", "k", 0)

    def test_one_whose_script_runs_is_kept_and_given_back_when_it_has_ended(self, wire: Wire) -> None:
        client = connected(wire)
        client.send(EVAL)
        wire.clock.advance(KEPT_S)
        client.inside.second_passed(wire.clock.seconds())
        assert client.inside.route.pinned and wire.core.dedicated
        wire.servers[1].send(b":1\r\n")
        client.inside.second_passed(wire.clock.seconds())
        assert not client.inside.route.pinned and not wire.core.dedicated


def test_who_only_asks_for_a_shared_connection_keeps_its_own(wire: Wire) -> None:
    client = connected(wire)
    client.send(EVAL)
    route = client.inside.route
    own = route.connection
    client.inside.acquirer.acquire(False, (0, 2))
    assert route.connection is own and route.pinned


def test_whoever_needs_no_connection_of_its_own_goes_on_without_when_all_are_taken() -> None:
    wire = Wire(max_pinned=2)
    client = wire.client()
    client.send(cmd("EVAL", "return 1", 0))
    wire.server.got()
    wire.server.send(b":1\r\n")
    assert client.got() == b":1\r\n" and client.inside.share.dedicated
    wire.server.close()
    for other in (wire.client(), wire.client()):
        other.send(cmd("WATCH", "x"))
        wire.server.got()
        wire.server.send(OK)
    client.send(cmd("GET", "x"))
    assert wire.server.got() == cmd("GET", "x")
    wire.server.send(b"$1\r\n1\r\n")
    assert client.got() == b"$1\r\n1\r\n" and not client.inside.share.dedicated and not wire.core.dedicated
