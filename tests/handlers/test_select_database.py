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


@pytest.mark.parametrize("argument", ["x", "1x", " 1", "01", "+1", "99999999999"])
def test_select_of_no_number_is_an_error(wire: Wire, argument: str) -> None:
    assert wire.client().ask("SELECT", argument) == b"-ERR value is not an integer or out of range\r\n"


GET = cmd("GET", "a")
