"""MONITOR, where it is allowed: a connection of its own, lines between replies, and a move."""

from __future__ import annotations

import pytest

from redisproxy.client.tracking_options import INVALIDATE_ALL
from redisproxy.commands.lookup import CommandTable
from redisproxy.resp import encode_command as cmd
from tests.handlers.moving import Move
from tests.wire import EXECABORT, OK, Client, Server, Wire

LINE = b'+1795776471.193075 [0 127.0.0.1:60894] "SET" "k" "v"\r\n'
LONG = b'+1795776471.193076 [0 127.0.0.1:60894] "SET" "k" "' + b"x" * 3_000_000 + b'"\r\n'
PONG = b"+PONG\r\n"


@pytest.fixture
def wire() -> Wire:
    wire = Wire()
    wire.core.table = CommandTable(frozenset({"MONITOR"}))
    return wire


def monitoring(wire: Wire) -> tuple[Client, Server]:
    """A client that monitors, and the server's side of its connection."""
    client = wire.client()
    client.send(cmd("MONITOR"))
    server = wire.server
    assert server.got() == cmd("MONITOR")
    server.send(OK + LINE)
    assert client.got() == OK + LINE
    return client, server


def test_others_go_on_with_another_connection(wire: Wire) -> None:
    other = wire.client()
    other.send(cmd("GET", "a"))
    shared = wire.server
    shared.send(b"$-1\r\n")
    _, server = monitoring(wire)
    assert server is not shared
    other.send(cmd("GET", "b"))
    assert shared.got() == cmd("GET", "a") + cmd("GET", "b")
    server.send(LINE)
    shared.send(b":2\r\n")
    assert other.got() == b"$-1\r\n:2\r\n"


def test_lines_and_replies_come_as_they_are_wherever_they_are_cut(wire: Wire) -> None:
    client, server = monitoring(wire)
    stream = LINE + PONG + LINE + b"$3\r\n+1.\r\n" + LINE + b"-ERR Replica can't interact with the keyspace\r\n" + LINE
    for size in (1, 2, 3, 7, 19, 20, 21, 31, 32, 33, 64, len(stream)):
        client.send(cmd("PING") + cmd("ECHO", "+1.") + cmd("GET", "k"))
        assert server.got() == cmd("PING") + cmd("ECHO", "+1.") + cmd("GET", "k")
        for at in range(0, len(stream), size):
            server.send(stream[at : at + size])
        assert client.got() == stream and not wire.gate.in_flight, size


def test_a_line_longer_than_any_other_reply_passes(wire: Wire) -> None:
    client, server = monitoring(wire)
    for at in range(0, len(LONG), 65536):
        server.send(LONG[at : at + 65536])
    assert client.got() == LONG and not client.closed


def test_what_the_proxy_answers_waits_for_the_end_of_a_line(wire: Wire) -> None:
    client, server = monitoring(wire)
    server.send(LONG[:1000])
    client.send(cmd("SELECT", 1) + cmd("CLIENT", "ID"))
    assert client.got() == LONG[:1000]
    server.send(LONG[1000:2000])
    server.send(LONG[2000:])
    got = client.got()
    assert got.startswith(LONG[1000:] + b"-ERR redisproxy") and got.endswith(b"\r\n:1\r\n")


def test_a_second_monitor_has_no_answer(wire: Wire) -> None:
    client, server = monitoring(wire)
    client.send(cmd("MONITOR") + cmd("PING"))
    assert server.got() == cmd("PING")


@pytest.mark.parametrize(
    "line",
    ["MULTI", "WATCH a", "SELECT 1", "HELLO 3", "BLPOP a 0", "SCAN 0", "EVAL x 0", "CLIENT REPLY OFF", "ASKING"],
)
def test_what_would_need_more_of_the_connection_is_refused(wire: Wire, line: str) -> None:
    client, server = monitoring(wire)
    assert client.ask(*line.split()).startswith(b"-ERR redisproxy does not run")
    assert not server.got() and not client.closed


def test_reset_ends_it(wire: Wire) -> None:
    client, server = monitoring(wire)
    assert client.ask("RESET") == b"+RESET\r\n"
    assert server.closed and not client.closed
    client.send(cmd("GET", "a"))
    assert wire.server is not server and wire.server.got() == cmd("GET", "a")


@pytest.mark.parametrize("end", ["QUIT", ""])
def test_its_connection_is_closed_with_it(wire: Wire, end: str) -> None:
    client, server = monitoring(wire)
    client.ask(end) if end else client.close()
    assert client.closed and server.closed and not wire.gate.in_flight


