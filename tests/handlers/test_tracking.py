"""Client-side caching at one server: CLIENT TRACKING, CLIENT CACHING, and what comes between replies."""

from __future__ import annotations

import pytest

from redisproxy.client.session_value import MAX_PREFIXES
from redisproxy.client.tracking_options import INVALIDATE_ALL
from redisproxy.commands.lookup import CommandTable
from redisproxy.resp import encode_command as cmd
from tests.handlers.caching import GET, ON, VALUE, YES, invalidate, move, resp3, track
from tests.handlers.moving import Move
from tests.wire import OK, Client, Server, Wire

pytestmark = pytest.mark.usefixtures("nothing_is_logged")


@pytest.fixture
def client(wire: Wire) -> Client:
    return resp3(wire)


class TestOn:
    def test_messages_reach_the_client_between_the_replies(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        client.send(GET + GET)
        assert pinned.got() == GET + GET and wire.gate.in_flight == 2
        pinned.send(VALUE + invalidate(b"x") + b"$1\r\n2\r\n")
        assert client.got() == VALUE + invalidate(b"x") + b"$1\r\n2\r\n"
        assert wire.gate.in_flight == client.inside.lane.pending == 0

    def test_a_message_reaches_a_client_that_waits_for_nothing(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        message = invalidate(b"x", b"y")
        for at in range(len(message)):
            pinned.send(message[at : at + 1])
        assert client.got() == message and not pinned.closed

    def test_a_message_is_heard_while_replies_are_off(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        client.send(cmd("CLIENT", "REPLY", "OFF") + GET)
        pinned.send(VALUE + invalidate(b"x"))
        assert client.got() == invalidate(b"x")

    def test_a_large_message_arrives_in_pieces_and_nothing_is_written_into_it(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        message = invalidate(b"k" * 1_000_000)
        pinned.send(message[:700_000])
        client.send(cmd("CLIENT", "ID"))
        pinned.send(message[700_000:])
        answer = client.got()
        assert answer.startswith(message) and answer[len(message) :].startswith(b":")

    def test_the_server_checks_the_options(self, wire: Wire, client: Client) -> None:
        client.send(cmd("CLIENT", "TRACKING", "ON", "OPTIN", "OPTOUT"))
        wire.server.send(b"-ERR You can't specify both OPTIN mode and OPTOUT mode\r\n")
        assert client.got().startswith(b"-ERR You can't")
        assert not client.inside.route.pinned and client.inside.session.tracking is None

    @pytest.mark.parametrize("options", [["REDIRECT", "5"], ["NOLOOP", "REDIRECT", "05"]])
    def test_redirect_is_refused(self, wire: Wire, client: Client, options: list[str]) -> None:
        servers = len(wire.servers)
        assert b"REDIRECT" in client.ask("CLIENT", "TRACKING", "ON", *options)
        assert len(wire.servers) == servers and client.ask("CLIENT", "GETREDIR") == b":-1\r\n"

    def test_a_prefix_may_have_the_name_of_an_option(self, wire: Wire, client: Client) -> None:
        track(wire, client, "BCAST", "PREFIX", "REDIRECT", "PREFIX", "5")

    def test_prefixes_are_bounded(self, wire: Wire, client: Client) -> None:
        track(wire, client, "BCAST", "PREFIX", "a")
        words = [word for number in range(MAX_PREFIXES) for word in ("PREFIX", str(number))]
        assert b"no more than" in client.ask("CLIENT", "TRACKING", "ON", "BCAST", *words)

    def test_arguments_are_counted(self, wire: Wire, client: Client) -> None:
        for words in (["TRACKING"], ["CACHING"], ["CACHING", "YES", "NO"], ["TRACKINGINFO", "x"]):
            assert client.ask("CLIENT", *words).startswith(b"-ERR wrong number of arguments for 'client|")

    def test_what_the_proxy_tells_of_it(self, wire: Wire, client: Client) -> None:
        assert b"~1\r\n$3\r\noff\r\n" in client.ask("CLIENT", "TRACKINGINFO")
        pinned = track(wire, client, "BCAST")
        assert client.ask("CLIENT", "GETREDIR") == b":0\r\n"
        info = client.ask("CLIENT", "INFO")
        assert b" flags=tB " in info and b" redir=0 " in info
        client.send(cmd("CLIENT", "TRACKINGINFO"))
        assert pinned.got() == cmd("CLIENT", "TRACKINGINFO")
        pinned.send(b"%3\r\n+a\r\n+b\r\n+c\r\n+d\r\n+e\r\n*0\r\n")
        assert client.got() == b"%3\r\n+a\r\n+b\r\n+c\r\n+d\r\n+e\r\n*0\r\n"

    def test_database_and_blocking_commands_use_the_same_connection(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        client.send(cmd("SELECT", 3))
        pinned.send(OK)
        client.send(cmd("BLPOP", "l", 0))
        pinned.send(b"*2\r\n$1\r\nl\r\n$1\r\n1\r\n")
        client.send(GET)
        assert pinned.got() == cmd("SELECT", 3) + cmd("BLPOP", "l", 0) + GET

    def test_an_array_that_looks_like_a_message_is_a_reply(self, wire: Wire) -> None:
        client = wire.client()
        client.send(cmd("CLIENT", "TRACKING", "ON"))
        wire.server.got()
        wire.server.send(OK)
        client.send(cmd("LRANGE", "l", 0, -1))
        reply = b"*3\r\n$7\r\nmessage\r\n$9\r\nsubscribe\r\n$1\r\na\r\n"
        wire.server.send(reply)
        assert client.got() == OK + reply and client.inside.lane.pending == wire.gate.in_flight == 0


class TestOrder:
    @pytest.mark.parametrize("command", ["CLIENT GETREDIR", "HELLO 2"])
    def test_what_the_proxy_answers_comes_behind_messages_that_were_there(
        self, wire: Wire, client: Client, command: str
    ) -> None:
        pinned = track(wire, client)
        wire.answer_login = False
        client.send(cmd("INCR", "x") + cmd(*command.split()))
        pinned.send(b":1\r\n" + invalidate(b"x"))
        answer = client.got()
        assert answer.startswith(b":1\r\n" + invalidate(b"x")) and len(answer) > len(b":1\r\n" + invalidate(b"x"))


class TestEnd:
    def test_off_closes_the_connection_because_the_server_still_knows_what_was_read_there(
        self, wire: Wire, client: Client
    ) -> None:
        pinned = track(wire, client)
        client.send(cmd("CLIENT", "TRACKING", "OFF"))
        pinned.send(OK)
        assert client.got() == OK and not client.inside.route.pinned and pinned.closed

    def test_off_without_on_gives_the_connection_back(self, wire: Wire, client: Client) -> None:
        client.send(cmd("CLIENT", "TRACKING", "OFF"))
        wire.server.send(OK)
        assert client.got() == OK and not client.inside.route.pinned and not wire.server.closed

    def test_off_on_a_connection_that_the_client_keeps_closes_it_when_it_leaves(
        self, wire: Wire, client: Client
    ) -> None:
        client.inside.share.dedicate()
        pinned = track(wire, client)
        client.send(cmd("CLIENT", "TRACKING", "OFF"))
        pinned.send(OK)
        assert not pinned.closed
        client.close()
        assert pinned.closed

    def test_off_keeps_a_watch(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        client.send(cmd("WATCH", "x"))
        pinned.send(OK)
        client.send(cmd("CLIENT", "TRACKING", "OFF"))
        pinned.send(OK)
        assert client.inside.route.pinned and client.inside.session.watching

    def test_reset_closes_the_connection_without_a_message(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        assert client.ask("RESET") == b"+RESET\r\n"
        assert pinned.closed and client.inside.session.tracking is None

    def test_a_client_that_goes_takes_the_connection_along(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        client.close()
        assert pinned.closed

    def test_it_stays_on_in_resp2_and_is_silent(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        wire.answer_login = False
        client.ask("HELLO", 2)
        assert pinned.got() == cmd("HELLO", 2)
        pinned.send(invalidate(b"x") + b"*0\r\n")
        assert client.got() == b""
        client.send(cmd("LRANGE", "l", 0, -1))
        pinned.send(b"*2\r\n$7\r\nmessage\r\n$1\r\na\r\n")
        assert client.got() == b"*2\r\n$7\r\nmessage\r\n$1\r\na\r\n"


class TestCaching:
    def test_it_goes_out_together_with_the_next_command(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client, "OPTIN")
        assert client.ask("CLIENT", "CACHING", "YES") == OK and pinned.got() == b""
        client.send(GET + GET)
        assert pinned.got() == YES + GET + GET
        pinned.send(OK + VALUE + VALUE)
        assert client.got() == VALUE + VALUE

    def test_it_outlasts_client_commands_only(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client, "OPTIN")
        client.send(YES + cmd("CLIENT", "ID") + cmd("CLIENT", "TRACKING", "ON", "OPTIN"))
        assert pinned.got() == cmd("CLIENT", "TRACKING", "ON", "OPTIN")
        pinned.send(OK)
        client.send(cmd("BLPOP", "l", 0))
        assert pinned.got() == YES + cmd("BLPOP", "l", 0)
        pinned.send(OK + b"*-1\r\n")
        client.send(YES + cmd("ACL", "WHOAMI") + GET)
        assert pinned.got() == GET

    @pytest.mark.parametrize(
        ("options", "mode", "error"),
        [
            ([], "YES", b"CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."),
            (["OPTOUT"], "yes", b"CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."),
            (["OPTIN"], "NO", b"CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."),
            (["OPTIN"], "x", b"-ERR syntax error\r\n"),
        ],
    )
    def test_errors(self, wire: Wire, client: Client, options: list[str], mode: str, error: bytes) -> None:
        track(wire, client, *options)
        assert error in client.ask("CLIENT", "CACHING", mode)

    def test_without_tracking(self, client: Client) -> None:
        assert b"can be called only when" in client.ask("CLIENT", "CACHING", "YES")

    def test_it_counts_for_a_whole_transaction(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client, "OPTIN")
        client.send(YES + cmd("MULTI"))
        assert pinned.got() == YES + cmd("MULTI")
        pinned.send(OK + OK)
        assert client.got() == OK + OK

    def test_inside_of_multi_it_is_queued(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client, "OPTIN")
        client.send(cmd("MULTI"))
        pinned.send(OK)
        client.send(YES + GET)
        assert pinned.got() == cmd("MULTI") + YES + GET

    def test_a_client_whose_key_is_not_tracked_after_all_is_dropped(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client, "OPTIN")
        client.send(YES + GET)
        pinned.send(b"-NOPERM\r\n")
        assert client.closed and client.got() == OK

    def test_a_switch_between_it_and_its_command(self, wire: Wire, client: Client) -> None:
        track(wire, client, "OPTIN")
        client.ask("CLIENT", "CACHING", "YES")
        new = move(wire, cmd("CLIENT", "TRACKING", "ON", "OPTIN"))
        assert client.got() == INVALIDATE_ALL
        wire.unpause()
        client.send(GET)
        assert new.got() == YES + GET


class TestBlocked:
    NULL = b"_\r\n"

    def blocked(self, wire: Wire, client: Client, timeout: int = 0) -> Server:
        pinned = track(wire, client)
        client.send(cmd("BLPOP", "l", timeout))
        assert pinned.got() == cmd("BLPOP", "l", timeout)
        return pinned

    def test_it_keeps_its_connection_when_it_is_called_back(self, wire: Wire, client: Client) -> None:
        pinned = self.blocked(wire, client)
        wire.pause()
        pinned.send(self.NULL + invalidate(b"x"))
        assert client.got() == invalidate(b"x") and not pinned.closed and wire.gate.in_flight == 0
        wire.unpause()
        assert pinned.got() == cmd("BLPOP", "l", 0)
        pinned.send(self.NULL)  # an UNBLOCK that was still on its way
        assert client.got() == b"" and pinned.got() == cmd("BLPOP", "l", 0)
        pinned.send(b"*2\r\n$1\r\nl\r\n$1\r\n1\r\n")
        assert client.got() == b"*2\r\n$1\r\nl\r\n$1\r\n1\r\n"

    def test_nobody_else_gets_that_connection(self, wire: Wire, client: Client) -> None:
        pinned = self.blocked(wire, client)
        wire.pause()
        pinned.send(b"*2\r\n$1\r\nl\r\n$1\r\n1\r\n")
        wire.unpause()
        client.send(cmd("CLIENT", "TRACKING", "OFF"))
        pinned.send(OK)
        assert pinned.closed and client.got().endswith(OK)

    def test_it_goes_on_at_the_new_server_after_forgetting(self, wire: Wire, client: Client) -> None:
        pinned = self.blocked(wire, client)
        wire.pause()
        pinned.send(self.NULL)
        new = move(wire)
        assert client.got() == INVALIDATE_ALL
        wire.unpause()
        assert new.got() == cmd("BLPOP", "l", 0)
        assert not client.inside.route.unblocked

    def test_a_timeout_is_a_timeout(self, wire: Wire, client: Client) -> None:
        pinned = self.blocked(wire, client, 5)
        wire.pause()
        pinned.send(self.NULL)
        wire.unpause()
        assert pinned.got() == cmd("BLPOP", "l", "5.000")
        wire.advance(5.1)
        pinned.send(self.NULL)
        assert client.got() == self.NULL


class TestSubscribers:
    @pytest.fixture
    def wire(self) -> Wire:

        wire = Wire()
        wire.core.table = CommandTable(pubsub=True)
        return wire

    CONFIRMED = b">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
    MESSAGE = b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"

    def subscribed(self, wire: Wire, client: Client) -> Server:
        pinned = track(wire, client)
        client.send(cmd("SUBSCRIBE", "a"))
        pinned.send(self.CONFIRMED)
        assert client.got() == self.CONFIRMED
        return pinned

    def test_one_may_be_tracked_too_and_both_move(self, wire: Wire, client: Client) -> None:
        pinned = self.subscribed(wire, client)
        pinned.send(self.MESSAGE + invalidate(b"x"))
        assert client.got() == self.MESSAGE + invalidate(b"x")
        moving = Move(wire)
        new = moving.open()
        pinned.got()
        copied = moving.copy()
        assert new.got() == cmd("SUBSCRIBE", "a")
        new.send(self.CONFIRMED)
        assert new.got() == ON
        new.send(OK)
        assert pinned.got() == cmd("PING") and not copied.called
        pinned.send(b"+PONG\r\n")
        moving.swap()
        assert client.got() == INVALIDATE_ALL

    def test_the_last_unsubscribe_leaves_tracking_on(self, wire: Wire, client: Client) -> None:
        pinned = self.subscribed(wire, client)
        client.send(cmd("UNSUBSCRIBE", "a"))
        pinned.send(b">3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n" + invalidate(b"x"))
        assert client.got().endswith(invalidate(b"x")) and not pinned.closed

    def test_off_leaves_the_subscription(self, wire: Wire, client: Client) -> None:
        pinned = self.subscribed(wire, client)
        client.send(cmd("CLIENT", "TRACKING", "OFF"))
        pinned.send(OK + self.MESSAGE)
        assert client.got() == OK + self.MESSAGE

    def test_an_array_that_looks_like_a_message_is_a_reply_in_resp3(self, wire: Wire, client: Client) -> None:
        pinned = self.subscribed(wire, client)
        client.send(cmd("LRANGE", "l", 0, -1))
        pinned.send(b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n")
        assert client.inside.lane.pending == wire.gate.in_flight == 0
