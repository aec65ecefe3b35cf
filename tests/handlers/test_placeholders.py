"""The session's own commands inside of MULTI, in memory: placeholders at the server, answers in EXEC's reply."""

from __future__ import annotations

import pytest

from redisproxy.commands.lookup import CommandTable
from redisproxy.resp import encode_command as cmd
from redisproxy.shared.core import ClientLimits
from tests.wire import EXECABORT, OK, QUEUED, Client, Wire

PING, ECHO, EXEC = cmd("PING"), cmd("ECHO"), cmd("EXEC")
PONG = b"+PONG\r\n"
NAME = b"$2\r\nnm\r\n"


@pytest.fixture
def client(wire: Wire) -> Client:
    client = wire.client()
    client.send(cmd("MULTI"))
    wire.server.got()
    wire.server.send(OK)
    client.got()
    return client


def queue(client: Client, *command: str, sent: bytes = PING) -> None:
    client.send(cmd(*command))
    assert client.wire.server.got() == sent
    client.wire.server.send(QUEUED)
    assert client.got() == QUEUED


def name_between(client: Client) -> bytes:
    """Queue a name between two LRANGEs and return what the server has to answer to EXEC."""
    queue(client, "LRANGE", "l", "0", "-1", sent=cmd("LRANGE", "l", 0, -1))
    queue(client, "CLIENT", "SETNAME", "nm")
    queue(client, "CLIENT", "GETNAME")
    queue(client, "LRANGE", "l", "0", "-1", sent=cmd("LRANGE", "l", 0, -1))
    return b"*4\r\n*2\r\n$1\r\na\r\n*1\r\n$-1\r\n" + PONG + PONG + b"*0\r\n"


ANSWERED = b"*4\r\n*2\r\n$1\r\na\r\n*1\r\n$-1\r\n" + OK + NAME + b"*0\r\n"


def test_answers_stand_in_their_places(wire: Wire, client: Client) -> None:
    reply = name_between(client)
    client.send(EXEC + cmd("GET", "a"))
    pinned = wire.server
    assert pinned.got() == EXEC
    pinned.send(reply)
    assert client.got() == ANSWERED
    assert client.inside.session.name == b"nm" and not client.inside.route.pinned and not pinned.closed
    assert wire.server.got() == cmd("GET", "a") and wire.gate.in_flight == 1


def test_the_reply_may_be_cut_anywhere_and_passes_as_it_arrives(client: Client) -> None:
    reply = name_between(client)
    client.send(EXEC)
    got = b""
    for at in range(len(reply)):
        client.wire.server.send(reply[at : at + 1])
        piece = client.got()
        assert at >= reply.index(PONG) or piece == reply[at : at + 1]
        got += piece
    assert got == ANSWERED


@pytest.mark.parametrize("answer", [EXECABORT, b"*-1\r\n", b"_\r\n", b"-LOADING the dataset\r\n"])
def test_a_transaction_that_has_not_run_changes_nothing(client: Client, answer: bytes) -> None:
    name_between(client)
    client.send(EXEC)
    client.wire.server.send(answer[:3])
    client.wire.server.send(answer[3:])
    assert client.got() == answer and client.inside.session.name == b""
    assert client.inside.session.transaction is None


def test_a_discarded_one_changes_nothing(client: Client) -> None:
    queue(client, "CLIENT", "SETNAME", "nm")
    client.send(cmd("DISCARD"))
    client.wire.server.send(OK)
    assert client.got() == OK and client.inside.session.name == b""


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("CLIENT FOO", b"-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n"),
        ("CLIENT", b"-ERR wrong number of arguments for 'client' command\r\n"),
        ("CLIENT ID x", b"-ERR wrong number of arguments for 'client|id' command\r\n"),
        ("AUTH", b"-ERR wrong number of arguments for 'auth' command\r\n"),
        ("ACL WHOAMI x", b"-ERR wrong number of arguments for 'acl|whoami' command\r\n"),
        ("RESET x", b"-ERR wrong number of arguments for 'reset' command\r\n"),
        ("SUBSCRIBE", b"-ERR wrong number of arguments for 'subscribe' command\r\n"),
    ],
)
def test_what_redis_does_not_queue_spoils_the_transaction_at_the_server(
    client: Client, command: str, error: bytes
) -> None:
    wire = client.wire
    wire.core.table = CommandTable(pubsub=True)
    client.send(cmd("GET", "a") + cmd(*command.split()) + cmd("GET", "b"))
    assert wire.server.got() == cmd("GET", "a") + ECHO + cmd("GET", "b")
    wire.server.send(QUEUED + b"-ERR wrong number of arguments for 'echo' command\r\n" + QUEUED)
    assert client.got() == QUEUED + error + QUEUED
    client.send(EXEC)
    wire.server.send(EXECABORT)
    assert client.got() == EXECABORT and not wire.gate.in_flight


