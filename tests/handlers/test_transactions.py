"""MULTI, EXEC and WATCH in memory, through pauses, switches and losses."""

from __future__ import annotations

import pytest

from redisproxy.handlers.placeholders import give_up
from redisproxy.resp import encode_command as cmd
from redisproxy.shared.core import ClientLimits
from tests.wire import EXECABORT, OK, QUEUED, Client, Wire

GET = cmd("GET", "a")


SET = cmd("SET", "a", 1)


def begin(wire: Wire, client: Client, *commands: bytes) -> None:
    client.send(cmd("MULTI"))
    wire.server.got()
    wire.server.send(OK)
    for command in commands:
        client.send(command)
        wire.server.got()
        wire.server.send(QUEUED)
    client.got()


class TestWhole:
    def test_a_whole_transaction_goes_out_in_one_piece_on_the_shared_connection(
        self, wire: Wire, client: Client
    ) -> None:
        whole = cmd("MULTI") + SET + GET + cmd("EXEC")
        client.send(whole + GET)
        assert len(wire.servers) == 1 and wire.server.got() == whole + GET
        wire.server.send(OK + QUEUED * 2 + b"*2\r\n+OK\r\n$1\r\n1\r\n:9\r\n")
        assert client.got() == OK + QUEUED * 2 + b"*2\r\n+OK\r\n$1\r\n1\r\n:9\r\n"
        assert client.inside.session.transaction is None

    def test_one_with_a_select_inside_is_pinned(self, wire: Wire, client: Client) -> None:
        client.send(cmd("MULTI") + cmd("SELECT", 3) + cmd("EXEC"))
        assert len(wire.servers) == 2 and wire.server.got() == cmd("MULTI")

    def test_what_comes_behind_a_multi_with_arguments_does_not_go_where_others_wait(
        self, wire: Wire, client: Client
    ) -> None:
        blpop = cmd("BLPOP", "l", 0)
        client.send(cmd("MULTI", "x") + blpop + cmd("EXEC"))
        assert wire.servers[0].got() == b"" and wire.server.got() == cmd("MULTI", "x")
        wire.server.send(b"-ERR wrong number of arguments for 'multi' command\r\n")
        assert wire.servers[0].got() == b"" and wire.server.got() == blpop

    def test_one_that_is_broken_by_a_protocol_error_is_not_sent_whole(self, wire: Wire, client: Client) -> None:
        client.send(cmd("MULTI") + SET + b"*x\r\n")
        assert wire.server.got() == cmd("MULTI")
        wire.server.send(OK)
        wire.server.send(QUEUED)
        assert client.got().endswith(b"-ERR Protocol error: invalid multibulk length\r\n")
        assert client.closed and wire.server.closed and wire.gate.in_flight == 0


