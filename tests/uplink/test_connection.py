"""One connection: the states that it goes through, and how it closes."""

from __future__ import annotations

import pytest

from redisproxy.resp import encode_command as cmd
from redisproxy.uplink import UplinkConnection
from redisproxy.uplink.connection import CLOSE_DEADLINE_S
from tests.uplink.sharing import GET, connected
from tests.wire import Wire


def uplink(wire: Wire) -> UplinkConnection:
    """The proxy's end of the connection to the server."""
    connection: UplinkConnection = wire.server.transport.protocol
    return connection


def test_a_connection_takes_commands_once_it_is_logged_in(wire: Wire) -> None:
    wire.answer_login = False
    client = wire.client()
    client.send(GET)
    assert not uplink(wire).alive and not uplink(wire).ready
    wire.answer_login = True
    wire.turn()
    assert uplink(wire).alive and uplink(wire).ready and wire.server.got() == GET


def test_a_retired_one_answers_what_is_in_flight_and_closes(wire: Wire) -> None:
    client = connected(wire)
    client.send(GET)
    wire.uplink_set.retire(uplink(wire))
    assert uplink(wire).alive and not uplink(wire).ready
    old = wire.server
    another = wire.client()
    another.send(cmd("PING"))
    assert old.got() == GET and wire.server.got() == cmd("PING")
    old.send(b":1\r\n")
    assert client.got() == b":1\r\n" and old.closed


@pytest.mark.parametrize("end", ["abort", "close"])
def test_one_that_is_closed_is_never_logged_in_or_retired_again(wire: Wire, end: str) -> None:
    connected(wire)
    connection = uplink(wire)
    getattr(connection, end)()
    connection.retire()
    assert not connection.alive and not connection.retired
    with pytest.raises(ValueError, match="closed"):
        connection.logged_in(None)
    assert not connection.ready


def test_one_logs_in_only_once(wire: Wire) -> None:
    connected(wire)
    with pytest.raises(ValueError, match="open"):
        uplink(wire).logged_in(None)


def test_a_connection_whose_closing_hangs_is_aborted(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """With TLS the close alert of a server that is stopped never comes."""
    connected(wire)
    hanging = wire.servers[0].transport
    monkeypatch.setattr(hanging, "loseConnection", lambda: None)
    wire.pause()
    wire.switch()
    wire.advance(CLOSE_DEADLINE_S - 0.1)
    assert not hanging.gone
    wire.advance(0.1)
    assert hanging.gone and wire.metrics.uplink.connections_open == 0


def test_a_connection_that_is_closed_leaves_no_deadline(wire: Wire) -> None:
    connected(wire)
    wire.pause()
    wire.switch()
    wire.advance(0.1)
    assert wire.servers[0].transport.gone and not wire.clock.getDelayedCalls()