def test_one_that_is_lost_is_queued_again_with_its_placeholders(client: Client) -> None:
    wire = client.wire
    reply = name_between(client)
    wire.server.close()
    client.send(EXEC)
    lrange = cmd("LRANGE", "l", 0, -1)
    assert wire.server.got() == cmd("MULTI") + lrange + PING + PING + lrange
    wire.server.send(OK + QUEUED * 4)
    assert wire.server.got() == EXEC and client.inside.session.name == b""
    wire.server.send(reply)
    assert client.got() == ANSWERED


def test_a_spoiled_one_that_is_lost_fails_at_exec(client: Client) -> None:
    wire = client.wire
    client.send(cmd("CLIENT", "FOO"))
    wire.server.got()
    wire.server.send(b"-ERR wrong\r\n")
    client.got()
    wire.server.close()
    client.send(EXEC)
    assert wire.server.got() == cmd("MULTI") + ECHO
    wire.server.send(OK + b"-ERR wrong\r\n")
    assert client.got() == EXECABORT


def test_one_too_large_to_hold_counts_as_a_place(wire: Wire) -> None:
    client = wire.client()
    client.inside.received.framer.__init__(None, max_held_bytes=100)  # type: ignore[misc]
    client.send(cmd("MULTI"))
    wire.server.send(OK)
    client.send(cmd("SET", "a", "x" * 200), cmd("CLIENT", "ID"))
    wire.server.send(QUEUED + QUEUED)
    client.got()
    client.send(EXEC)
    wire.server.send(b"*2\r\n" + OK + PONG)
    assert client.got() == b"*2\r\n" + OK + b":1\r\n"


def test_hello_changes_the_version_for_what_comes_behind_it(client: Client) -> None:
    wire = client.wire
    wire.answer_login = False
    queue(client, "GET", "a", sent=cmd("GET", "a"))
    queue(client, "HELLO", "3", "SETNAME", "nm", sent=cmd("HELLO", 3))
    queue(client, "GET", "a", sent=cmd("GET", "a"))
    queue(client, "HELLO", "3", "FOO")
    client.send(EXEC)
    wire.server.send(b"*4\r\n$-1\r\n%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n_\r\n" + PONG)
    got = client.got()
    assert got.startswith(b"*4\r\n$-1\r\n%7\r\n") and got.endswith(
        b"*0\r\n_\r\n-ERR Syntax error in HELLO option 'FOO'\r\n"
    )
    assert client.inside.session.key == (0, 3) and client.inside.session.name == b"nm"


def test_a_hello_with_a_wrong_password_leaves_the_version(client: Client) -> None:
    wire = client.wire
    wire.answer_login = False
    queue(client, "HELLO", "3", "AUTH", "nobody", "x", sent=cmd("HELLO", 3))
    client.send(EXEC)
    pinned = wire.server
    pinned.got()
    pinned.send(b"*1\r\n%0\r\n")
    assert client.got().startswith(b"*1\r\n-WRONGPASS") and client.inside.session.key == (0, 2)
    assert pinned.closed or pinned.got() == cmd("HELLO", 2)


def test_the_server_is_told_of_a_wrong_password_only_when_all_is_answered(client: Client) -> None:
    wire = client.wire
    wire.answer_login = False
    client.inside.share.dedicate()  # its connection is kept
    for command in (("HELLO", "3", "AUTH", "nobody", "x"), ("HELLO", "3")):
        client.send(cmd(*command))
        assert wire.server.got() == cmd("HELLO", 3)
        wire.server.send(QUEUED)
    client.send(EXEC + cmd("GET", "a"))
    assert wire.server.got() == EXEC
    wire.server.send(b"*2\r\n%0\r\n%0\r\n")
    assert wire.server.got() == cmd("GET", "a") and client.inside.session.key == (0, 3)


