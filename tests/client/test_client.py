"""The command path in memory: plain commands, local answers, authentication, order, limits."""

from __future__ import annotations

import time

import pytest

from redisproxy.resp import encode_command as cmd
from redisproxy.shared.core import ClientLimits
from tests.wire import OK, Wire

GET = cmd("GET", "a")


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_a_plain_command_goes_out_as_it_came_and_its_reply_comes_back_as_it_is(wire: Wire) -> None:
    client = wire.client()
    client.send(GET)
    assert wire.server.got() == GET
    wire.server.send(b"$1\r\nx\r\n")
    assert client.got() == b"$1\r\nx\r\n"
    assert wire.gate.in_flight == 0


def test_clients_share_one_connection_and_get_their_own_replies(wire: Wire) -> None:
    one, two = wire.client(), wire.client()
    one.send(GET + GET)
    two.send(cmd("GET", "b"))
    assert len(wire.servers) == 1
    wire.server.send(b":1\r\n:2\r\n:3\r\n")
    assert one.got() == b":1\r\n:2\r\n" and two.got() == b":3\r\n"


def test_a_reply_is_passed_on_before_it_is_complete(wire: Wire) -> None:
    client = wire.client()
    client.send(GET)
    wire.server.send(b"$10\r\nabc")
    assert client.got() == b"$10\r\nabc"
    assert wire.gate.in_flight == 1
    wire.server.send(b"defghij\r\n")
    assert client.got() == b"defghij\r\n" and wire.gate.in_flight == 0


def test_a_client_that_has_left_does_not_shift_the_replies_of_others(wire: Wire) -> None:
    one, two = wire.client(), wire.client()
    one.send(GET)
    two.send(GET)
    one.close()
    wire.server.send(b":1\r\n:2\r\n")
    assert two.got() == b":2\r\n" and wire.gate.in_flight == 0


def test_local_answers_keep_their_place_behind_forwarded_ones(wire: Wire) -> None:
    client = wire.client()
    client.send(GET + cmd("CLIENT", "ID") + GET)
    assert client.got() == b"" and wire.server.got() == GET
    wire.server.send(b":7\r\n")
    assert client.got() == b":7\r\n:1\r\n"
    assert wire.server.got() == GET
    wire.server.send(b":8\r\n")
    assert client.got() == b":8\r\n"


def test_without_multiplexing_each_client_has_its_own_connection(wire: Wire) -> None:
    wire.core.multiplex = False
    one, two = wire.client(), wire.client()
    one.send(GET)
    two.send(GET)
    assert len(wire.servers) == 2
    wire.servers[1].send(b":2\r\n")
    assert two.got() == b":2\r\n"
    one.close()
    assert wire.servers[0].closed and wire.gate.in_flight == 0


@pytest.mark.parametrize(
    "line",
    [
        *("SUBSCRIBE a", "PSUBSCRIBE a*", "MONITOR", "SHUTDOWN", "CONFIG SET a b", "ACL FOO"),
        "CLIENT TRACKING ON REDIRECT 5",
    ],
)
def test_refused_commands_never_reach_the_server(wire: Wire, line: str) -> None:
    client = wire.client()
    answer = client.ask(*line.split())
    assert answer.startswith((b"-ERR redisproxy", b"-NOPERM redisproxy"))
    assert not wire.servers
    assert wire.metrics.clients.refused == {line.split()[0]: 1}


def test_http_is_closed_without_a_word(wire: Wire) -> None:
    client = wire.client()
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.closed and client.got() == b"" and wire.metrics.clients.closed["security"] == 1


def test_a_protocol_error_is_answered_after_what_came_before_it(wire: Wire) -> None:
    client = wire.client()
    client.send(GET + b"*1\r\n$x\r\n")
    assert not client.closed
    wire.server.send(b":1\r\n")
    assert client.got() == b":1\r\n-ERR Protocol error: invalid bulk length\r\n" and client.closed


