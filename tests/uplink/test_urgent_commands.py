"""SCRIPT KILL reaches a server that answers nobody: on a connection made for it, past whatever others wait for."""

from __future__ import annotations

import pytest

from redisproxy.resp import encode_command as cmd
from redisproxy.uplink.urgent_commands import AT_ONCE, LIMIT_S, MAX_WAITING
from tests.uplink.sharing import GET, connected
from tests.wire import OK, Wire

EVAL = cmd("EVAL", "while true do end", 0)
KILL_ARGS = "SCRIPT", "KILL"
KILL = cmd(*KILL_ARGS)


class TestKill:
    def test_it_has_a_connection_made_for_it_which_is_closed_then(self, wire: Wire) -> None:
        client = connected(wire)
        client.send(KILL + GET)
        urgent = wire.servers[1]
        assert urgent.got() == KILL and wire.servers[0].got() == b""
        urgent.send(OK)
        assert client.got() == OK and urgent.closed and wire.servers[0].got() == GET

    def test_it_needs_no_room_among_the_pinned_ones(self) -> None:
        wire = Wire(max_pinned=1)
        blocked, client = connected(wire), connected(wire)
        blocked.send(cmd("BLPOP", "k", 0))
        client.send(KILL)
        assert wire.server.got() == KILL

    def test_it_passes_a_closed_gate_which_nothing_else_does(self, wire: Wire) -> None:
        runs, kills, waits = connected(wire), connected(wire), connected(wire)
        runs.send(EVAL)
        script = wire.servers[1]
        wire.pause()
        kills.send(KILL + GET)
        waits.send(GET + KILL)
        assert wire.servers[2].got() == KILL and len(wire.servers) == 3
        wire.servers[2].send(OK)
        script.send(b"-ERR Error running script\r\n")
        assert kills.got() == OK and not wire.gate.in_flight and wire.gate.held == 2
        wire.unpause()
        assert wire.servers[0].got() == GET + GET

    def test_it_passes_also_when_it_arrives_in_pieces(self, wire: Wire) -> None:
        client = connected(wire)
        wire.pause()
        for at in range(len(KILL)):
            assert len(wire.servers) == 1 and not client.transport.paused and not wire.gate.held
            client.send(KILL[at : at + 1])
        assert wire.servers[1].got() == KILL

    def test_what_arrives_in_pieces_and_is_something_else_is_held(self, wire: Wire) -> None:
        client = connected(wire)
        wire.pause()
        client.send(GET[:5])
        client.send(GET[5:])
        assert wire.gate.held == 1 and client.transport.paused
        wire.unpause()
        assert wire.servers[0].got() == GET

    def test_one_inside_of_a_transaction_waits_at_the_gate(self, wire: Wire) -> None:
        client = connected(wire)
        client.send(cmd("MULTI"))
        wire.server.send(OK)
        wire.pause()
        client.send(KILL)
        assert wire.gate.held == 1 and len(wire.servers) == 2

    def test_its_reply_may_come_in_pieces_and_its_client_may_be_gone(self, wire: Wire) -> None:
        stays, goes = connected(wire), connected(wire)
        stays.send(KILL)
        goes.send(KILL)
        goes.close()
        wire.servers[1].send(b"-NOT", b"BUSY\r\n")
        wire.servers[2].send(OK)
        assert stays.got() == b"-NOTBUSY\r\n" and wire.servers[1].closed and wire.servers[2].closed

    def test_so_many_at_once_that_the_server_does_not_run_out_of_connections(self, wire: Wire) -> None:
        clients = [connected(wire) for _ in range(AT_ONCE + 5)]
        for client in clients:
            client.send(KILL)
        assert len(wire.servers) == 1 + AT_ONCE
        for server in wire.servers[1 : 1 + AT_ONCE]:
            server.send(OK)
        for server in wire.servers[1 + AT_ONCE :]:
            server.send(OK)
        assert len(wire.servers) == 1 + len(clients) and all(client.got() == OK for client in clients)

    def test_those_whose_clients_have_left_are_still_bounded(self, wire: Wire) -> None:
        wire.answer_login = False
        for _ in range(AT_ONCE + MAX_WAITING):
            client = wire.client()
            client.send(KILL)
            client.close()
        last = wire.client()
        assert last.ask(*KILL_ARGS).startswith(b"-MASTERDOWN") and not last.inside.waiting.reasons
        assert wire.attempts <= AT_ONCE + 1
        wire.advance(LIMIT_S)
        wire.answer_login = True
        last.send(KILL)
        wire.server.send(OK)
        assert last.got() == OK

    def test_when_the_server_is_left_those_that_were_sent_are_answered_and_the_others_go_to_the_new_one(
        self, wire: Wire
    ) -> None:
        clients = [connected(wire) for _ in range(AT_ONCE + 5)]
        for client in clients:
            client.send(KILL)
        wire.pause()
        wire.switch()
        for server in wire.servers[1:]:
            assert server.got() == KILL
            server.send(OK)
        assert len(wire.servers) == 1 + len(clients) and all(client.got() == OK for client in clients)

    def test_all_hear_that_the_proxy_ends(self, wire: Wire) -> None:
        clients = [connected(wire) for _ in range(AT_ONCE + 5)]
        for client in clients:
            client.send(KILL)
        wire.uplink_set.stop()
        wire.turn()
        assert all(client.got().startswith(b"-MASTERDOWN") for client in clients)
        assert len(wire.servers) == 1 + AT_ONCE and not wire.clock.getDelayedCalls()

    def test_one_that_was_sent_and_whose_connection_is_lost_ends_its_client_as_any_other_command(
        self, wire: Wire
    ) -> None:
        client = connected(wire)
        client.send(KILL)
        wire.server.close()
        assert client.closed and client.got() == b"" and not wire.gate.in_flight

    @pytest.mark.parametrize("end", ["lost", "silent", "refused"])
    def test_its_client_hears_when_it_can_not_be_sent(self, wire: Wire, end: str) -> None:
        client = connected(wire)
        wire.refuse_connections = end == "refused"
        wire.answer_login = end != "lost"
        client.send(KILL)
        if end == "lost":
            wire.servers[1].close()
        elif end == "silent":
            wire.advance(LIMIT_S)
        assert client.got().startswith(b"-MASTERDOWN") and not client.inside.waiting.reasons
        wire.clock.advance(100)
        assert wire.server.closed or end == "refused"
