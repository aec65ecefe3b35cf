"""What clients change without the server telling of it is noted when the reply has come, before the client has it."""

from __future__ import annotations

from typing import Any

import pytest

from redisproxy.commands.lookup import CommandTable
from redisproxy.handlers import noting
from redisproxy.resp import RUN
from redisproxy.resp import encode_command as cmd
from redisproxy.shared.notes import Noted
from tests.wire import OK, QUEUED, Client, Wire

XACK, GET, ONE = cmd("XACK", "s", "g", "1-1"), cmd("GET", "a"), b":1\r\n"
S = Noted(keys=((0, b"s"),))
NOTHING = Noted()
XREADGROUP = cmd("XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", "s", ">")


def note(wire: Wire, on: bool = True) -> None:
    """What a data plane does when noting begins or ends."""
    notes = wire.core.notes
    notes.begin() if on else notes.end()
    wire.core.table = CommandTable(noting=on)
    for client in wire.registry:
        client.apply_framing()
        if on:
            noting.begin(client)


@pytest.fixture
def noted(wire: Wire, client: Client) -> Wire:
    """A data plane that notes, and a client with a connection."""
    client.send(GET)
    wire.server.send(ONE)
    assert client.got() == ONE and wire.server.got() == GET
    note(wire)
    return wire


def test_it_is_noted_with_the_reply_and_not_before(noted: Wire, client: Client) -> None:
    client.send(XACK)
    assert noted.server.got() == XACK and noted.core.notes.take() == NOTHING
    noted.server.send(b":")
    assert noted.core.notes.take() == NOTHING
    seen: list[Noted] = []
    write = client.transport.write
    client.transport.write = lambda data: (seen.append(noted.core.notes.take()), write(data))  # type: ignore
    noted.server.send(b"1\r\n")
    assert seen == [S] and client.got() == ONE
    assert not noted.gate.in_flight and not client.inside.lane.pending


def test_replies_stay_in_order(noted: Wire, client: Client) -> None:
    other = noted.client()
    client.send(GET + XACK + GET)
    other.send(GET)
    assert noted.server.got() == GET + XACK + GET * 2
    noted.server.send(b":1\r\n:2\r\n:3\r\n:4\r\n")
    assert (client.got(), other.got()) == (b":1\r\n:2\r\n:3\r\n", b":4\r\n")
    assert noted.core.notes.take() == S and not noted.gate.in_flight


def test_nothing_is_noted_of_other_commands(noted: Wire, client: Client) -> None:
    client.send(GET + cmd("SET", "k", 1) + cmd("EVAL", "return 1", 0) + cmd("XGROUP", "HELP"))
    for server in noted.servers:
        server.send(ONE * server.got().count(b"*"))
    assert noted.core.notes.take() == NOTHING


def test_the_way_is_as_straight_as_before_when_it_is_over(noted: Wire, client: Client) -> None:
    client.send(XACK)
    noted.server.send(ONE)
    note(noted, on=False)
    client.send(GET)
    noted.server.send(ONE)
    noted.server.got()
    assert client.inside.lane.queue is not None
    commands = noted.metrics.flow.commands
    client.arrive(XACK + GET)
    assert noted.metrics.flow.commands == commands + 2 and client.inside.received.empty
    noted.turn()
    noted.server.send(ONE * 2)
    assert not client.inside.lane.pending


def test_the_database_is_that_of_the_client(noted: Wire, client: Client) -> None:
    assert client.ask("SELECT", 3) == OK
    client.send(XACK)
    noted.server.send(ONE)
    assert noted.core.notes.take() == Noted(keys=((3, b"s"),))


def test_what_is_lost_may_have_been_carried_out(noted: Wire, client: Client) -> None:
    client.send(XACK)
    noted.server.close()
    assert client.closed and noted.core.notes.take() == S


def test_a_client_that_wants_no_replies_is_noted_too(noted: Wire, client: Client) -> None:
    client.send(cmd("CLIENT", "REPLY", "OFF") + XACK)
    for server in noted.servers:
        server.send(ONE if XACK in server.got() else b"")
    assert noted.core.notes.take() == S and client.got() == b""


def test_one_that_has_left_before_the_reply_is_noted_too(noted: Wire, client: Client) -> None:
    client.send(XACK)
    client.close()
    noted.server.send(ONE)
    assert noted.core.notes.take() == S


@pytest.mark.parametrize("at", range(1, len(XACK)))
def test_a_command_that_has_arrived_in_part_before_is_noted(wire: Wire, client: Client, at: int) -> None:
    client.send(GET + XACK[:at])
    note(wire)
    client.send(XACK[at:])
    wire.server.send(ONE * 2)
    assert client.got() == ONE * 2 and wire.core.notes.take() == S


def wait_for_connection(wire: Wire, client: Client, data: bytes) -> None:
    """Send what framing finds to be plain and what then waits, because the connection to the server is lost."""
    wire.answer_login = False
    wire.server.close()
    client.send(data)
    current = client.inside.received.current
    assert current is not None and current[0] == RUN


def connect(wire: Wire) -> None:
    wire.answer_login = True
    wire.turn()


@pytest.mark.parametrize("before", [b"", GET])
def test_commands_that_wait_for_a_connection_when_it_begins_are_noted(
    wire: Wire, client: Client, before: bytes
) -> None:
    wait_for_connection(wire, client, before + XACK + GET)
    note(wire)
    connect(wire)
    assert wire.server.got() == before + XACK + GET
    wire.server.send(ONE * 3)
    assert wire.core.notes.take() == S and not client.inside.lane.pending