def test_one_client_too_many_is_told_so() -> None:
    wire = Wire(max_clients=1)
    wire.client()
    second = wire.client()
    wire.turn()
    assert second.got() == b"-ERR max number of clients reached\r\n" and second.closed


def test_a_client_over_its_in_flight_limit_is_not_read_until_replies_come(wire: Wire) -> None:
    wire.core.limits = ClientLimits(max_in_flight=4)
    client = wire.client()
    client.send(GET * 5)
    assert client.transport.paused
    wire.server.send(b":1\r\n" * 4)
    assert not client.transport.paused


def test_the_in_flight_limit_holds_on_the_straight_way_too(wire: Wire) -> None:
    wire.core.limits = ClientLimits(max_in_flight=4)
    client = wire.client()
    client.send(GET)
    wire.server.send(b":1\r\n")
    client.send(GET * 3)
    assert not client.transport.paused
    client.send(GET * 2)
    assert client.transport.paused
    wire.server.send(b":1\r\n" * 5)
    assert not client.transport.paused and client.got() == b":1\r\n" * 6


def test_a_half_closed_client_gets_its_replies_and_is_closed_then(wire: Wire) -> None:
    client = wire.client()
    client.send(GET)
    client.transport.protocol.readConnectionLost()
    wire.turn()
    assert not client.closed
    wire.server.send(b":1\r\n")
    assert client.got() == b":1\r\n" and client.closed


def test_a_slow_reader_of_a_pinned_connection_stops_the_server_and_nobody_else(wire: Wire) -> None:
    wire.core.multiplex = False
    client = wire.client()
    client.send(GET)
    wire.server.send(b"$100000\r\n" + b"x" * 1000)
    client.inside.slow_reader.pauseProducing()
    assert wire.server.transport.paused and client.transport.paused
    client.inside.slow_reader.resumeProducing()
    assert not wire.server.transport.paused and not client.transport.paused


def test_a_slow_reader_of_a_large_shared_reply_leaves_the_connection_to_itself(wire: Wire) -> None:
    slow, other = wire.client(), wire.client()
    slow.send(GET)
    first = wire.server
    first.send(b"$300000\r\n" + b"x" * 1000)
    slow.inside.slow_reader.pauseProducing()
    assert first.transport.paused
    other.send(GET)
    wire.server.send(b":1\r\n")
    assert wire.server is not first and other.got() == b":1\r\n"


def test_a_slow_reader_without_outstanding_replies_costs_nobody_a_connection(wire: Wire) -> None:
    slow = wire.client()
    slow.send(GET)
    wire.server.send(b"$3\r\nabc\r\n")
    slow.inside.slow_reader.pauseProducing()
    assert not wire.server.closed and not wire.server.transport.paused
    wire.client().send(GET)
    assert len(wire.servers) == 1


def test_a_slow_reader_that_leaves_takes_its_half_read_reply_along(wire: Wire) -> None:
    slow = wire.client()
    slow.send(GET)
    wire.server.send(b"$300000\r\n" + b"x" * 1000)
    slow.inside.slow_reader.pauseProducing()
    slow.close()
    assert wire.server.closed and wire.gate.in_flight == 0


def test_a_slow_reader_of_many_replies_has_the_connection_to_itself_once_others_have_theirs(wire: Wire) -> None:
    slow, other = wire.client(), wire.client()
    slow.send(GET)
    other.send(GET)
    slow.send(GET * 5)
    first, reply = wire.server, b"$600000\r\n" + b"x" * 600000 + b"\r\n"
    slow.inside.slow_reader.pauseProducing()
    first.send(reply, b":1\r\n", reply)
    assert first.transport.paused and other.got() == b":1\r\n"
    other.send(GET)
    assert wire.server is not first
    slow.inside.slow_reader.resumeProducing()
    assert not first.transport.paused
    first.send(reply * 4)
    assert slow.got() == reply * 6 and not slow.closed and first.closed