class TestOpen:
    def test_it_holds_a_connection_of_its_own_until_exec(self, wire: Wire, client: Client) -> None:
        begin(wire, client, SET)
        pinned = wire.server
        assert len(wire.servers) == 2 and client.inside.route.pinned
        client.send(cmd("EXEC"))
        pinned.send(b"*1\r\n+OK\r\n")
        assert client.got() == b"*1\r\n+OK\r\n" and not client.inside.route.pinned
        client.send(GET)
        assert wire.servers[0].got() == GET

    def test_the_connection_is_used_again_by_the_next_one(self, wire: Wire, client: Client) -> None:
        begin(wire, client)
        client.send(cmd("DISCARD"))
        wire.server.send(OK)
        begin(wire, client)
        assert len(wire.servers) == 2

    def test_a_refused_command_inside_makes_exec_fail(self, wire: Wire, client: Client) -> None:
        begin(wire, client, SET)
        client.send(cmd("SUBSCRIBE", "a"))
        assert wire.server.got() == cmd("ECHO")
        wire.server.send(b"-ERR wrong number of arguments for 'echo' command\r\n")
        assert client.got().startswith(b"-ERR redisproxy")
        client.send(cmd("GET"))
        wire.server.send(b"-ERR wrong number of arguments for 'get' command\r\n")
        assert client.got().startswith(b"-ERR wrong")
        client.send(cmd("EXEC"))
        wire.server.send(EXECABORT)
        assert client.got() == EXECABORT and wire.metrics.clients.refused == {"SUBSCRIBE": 1}
        client.send(GET)
        assert wire.servers[0].got() == GET

    def test_select_inside_counts_when_the_server_says_so(self, wire: Wire, client: Client) -> None:
        begin(wire, client, cmd("SELECT", 4))
        client.send(cmd("EXEC") + GET)
        pinned = wire.server
        assert pinned.got() == cmd("EXEC") + cmd("CLIENT", "INFO")
        pinned.send(b"*1\r\n+OK\r\n")
        assert client.got() == b"*1\r\n+OK\r\n" and wire.gate.in_flight == 1
        pinned.send(b"$12\r\nid=1 db=4 x=\r\n")
        assert client.inside.session.db == 4 and wire.gate.in_flight == 1
        assert wire.server.got() == GET and wire.server.transport.protocol.db == 4

    def test_a_client_that_leaves_closes_it(self, wire: Wire, client: Client) -> None:
        begin(wire, client, SET)
        client.close()
        assert wire.server.closed and not wire.servers[0].closed

    def test_reset_drops_it(self, wire: Wire, client: Client) -> None:
        begin(wire, client, SET)
        assert client.ask("RESET") == b"+RESET\r\n" and wire.server.closed

    def test_a_discard_with_arguments_does_not_end_it(self, wire: Wire, client: Client) -> None:
        begin(wire, client, SET)
        client.send(cmd("DISCARD", "x"))
        assert wire.server.got() == cmd("DISCARD", "x")
        wire.server.send(b"-ERR wrong number of arguments\r\n")
        assert client.got() == b"-ERR wrong number of arguments\r\n" and client.inside.route.pinned
        client.send(cmd("EXEC"))
        assert wire.server.got() == cmd("EXEC")
        wire.server.send(EXECABORT)
        assert client.got() == EXECABORT and not client.inside.route.pinned

    def test_an_exec_with_arguments_ends_one_that_is_dead(self, wire: Wire, client: Client) -> None:
        begin(wire, client)
        give_up(client.inside)
        assert client.ask("EXEC", "x").startswith(
            b"-EXECABORT Transaction discarded because of: wrong number of arguments"
        )
        assert client.inside.session.transaction is None

    def test_nested_commands_in_one_that_is_dead_get_the_servers_errors(self, wire: Wire, client: Client) -> None:
        begin(wire, client)
        give_up(client.inside)
        assert client.ask("MULTI") == b"-ERR MULTI calls can not be nested\r\n"
        assert client.ask("WATCH", "a") == b"-ERR WATCH inside MULTI is not allowed\r\n"

    @pytest.mark.parametrize(
        ("nested", "refusal", "spoils"),
        [
            (cmd("MULTI"), b"-ERR MULTI calls can not be nested\r\n", False),
            (cmd("WATCH", "a"), b"-ERR WATCH inside MULTI is not allowed\r\n", False),
            (cmd("MULTI"), b"-ERR Command 'multi' not allowed inside a transaction\r\n", True),
            (cmd("WATCH"), b"-ERR wrong number of arguments for 'watch' command\r\n", True),
        ],
    )
    def test_what_a_nested_command_makes_of_exec_is_the_same_after_a_loss(
        self, wire: Wire, client: Client, nested: bytes, refusal: bytes, spoils: bool
    ) -> None:
        begin(wire, client, SET)
        client.send(nested)
        wire.server.send(refusal)
        assert client.got() == refusal
        wire.server.close()
        client.send(cmd("EXEC"))
        assert wire.server.got() == cmd("MULTI") + SET + cmd("ECHO") * spoils
        wire.server.send(OK + QUEUED + b"-ERR wrong\r\n" * spoils)
        assert client.got() == EXECABORT * spoils and (wire.server.got() == cmd("EXEC")) is not spoils

    @pytest.mark.parametrize("size", [1, 7, 1000])
    def test_what_the_server_has_refused_to_queue_is_refused_after_a_loss(
        self, wire: Wire, client: Client, size: int
    ) -> None:
        begin(wire, client, SET)
        client.send(SET * 3)
        replies = QUEUED + b"-NOREPLICAS Not enough good replicas to write.\r\n" + QUEUED
        for at in range(0, len(replies), size):
            wire.server.send(replies[at : at + size])
        assert client.got() == replies
        wire.server.close()
        client.send(cmd("EXEC"))
        assert wire.server.got() == cmd("MULTI") + SET * 4 + cmd("ECHO")
        wire.server.send(OK + QUEUED * 4 + b"-ERR wrong number of arguments\r\n")
        assert client.got() == EXECABORT and wire.server.got() == b""

    def test_nested_multi_is_the_servers_error(self, wire: Wire, client: Client) -> None:
        begin(wire, client)
        client.send(cmd("MULTI"))
        wire.server.send(b"-ERR MULTI calls can not be nested\r\n")
        assert client.got() == b"-ERR MULTI calls can not be nested\r\n"
        assert client.inside.session.transaction is not None

    def test_exec_without_multi_is_the_servers_error(self, wire: Wire, client: Client) -> None:
        client.send(cmd("EXEC"))
        assert len(wire.servers) == 1 and wire.server.got() == cmd("EXEC")


