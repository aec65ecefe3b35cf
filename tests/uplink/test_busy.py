"""Nobody waits behind another client's command for long, and a server that runs a script can be told to end it."""

from __future__ import annotations

import pytest

from redisproxy.client import Client as Inside
from redisproxy.client.fair_share import KEPT_S, KEPT_WHEN_SHORT_S
from redisproxy.resp import encode_command as cmd
from redisproxy.uplink.busy_probe import PROBE_S
from redisproxy.uplink.head_of_line import AGAIN_S
from redisproxy.uplink.shared_connections import LAG_S
from redisproxy.uplink.urgent_commands import AT_ONCE, LIMIT_S, MAX_WAITING
from tests.wire import OK, Client, Server, Wire

GET = cmd("GET", "a")
EVAL = cmd("EVAL", "while true do end", 0)
KILL_ARGS = "SCRIPT", "KILL"
KILL = cmd(*KILL_ARGS)
BUSY = b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n"


@pytest.fixture
def wire() -> Wire:
    return Wire()


def connected(wire: Wire) -> Client:
    """A client with the shared connection at hand."""
    client = wire.client()
    client.send(GET)
    wire.servers[0].send(b":0\r\n")
    client.got()
    wire.servers[0].got()
    return client


def look(wire: Wire) -> None:
    """Let a tenth of a second pass, and the set look at its connections."""
    wire.advance(LAG_S)

    def dedicate(client: object) -> None:
        assert isinstance(client, Inside)
        client.share.dedicate()

    wire.uplink_set.head_of_line.check(wire.clock.seconds(), dedicate)
    wire.turn()


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


class TestBusy:
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


class TestLag:
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


def connected_to(wire: Wire, number: int) -> Client:
    """A client whose first command went to the connection of this number, and was answered."""
    client = wire.client()
    client.send(GET)
    server = wire.servers[number]
    assert server.got().endswith(GET)
    server.send(b":0\r\n")
    client.got()
    return client


class TestOrder:
    @pytest.mark.parametrize("first", [cmd("BLPOP", "k", 0), cmd("MULTI"), cmd("WATCH", "k")])
    def test_what_arrived_first_in_a_turn_leaves_first(self, wire: Wire, first: bytes) -> None:
        a, b, c = (connected(wire) for _ in range(3))
        a.send(cmd("BLPOP", "x", 0))  # leaves a connection of its own at hand
        wire.server.send(b"*2\r\n$1\r\nx\r\n$1\r\n1\r\n")
        written = record(wire)
        for client, data in ((c, GET), (a, first), (b, cmd("SET", "a", 1)), (c, cmd("SET", "a", 2))):
            client.transport.protocol.dataReceived(data)
        wire.turn()
        assert b"".join(written) == GET + first + cmd("SET", "a", 1) + cmd("SET", "a", 2)

    def test_who_shares_a_connection_still_sends_in_one_piece(self, wire: Wire) -> None:
        a, b = connected(wire), connected(wire)
        written = record(wire)
        for _ in range(3):
            a.transport.protocol.dataReceived(GET)
            b.transport.protocol.dataReceived(GET)
        wire.turn()
        assert written == [GET * 6]

    def test_the_last_id_of_a_stream_is_asked_for_before_what_comes_after(self, wire: Wire) -> None:
        a, b = connected(wire), connected(wire)
        ask = cmd("XREVRANGE", "s", "+", "-", "COUNT", 1)
        a.transport.protocol.dataReceived(cmd("XREAD", "BLOCK", 0, "STREAMS", "s", "$"))
        b.transport.protocol.dataReceived(cmd("XADD", "s", "2-0", "f", "v"))
        wire.turn()
        assert wire.servers[0].got() == ask + cmd("XADD", "s", "2-0", "f", "v")
        wire.servers[0].send(b"*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n" + b"$3\r\n2-0\r\n")
        assert wire.servers[1].got() == cmd("XREAD", "BLOCK", 0, "STREAMS", "s", "1-0")

    def test_a_last_entry_that_is_too_large_is_an_error(self, wire: Wire) -> None:
        client = connected(wire)
        client.send(cmd("XREAD", "BLOCK", 0, "STREAMS", "s", "$") + GET)
        size = 5000000
        entry = b"*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nf\r\n$%d\r\n" % size + b"v" * size + b"\r\n"
        wire.servers[0].send(entry)
        wire.servers[0].send(b":1\r\n")
        got = client.got()
        assert got.startswith(b"-ERR redisproxy can't tell") and got.endswith(b":1\r\n")


def record(wire: Wire) -> list[bytes]:
    """Every piece that is written to the server from now on, in order, whatever connection it goes to."""
    written: list[bytes] = []
    for server in wire.servers:
        plain = server.transport.write

        def write(data: bytes, plain: object = plain) -> None:
            written.append(data)
            plain(data)  # type: ignore[operator]

        server.transport.write = write  # type: ignore[method-assign]
    return written


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