def test_a_slow_reader_is_waited_for_although_the_proxy_has_asked_something_behind_it(wire: Wire) -> None:
    slow = wire.client()
    slow.send(GET * 3)
    first = wire.server
    wire.core.uplinks.own_commands.run("COMMAND", "LIST")
    wire.turn()
    slow.inside.slow_reader.pauseProducing()
    assert first.transport.paused and not slow.closed


def test_a_slow_reader_past_the_hard_limit_is_dropped_while_others_wait_behind_it(wire: Wire) -> None:
    wire.core.limits = ClientLimits(output_hard_bytes=1000)
    slow, other = wire.client(), wire.client()
    slow.send(GET)
    other.send(GET)
    slow.inside.slow_reader.pauseProducing()
    assert not wire.server.transport.paused
    wire.server.send(b"$5000\r\n" + b"x" * 2000)
    assert slow.closed and wire.metrics.clients.closed["slow_reader"] == 1
    wire.server.send(b"x" * 3000 + b"\r\n:1\r\n")
    assert other.got() == b":1\r\n"


def test_when_the_server_goes_away_clients_with_unknown_outcome_are_disconnected_and_others_stay(wire: Wire) -> None:
    busy, idle = wire.client(), wire.client()
    idle.send(GET)
    wire.server.send(b":1\r\n")
    busy.send(GET)
    wire.server.close()
    assert busy.closed and not idle.closed and wire.gate.in_flight == 0
    assert wire.metrics.clients.closed["uplink_lost"] == 1
    idle.got()
    idle.send(GET)
    wire.server.send(b":2\r\n")
    assert idle.got() == b":2\r\n"


def test_commands_wait_for_an_unreachable_server_and_then_get_a_clear_error() -> None:
    wire = Wire(wait_limit_s=3.0)
    wire.refuse_connections = True
    client = wire.client()
    client.send(GET + GET)
    assert client.got() == b"" and client.transport.paused
    for _ in range(40):
        wire.advance(0.1)
    answers = client.got().split(b"\r\n")
    assert answers[0].startswith(b"-MASTERDOWN ") and b"connection refused" in answers[0] and answers[1] == answers[0]
    assert wire.attempts > 3
    assert not client.closed and not client.transport.paused


def test_commands_that_waited_go_out_when_the_server_is_back(wire: Wire) -> None:
    wire.refuse_connections = True
    client = wire.client()
    client.send(GET)
    wire.advance(1)
    wire.refuse_connections = False
    wire.advance(3)
    wire.server.send(b":1\r\n")
    assert client.got() == b":1\r\n"


def test_select_is_checked_against_the_server_and_changes_the_connection(wire: Wire) -> None:
    client = wire.client()
    client.send(cmd("SELECT", 5) + GET)
    assert client.got() == OK
    assert wire.server.got() == GET and wire.server.transport.protocol.db == 5


def test_a_refused_select_leaves_the_client_where_it_was(wire: Wire) -> None:
    client = wire.client()
    client.send(GET)
    wire.server.send(b":1\r\n")
    client.got()
    wire.login_error = b"-ERR DB index is out of range\r\n"
    assert client.ask("SELECT", 99) == b"-ERR DB index is out of range\r\n"
    client.send(GET)
    wire.servers[0].send(b":2\r\n")
    assert client.got() == b":2\r\n"


@pytest.mark.parametrize("argument", ["x", "1x", " 1", "01", "+1", "99999999999"])
def test_select_of_no_number_is_an_error(wire: Wire, argument: str) -> None:
    assert wire.client().ask("SELECT", argument) == b"-ERR value is not an integer or out of range\r\n"


def test_a_command_that_breaks_over_chunks_at_every_byte(wire: Wire) -> None:
    client = wire.client()
    for byte in GET + cmd("PING"):
        client.send(bytes([byte]))
    assert wire.server.got() == GET + cmd("PING")