def test_a_push_waits_for_the_end_of_the_reply(client: Client) -> None:
    wire, push = client.wire, b">1\r\n+push\r\n"
    for command in ("GET", "CLIENT ID", "GET"):
        words = command.split()
        queue(client, *words, sent=PING if len(words) > 1 else cmd(*words))
    client.send(EXEC)
    wire.server.send(b"*3\r\n")
    client.inside.push(push)
    wire.server.send(b"$1\r\na\r\n" + PONG + b"$1\r\nb\r\n")
    assert client.got() == b"*3\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n" + push


def test_replies_are_off_from_the_place_on_at_which_they_are_switched_off(client: Client) -> None:
    wire = client.wire
    queue(client, "CLIENT", "ID")
    queue(client, "CLIENT", "REPLY", "OFF")
    queue(client, "GET", "a", sent=cmd("GET", "a"))
    queue(client, "CLIENT", "REPLY", "ON")
    queue(client, "GET", "b", sent=cmd("GET", "b"))
    client.send(EXEC)
    wire.server.send(b"*5\r\n" + PONG + PONG + b"$1\r\na\r\n" + PONG + b"$1\r\nb\r\n")
    assert client.got() == b"*5\r\n:1\r\n" + OK + b"$1\r\nb\r\n"


def test_a_client_that_guesses_passwords_is_closed_in_the_middle() -> None:
    wire = Wire(password="right")
    wire.core.limits = ClientLimits(max_failed_logins=2)
    client = wire.client()
    client.ask("AUTH", "right")
    client.send(cmd("MULTI"))
    wire.server.send(OK)
    client.got()
    for _ in range(4):
        client.send(cmd("AUTH", "wrong"))
        wire.server.send(QUEUED)
    client.got()
    client.send(EXEC)
    wire.server.send(b"*4\r\n" + PONG * 4)
    assert client.got().count(b"WRONGPASS") == 2 and client.closed and not wire.gate.in_flight


def test_a_reply_with_another_number_of_commands_is_not_trusted(client: Client) -> None:
    queue(client, "CLIENT", "ID")
    client.send(EXEC)
    client.wire.server.send(b"*2\r\n" + PONG + PONG)
    assert client.closed and client.wire.metrics.clients.closed == {"internal_error": 1}


def test_how_much_is_kept_is_bounded() -> None:
    wire = Wire()
    wire.core.limits = ClientLimits(max_transaction_commands=2, max_transaction_bytes=100)
    for command, room in ((("CLIENT", "ID"), 2), (("CLIENT", "SETNAME", "x" * 26), 1)):
        client = wire.client()
        client.send(cmd("MULTI"))
        wire.server.send(OK)
        client.got()
        for _ in range(room):
            client.send(cmd(*command))
            wire.server.send(QUEUED)
            assert client.got() == QUEUED
        client.send(cmd(*command))
        wire.server.send(b"-ERR wrong\r\n")
        assert client.got().startswith(b"-ERR too many commands inside of MULTI")


def test_subscribing_inside_is_refused_and_unsubscribing_answered(client: Client) -> None:
    wire = client.wire
    wire.core.table = CommandTable(pubsub=True)
    queue(client, "UNSUBSCRIBE", "a")
    queue(client, "SSUBSCRIBE", "a")
    client.send(EXEC)
    wire.server.send(b"*2\r\n" + PONG + PONG)
    ended = b"*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n"
    assert client.got() == b"*2\r\n" + ended + b"-ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client\r\n"
    client.send(cmd("MULTI"))
    wire.server.send(OK)
    client.got()
    client.send(cmd("SUBSCRIBE", "a"))
    wire.server.send(b"-ERR wrong\r\n")
    assert client.got().startswith(b"-ERR redisproxy does not subscribe inside of MULTI")


def test_http_inside_of_a_transaction_closes_the_connection(client: Client) -> None:
    client.send(b"POST / HTTP/1.1\r\n")
    assert client.closed


def test_client_info_inside_tells_of_exec(client: Client) -> None:
    queue(client, "CLIENT", "INFO")
    client.send(EXEC)
    client.wire.server.send(b"*1\r\n" + PONG)
    got = client.got()
    assert b" flags=x " in got and b" multi=1 " in got and b" cmd=exec " in got