def test_a_whole_transaction_that_waits_when_it_begins_is_noted(wire: Wire, client: Client) -> None:
    wait_for_connection(wire, client, cmd("MULTI") + XACK + cmd("EXEC"))
    note(wire)
    connect(wire)
    _run_transaction(wire, client)
    assert wire.core.notes.take() == S


def _run_transaction(wire: Wire, client: Client, count: int = 1) -> None:
    """Answer what comes of a transaction of so many commands, wherever it goes."""
    answers = {b"MULTI": OK, b"EXEC": b"*%d\r\n" % count + ONE * count}
    for _ in range(count + 3):
        wire.turn()
        for server in wire.servers:
            for command in server.got().split(b"*")[1:]:
                name = command.split(b"\r\n")[2]
                server.send(answers.get(name, QUEUED))
    assert client.got() == OK + QUEUED * count + answers[b"EXEC"]
    assert not wire.gate.in_flight


@pytest.mark.parametrize("pipelined", [True, False])
def test_a_transaction_is_noted_with_the_reply_to_exec(noted: Wire, client: Client, pipelined: bool) -> None:
    parts = [cmd("MULTI"), GET, XACK, cmd("EXEC")]
    for part in [b"".join(parts)] if pipelined else parts:
        client.send(part)
        if part == XACK:
            noted.server.send(OK + QUEUED * 2)
            assert noted.core.notes.take() == NOTHING
    if pipelined:
        _run_transaction(noted, client, 2)
    else:
        noted.server.send(b"*2\r\n:1\r\n:1\r\n")
    assert noted.core.notes.take() == S


def test_a_transaction_that_was_opened_before_is_noted(wire: Wire, client: Client) -> None:
    client.send(cmd("MULTI"))
    wire.server.send(OK)
    client.send(XACK)
    wire.server.send(QUEUED)
    note(wire)
    client.send(cmd("EXEC"))
    wire.server.send(b"*1\r\n:1\r\n")
    assert wire.core.notes.take() == S


def test_a_transaction_that_is_discarded_is_not(noted: Wire, client: Client) -> None:
    for command, reply in ((cmd("MULTI"), OK), (XACK, QUEUED), (cmd("DISCARD"), OK), (XACK, b"")):
        client.send(command)
        noted.server.send(reply)
    assert noted.core.notes.take() == NOTHING
    noted.servers[0].send(ONE)
    assert noted.core.notes.take() == S


def test_a_transaction_that_selects_counts_for_each_database_that_it_may_run_in(noted: Wire, client: Client) -> None:
    for command, reply in (
        *((cmd("MULTI"), OK), (XACK, QUEUED), (cmd("SELECT", 4), QUEUED), (cmd("XACK", "t", "g", "1-1"), QUEUED)),
        (cmd("EXEC"), b"*3\r\n:1\r\n+OK\r\n:1\r\n"),
    ):
        client.send(command)
        noted.server.send(reply)
    assert sorted(noted.core.notes.take().keys) == [(0, b"s"), (0, b"t"), (4, b"t")]


def test_of_a_transaction_too_large_to_remember_nobody_knows_what_was_in_it(wire: Wire, client: Client) -> None:
    client.send(cmd("MULTI"))
    wire.server.send(OK)
    client.send(cmd("SET", "k", b"x" * 2000000))
    note(wire)
    wire.server.send(QUEUED)
    client.send(cmd("EXEC"))
    wire.server.send(b"*1\r\n+OK\r\n")
    assert wire.core.notes.take() == Noted(everything=True)


def test_a_large_value_in_a_transaction_changes_nothing_silently(noted: Wire, client: Client) -> None:
    client.send(cmd("MULTI"))
    noted.server.send(OK)
    client.send(cmd("SET", "k", b"x" * 2000000))
    noted.server.send(QUEUED)
    client.send(cmd("EXEC"))
    noted.server.send(b"*1\r\n+OK\r\n")
    assert noted.core.notes.take() == NOTHING


def test_a_command_too_large_to_hold_is_noted(noted: Wire, client: Client) -> None:
    client.send(cmd("XACK", "s", "g", *["1-1"] * 60000))
    noted.server.send(ONE)
    assert client.got() == ONE and noted.core.notes.take() == S


@pytest.mark.parametrize(
    "command", [("EVAL", "return 1", 1, "s"), ("EVALSHA", "a" * 40, 1, "s"), ("FCALL", "f", 1, "s")]
)
def test_keys_that_a_script_declares_are_noted_as_perhaps_changed(
    noted: Wire, client: Client, command: tuple[Any, ...]
) -> None:
    for _ in range(2):  # the second time from a connection of the client's own
        client.send(cmd(*command))
        noted.server.send(ONE)
        assert noted.core.notes.take() == Noted(perhaps=((0, b"s"),))


def test_a_blocked_reader_of_a_group_is_noted_with_its_reply(wire: Wire, client: Client) -> None:
    client.send(XREADGROUP)
    note(wire)
    assert wire.core.notes.take() == NOTHING
    wire.server.send(b"*-1\r\n")
    assert client.got() == b"*-1\r\n" and wire.core.notes.take() == S


def test_a_blocked_reader_that_is_lost_may_have_read(noted: Wire, client: Client) -> None:
    client.send(XREADGROUP)
    noted.server.close()
    assert noted.core.notes.take() == S


def test_a_blocked_reader_is_noted_when_it_is_called_back_for_a_switch(noted: Wire, client: Client) -> None:
    client.send(XREADGROUP)
    noted.pause()
    noted.server.send(b"*-1\r\n")
    assert client.got() == b"" and noted.core.notes.take() == S