def test_a_command_too_large_to_hold_is_streamed_on_a_connection_of_its_own(wire: Wire) -> None:
    wire.core.limits = ClientLimits(max_held_request_bytes=100)
    client, other = wire.client(), wire.client()
    large = cmd("SET", "a", "x" * 1000)
    client.send(large[:50])
    pinned = wire.server
    other.send(GET)
    shared = wire.server
    assert shared is not pinned
    shared.send(b":1\r\n")
    assert other.got() == b":1\r\n"
    client.send(large[50:])
    assert pinned.got() == large
    pinned.send(OK)
    assert client.got() == OK and wire.gate.in_flight == 0
    client.send(GET)
    assert shared.got() == GET * 2


def test_a_client_that_leaves_in_the_middle_of_a_large_command_leaves_no_half_command_behind(wire: Wire) -> None:
    wire.core.limits = ClientLimits(max_held_request_bytes=100)
    client = wire.client()
    client.send(cmd("SET", "a", "x" * 1000)[:500])
    client.close()
    assert wire.server.closed and wire.gate.in_flight == 0


def test_a_client_that_half_closes_in_the_middle_of_a_large_command_has_left(wire: Wire) -> None:
    wire.core.limits = ClientLimits(max_held_request_bytes=100)
    client = wire.client()
    client.send(cmd("SET", "a", "x" * 1000)[:500])
    client.transport.protocol.readConnectionLost()
    wire.turn()
    assert client.closed and wire.server.closed and wire.gate.in_flight == 0


def test_a_large_command_before_the_password_is_refused_and_its_rest_thrown_away() -> None:
    wire = Wire(password="secret")
    wire.core.limits = ClientLimits(max_held_request_bytes=32768)
    client = wire.client()
    large = cmd("MSET", *["x" * 16000] * 8)
    for at in range(0, len(large), 9000):
        client.send(large[at : at + 9000])
    assert client.got() == b"-NOAUTH Authentication required.\r\n" and not wire.servers
    assert client.ask("AUTH", "secret") == OK


def test_a_large_refused_command_is_answered_and_its_rest_thrown_away(wire: Wire) -> None:
    wire.core.limits = ClientLimits(max_held_request_bytes=100)
    client = wire.client()
    large = cmd("PUBLISH", "a", "x") and cmd("SUBSCRIBE", "x" * 1000)
    client.send(large[:50], large[50:], cmd("CLIENT", "ID"))
    assert client.got().startswith(b"-ERR redisproxy") and not client.closed
    assert not wire.servers


class TestAuthentication:
    @pytest.fixture
    def wire(self) -> Wire:
        return Wire(password="secret")

    def test_nothing_gets_through_before(self, wire: Wire) -> None:
        client = wire.client()
        assert client.ask("GET", "a") == b"-NOAUTH Authentication required.\r\n"
        assert not wire.servers

    def test_a_wrong_password_is_refused_and_counted(self, wire: Wire) -> None:
        client = wire.client()
        wrong = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
        assert client.ask("AUTH", "nope") == wrong
        assert client.ask("AUTH", "default", "nope") == wrong
        assert client.ask("AUTH", "someone", "secret") == wrong
        assert wire.metrics.clients.auth_failures_total == 3

    def test_the_right_password_lets_in_and_is_never_forwarded(self, wire: Wire) -> None:
        client = wire.client()
        client.send(cmd("AUTH", "secret") + GET)
        assert client.got() == OK
        assert b"secret" not in wire.server.transport.value()

    def test_hello_authenticates(self, wire: Wire) -> None:
        client = wire.client()
        assert client.ask("HELLO", 3).startswith(b"-NOAUTH HELLO must be called")
        answer = client.ask("HELLO", 3, "AUTH", "default", "secret", "SETNAME", "me")
        assert answer.startswith(b"%7\r\n")
        assert client.ask("CLIENT", "GETNAME") == b"$2\r\nme\r\n"

    def test_small_limits_apply_before(self, wire: Wire) -> None:
        client = wire.client()
        client.send(b"*11\r\n")
        assert client.got() == b"-ERR Protocol error: unauthenticated multibulk length\r\n" and client.closed
        client = wire.client()
        client.send(b"*1\r\n$20000\r\n")
        assert client.got() == b"-ERR Protocol error: unauthenticated bulk length\r\n" and client.closed

    def test_reset_logs_out(self, wire: Wire) -> None:
        client = wire.client()
        client.ask("AUTH", "secret")
        assert client.ask("RESET") == b"+RESET\r\n"
        assert client.ask("GET", "a").startswith(b"-NOAUTH")