class TestSwitch:
    def test_an_open_transaction_is_queued_again_and_the_client_sees_each_reply_once(
        self, wire: Wire, client: Client
    ) -> None:
        begin(wire, client, SET, GET)
        wire.pause()
        wire.switch()
        client.send(cmd("INCR", "b"))
        wire.unpause()
        new = wire.server
        assert new.got() == cmd("MULTI") + SET + GET
        new.send(OK + QUEUED * 2)
        assert client.got() == b"" and new.got() == cmd("INCR", "b")
        new.send(QUEUED)
        client.send(cmd("EXEC"))
        new.send(b"*3\r\n+OK\r\n:1\r\n:1\r\n")
        assert client.got() == QUEUED + b"*3\r\n+OK\r\n:1\r\n:1\r\n"

    def test_one_with_a_command_held_at_the_gate_is_queued_again_before_that(self, wire: Wire, client: Client) -> None:
        """Closing, swapping and opening happen in one turn: the old connection's end is told of only after that."""
        begin(wire, client, SET)
        wire.pause()
        client.send(cmd("INCR", "b"))
        wire.switch(turn=False)
        wire.unpause()
        new = wire.server
        assert new is not wire.servers[1] and new.got() == cmd("MULTI") + SET
        new.send(OK + QUEUED)
        assert new.got() == cmd("INCR", "b")

    def test_a_watch_with_an_exec_held_at_the_gate_is_lost(self, wire: Wire, client: Client) -> None:
        client.send(cmd("WATCH", "a"))
        wire.server.send(OK)
        client.got()
        wire.pause()
        client.send(cmd("MULTI") + SET + cmd("EXEC"))
        wire.switch(turn=False)
        wire.unpause()
        wire.server.send(OK)
        wire.server.send(QUEUED)
        assert wire.server.got().endswith(cmd("DISCARD"))
        wire.server.send(OK)
        assert client.got() == OK + QUEUED + b"*-1\r\n"

    def test_one_that_cannot_be_queued_again_fails_at_exec(self, wire: Wire, client: Client) -> None:
        begin(wire, client, SET)
        wire.pause()
        wire.switch()
        wire.unpause()
        client.send(cmd("EXEC"))
        wire.server.got()
        wire.server.send(OK + b"-ERR unknown command\r\n")
        assert client.got() == EXECABORT
        assert client.inside.session.transaction is None

    def test_one_past_the_bound_fails_at_exec(self, wire: Wire, client: Client) -> None:
        wire.core.limits = ClientLimits(max_transaction_commands=1)
        begin(wire, client, SET, GET)
        wire.pause()
        wire.switch()
        wire.unpause()
        assert client.ask("GET", "a") == QUEUED
        assert client.ask("EXEC") == EXECABORT

    def test_discard_after_it_needs_no_server(self, wire: Wire, client: Client) -> None:
        begin(wire, client, SET)
        wire.pause()
        wire.switch()
        wire.unpause()
        assert client.ask("DISCARD") == OK and client.inside.session.transaction is None

    def test_exec_in_flight_is_waited_for(self, wire: Wire, client: Client) -> None:
        begin(wire, client, SET)
        client.send(cmd("EXEC"))
        wire.pause()
        assert wire.gate.in_flight == 1
        wire.server.send(b"*1\r\n+OK\r\n")
        assert client.got() == b"*1\r\n+OK\r\n" and wire.gate.in_flight == 0

    def test_a_lost_connection_in_the_middle_of_queueing_again_is_tried_once_more(
        self, wire: Wire, client: Client
    ) -> None:
        begin(wire, client, SET)
        wire.pause()
        wire.switch()
        wire.unpause()
        client.send(GET)
        first = wire.server
        first.close()
        second = wire.server
        assert second is not first and second.got() == cmd("MULTI") + SET
        second.send(OK + QUEUED)
        assert second.got() == GET

    def test_it_is_not_queued_again_while_the_gate_is_closed(self, wire: Wire, client: Client) -> None:
        """The server may be fenced by then, and would refuse to queue writes."""
        begin(wire, client, SET)
        wire.server.close()
        wire.answer_login = False
        client.send(GET)
        wire.pause()
        wire.answer_login = True
        wire.turn()
        new = wire.server
        assert new.got() == b"" and wire.gate.in_flight == 0
        wire.unpause()
        assert new.got() == cmd("MULTI") + SET

    def test_queueing_again_is_waited_for_by_a_pause(self, wire: Wire, client: Client) -> None:
        begin(wire, client, SET)
        wire.server.close()
        client.send(GET)
        wire.pause()
        assert wire.gate.in_flight == 2
        wire.server.send(OK + QUEUED)
        assert wire.gate.in_flight == 0
        assert wire.server.got() == cmd("MULTI") + SET
        wire.unpause()
        assert wire.server.got() == GET

    def test_a_watch_is_lost_and_exec_says_nil(self, wire: Wire, client: Client) -> None:
        client.send(cmd("WATCH", "a"))
        wire.server.send(OK)
        client.got()
        wire.pause()
        wire.switch()
        wire.unpause()
        client.send(cmd("MULTI"))
        wire.server.send(OK)
        client.send(SET)
        wire.server.send(QUEUED)
        wire.server.got()
        client.send(cmd("EXEC"))
        assert wire.server.got() == cmd("DISCARD")
        wire.server.send(OK)
        assert client.got() == OK + QUEUED + b"*-1\r\n"
        assert not client.inside.session.watch_lost

    def test_a_whole_transaction_after_a_lost_watch_says_nil_too(self, wire: Wire, client: Client) -> None:
        client.send(cmd("WATCH", "a"))
        wire.server.send(OK)
        client.got()
        wire.pause()
        wire.switch()
        wire.unpause()
        client.send(cmd("MULTI") + SET + cmd("EXEC"))
        wire.server.send(OK)
        wire.server.send(QUEUED)
        wire.server.send(OK)
        assert client.got() == OK + QUEUED + b"*-1\r\n"

    def test_unwatch_takes_the_loss_back(self, wire: Wire, client: Client) -> None:
        client.send(cmd("WATCH", "a"))
        wire.server.send(OK)
        wire.pause()
        wire.switch()
        wire.unpause()
        client.send(cmd("UNWATCH"))
        assert not client.inside.session.watch_lost

    def test_commands_after_a_watch_stay_on_its_connection(self, wire: Wire, client: Client) -> None:
        client.send(cmd("WATCH", "a"))
        wire.server.send(OK)
        wire.server.got()
        client.send(GET)
        assert wire.server.got() == GET and wire.servers[0].got() == b""