def test_a_server_that_refuses_leaves_an_ordinary_client(wire: Wire) -> None:
    client = wire.client()
    client.send(cmd("MONITOR"))
    refused = wire.server
    refused.send(b"-NOPERM no permission\r\n")
    refused.got()
    assert client.got() == b"-NOPERM no permission\r\n" and not client.inside.session.subscribed
    client.send(cmd("GET", "a"))
    assert wire.server.got() == cmd("GET", "a")


def test_a_lost_connection_is_told_by_closing(wire: Wire) -> None:
    client, server = monitoring(wire)
    server.close()
    assert client.closed and wire.metrics.clients.closed["uplink_lost"] == 1


def test_it_is_not_run_inside_of_multi(wire: Wire) -> None:
    client = wire.client()
    client.send(cmd("MULTI"))
    wire.server.send(OK)
    wire.server.got()
    client.send(cmd("MONITOR") + cmd("EXEC"))
    assert b"MONITOR" not in wire.server.got()
    wire.server.send(b"-ERR wrong\r\n" + EXECABORT)
    assert client.got() == OK + b"-ERR redisproxy does not run this command inside of MULTI\r\n" + EXECABORT


def test_client_list_shows_it(wire: Wire) -> None:
    monitoring(wire)
    assert b" flags=O " in wire.client().ask("CLIENT", "LIST")


def moving(wire: Wire) -> tuple[Move, Server]:
    """A move to another server, where MONITOR has been asked for."""
    move = Move(wire)
    new = move.open()
    move.copy()
    return move, new


def test_it_goes_on_at_the_new_server(wire: Wire) -> None:
    client, old = monitoring(wire)
    move, new = moving(wire)
    assert new.got() == cmd("MONITOR")
    new.send(OK + LINE)
    assert client.got() == b"" and old.got() == cmd("PING")
    old.send(LINE + PONG)
    assert client.got() == LINE
    move.swap()
    wire.unpause()
    assert old.closed and client.got() == b""
    new.send(LINE)
    assert client.got() == LINE
    client.send(cmd("PING"))
    new.send(PONG)
    assert client.got() == PONG and not wire.gate.in_flight


def test_a_line_that_is_cut_by_the_move_is_ended(wire: Wire) -> None:
    client, old = monitoring(wire)
    move, new = moving(wire)
    new.send(OK)
    old.send(PONG + LINE[:40])
    client.send(cmd("CLIENT", "ID"))
    move.swap()
    wire.unpause()
    assert client.got() == LINE[:40] + b"\r\n:1\r\n"
    new.send(LINE)
    assert client.got() == LINE


def test_a_command_that_waited_for_the_end_of_a_line_goes_on_after_the_move(wire: Wire) -> None:
    client, old = monitoring(wire)
    old.send(LINE[:40])
    client.send(cmd("CLIENT", "ID"))
    move, new = moving(wire)
    new.send(OK)
    old.send(LINE[40:] + PONG + LINE[:50])
    move.swap()
    wire.unpause()
    assert client.got() == LINE + LINE[:50] + b"\r\n:1\r\n"


@pytest.mark.parametrize("option", ["TRACKING ON", "CACHING YES", "REPLY OFF"])
def test_nothing_else_comes_between_its_lines(wire: Wire, option: str) -> None:
    client, server = monitoring(wire)
    answer = client.ask("CLIENT", *option.split())
    assert answer.startswith(b"-ERR redisproxy does not run this command for a client that monitors")
    assert server.got() == b""


def test_a_client_whose_cache_is_told_of_changes_can_not_monitor(wire: Wire) -> None:
    client = wire.client()
    client.ask("HELLO", 3)
    client.send(cmd("CLIENT", "TRACKING", "ON"))
    server = wire.server
    server.send(OK)
    client.got()
    server.got()
    assert client.ask("MONITOR").startswith(b"-ERR redisproxy does not run MONITOR for a client with CLIENT TRACKING")
    server.send(INVALIDATE_ALL)
    assert client.got() == INVALIDATE_ALL and server.got() == b"" and not client.closed


def test_a_new_server_that_refuses_costs_the_client_its_connection(wire: Wire) -> None:
    client, old = monitoring(wire)
    move, new = moving(wire)
    new.send(b"-NOPERM no permission\r\n")
    move.swap()
    wire.unpause()
    assert client.closed and new.closed and old.closed