class TestLocalAnswers:
    def test_auth_without_any_password_set(self, wire: Wire) -> None:
        assert wire.client().ask("AUTH", "x").startswith(b"-ERR AUTH <password> called without any password configured")

    def test_hello_2_and_3(self, wire: Wire) -> None:
        client = wire.client()
        assert b"$6\r\n7.0.15\r\n" in client.ask("HELLO")
        assert client.ask("HELLO", 3).startswith(b"%7\r\n")
        assert client.ask("CLIENT", "GETNAME") == b"_\r\n"
        assert client.ask("HELLO", 2).startswith(b"*14\r\n")
        assert client.ask("CLIENT", "GETNAME") == b"$-1\r\n"

    @pytest.mark.parametrize(
        ("args", "answer"),
        [
            (["HELLO", "4"], b"-NOPROTO unsupported protocol version\r\n"),
            (["HELLO", "x"], b"-ERR Protocol version is not an integer or out of range\r\n"),
            (["HELLO", "2", "NOPE"], b"-ERR Syntax error in HELLO option 'NOPE'\r\n"),
            (["CLIENT"], b"-ERR wrong number of arguments for 'client' command\r\n"),
            (["CLIENT", "NOPE"], b"-ERR unknown subcommand 'NOPE'. Try CLIENT HELP.\r\n"),
            (
                ["CLIENT", "SETNAME", "a b"],
                b"-ERR Client names cannot contain spaces, newlines or special characters.\r\n",
            ),
            (["CLIENT", "KILL", "1.2.3.4:5"], b"-ERR No such client\r\n"),
            (["CLIENT", "KILL", "ID", "77"], b":0\r\n"),
            (["CLIENT", "NO-EVICT", "on"], OK),
            (["CLIENT", "SETINFO", "lib-name", "x"], OK),
            (["CLIENT", "GETREDIR"], b":-1\r\n"),
            (["ACL", "WHOAMI"], b"$7\r\ndefault\r\n"),
        ],
    )
    def test_an_answer(self, wire: Wire, args: list[str], answer: bytes) -> None:
        client = wire.client()
        client.send(GET)
        wire.server.send(b":1\r\n")
        client.got()
        assert client.ask(*args) == answer

    def test_ids_grow_and_names_are_kept(self, wire: Wire) -> None:
        one, two = wire.client(), wire.client()
        assert one.ask("CLIENT", "ID") == b":1\r\n" and two.ask("CLIENT", "ID") == b":2\r\n"
        one.ask("CLIENT", "SETNAME", "first")
        listed = two.ask("CLIENT", "LIST")
        assert b"id=1 " in listed and b"name=first" in listed and b"id=2 " in listed
        assert b"id=2 " not in two.ask("CLIENT", "LIST", "ID", 1)

    def test_kill_by_id_closes_the_other_and_not_oneself(self, wire: Wire) -> None:
        one, two = wire.client(), wire.client()
        assert one.ask("CLIENT", "KILL", "ID", 2) == b":1\r\n" and two.closed
        assert one.ask("CLIENT", "KILL", "TYPE", "normal") == b":0\r\n" and not one.closed
        assert one.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no") == b":1\r\n"
        wire.turn()
        assert one.closed

    def test_who_kills_itself_is_told_and_runs_nothing_more(self, wire: Wire) -> None:
        client = wire.client()
        client.send(cmd("CLIENT", "KILL", "ID", 1, "SKIPME", "no") + GET)
        assert client.got() == b":1\r\n" and client.transport.disconnecting
        wire.turn()
        assert client.closed and not wire.servers

    def test_quit_answers_and_closes(self, wire: Wire) -> None:
        client = wire.client()
        assert client.ask("QUIT") == OK
        wire.turn()
        assert client.closed

    def test_reply_off_and_on(self, wire: Wire) -> None:
        client = wire.client()
        assert client.ask("CLIENT", "REPLY", "OFF") == b""
        client.send(GET)
        wire.server.send(b":1\r\n")
        assert client.got() == b""
        assert client.ask("CLIENT", "REPLY", "ON") == OK

    def test_reply_skip_skips_one(self, wire: Wire) -> None:
        client = wire.client()
        client.send(cmd("CLIENT", "REPLY", "SKIP") + GET + GET)
        wire.server.send(b":1\r\n")
        wire.server.send(b":2\r\n")
        assert client.got() == b":2\r\n"


