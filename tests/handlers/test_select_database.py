"""SELECT outside of transactions."""

from __future__ import annotations

import pytest

from redisproxy.resp import encode_command as cmd
from tests.wire import OK, Wire


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


@pytest.mark.parametrize("error", [b"-NOPERM no permissions to run the 'select' command\r\n", b"-ERR what\r\n"])
def test_a_database_that_is_refused_for_whatever_reason_says_nothing_about_the_server(wire: Wire, error: bytes) -> None:
    client, other = wire.client_with_a_reply(), wire.client()
    wire.login_error = error
    assert client.ask("SELECT", 5) == error and wire.attempts == 2
    wire.login_error = b""
    other.send(cmd("BLPOP", "q", 0))
    assert wire.attempts == 3 and wire.server.got() == cmd("BLPOP", "q", 0), "nobody waits for a next attempt"


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        (-1, "DB index is out of range"),
        (-(1 << 31), "DB index is out of range"),
        (-(1 << 31) - 1, "value is out of range, value must between -2147483648 and 2147483647"),
        (1 << 31, "value is out of range, value must between -2147483648 and 2147483647"),
        (99999999999, "value is out of range, value must between -2147483648 and 2147483647"),
    ],
)
def test_what_can_be_no_database_is_not_asked_for(wire: Wire, argument: int, error: str) -> None:
    assert wire.client().ask("SELECT", argument) == b"-ERR %b\r\n" % error.encode() and not wire.attempts


@pytest.mark.parametrize("argument", ["x", "1x", " 1", "01", "+1", "-0", "99999999999999999999"])
def test_select_of_no_number_is_an_error(wire: Wire, argument: str) -> None:
    assert wire.client().ask("SELECT", argument) == b"-ERR value is not an integer or out of range\r\n"


GET = cmd("GET", "a")