def test_a_client_that_is_killed_with_replies_outstanding_releases_what_it_admitted(wire: Wire) -> None:
    one, two = wire.client(), wire.client()
    one.send(GET)
    two.ask("CLIENT", "KILL", "ID", 1)
    assert one.closed
    wire.server.send(b":1\r\n")
    assert wire.gate.in_flight == 0


def test_hello_with_a_server_that_does_not_know_it(wire: Wire) -> None:
    wire.answer_login = False
    client = wire.client()
    client.send(cmd("HELLO", 2))
    wire.server.got()
    wire.server.send(b"-ERR unknown command 'HELLO'\r\n+OK\r\n+OK\r\n")
    assert wire.server.got() == cmd("PING") + cmd("SELECT", 0)
    wire.server.send(b"+PONG\r\n+OK\r\n")
    assert client.got().startswith(b"*14\r\n") and not client.closed


def test_an_uplink_that_takes_no_more_is_waited_for(wire: Wire) -> None:
    one, two = wire.client(), wire.client()
    one.send(GET)
    uplink = wire.server.transport.producer
    assert uplink is not None
    uplink.pauseProducing()
    wire.server.got()
    one.send(GET)
    two.send(cmd("SELECT", 0) + GET)
    assert one.transport.paused and two.transport.paused and wire.server.got() == b""
    uplink.resumeProducing()
    wire.turn()
    assert wire.server.got() == GET * 2 and two.got() == OK


def test_a_server_that_answers_what_was_not_asked_is_not_trusted(wire: Wire) -> None:
    client = wire.client()
    client.send(GET)
    wire.server.send(b":1\r\n:2\r\n")
    assert wire.server.closed and client.got() == b":1\r\n"


def test_a_server_that_talks_nonsense_is_left(wire: Wire) -> None:
    client = wire.client()
    client.send(GET)
    wire.server.send(b"HTTP/1.1 400 Bad Request\r\n")
    assert wire.server.closed and client.closed and wire.gate.in_flight == 0


def test_lists_of_clients_that_nobody_gets_cost_nothing(wire: Wire) -> None:
    clients = [wire.client() for _ in range(90)]
    clients[0].ask("CLIENT", "REPLY", "OFF")
    began = time.process_time()
    clients[0].send(b"CLIENT LIST\r\n" * 5000)
    assert time.process_time() - began < 0.7
    assert b"id=90 " in clients[0].ask("CLIENT", "REPLY", "ON") + clients[0].ask("CLIENT", "LIST")


@pytest.mark.parametrize("command", ["BLPOP q 0", "XREAD BLOCK 0 STREAMS q $"])
def test_a_skipped_reply_stays_skipped_when_its_command_is_sent_again(wire: Wire, command: str) -> None:
    wire.client().send(GET)
    shared = wire.server
    shared.send(b":0\r\n")
    client = wire.client()
    client.ask("CLIENT", "REPLY", "SKIP")
    client.send(cmd(*command.split()) + GET)
    if "$" in command:
        shared.send(b"*0\r\n")
    wire.pause()
    wire.server.send(b"*-1\r\n")
    wire.unpause()
    wire.server.send(b"*0\r\n")
    assert client.got() == b""
    shared.send(b":1\r\n:2\r\n")
    assert client.got() == b":2\r\n"
