"""Maintenance notifications: who is told of pauses and of the end of the proxy, when, and between which bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import ensureDeferred

from redisproxy.commands.lookup import CommandTable
from redisproxy.dataplane.shutdown_notice import give_notice
from redisproxy.resp import encode_command as cmd
from redisproxy.resp import parse_replies
from redisproxy.shared.maintenance import BATCH, UNNOTICED_S
from tests.wire import OK, Client, Wire

GET = cmd("GET", "a")
ON = ("CLIENT", "MAINT_NOTIFICATIONS", "ON", "moving-endpoint-type")


@pytest.fixture
def wire() -> Wire:
    wire = Wire()
    wire.clock.advance(5)
    return wire


def listener(wire: Wire, endpoint_type: str = "internal-ip", library: str = "redis-py") -> Client:
    """A client that has opted in, and has its connection."""
    client = wire.client()
    client.ask("HELLO", 3)
    assert client.ask(*ON, endpoint_type) == OK
    client.ask("CLIENT", "SETINFO", "lib-name", library)
    client.send(GET)
    wire.server.send(b"_\r\n")
    client.got()
    return client


def close(wire: Wire, reason: str = "operator") -> None:
    """Close the gate for long enough to be told."""
    wire.gate.close(reason)
    wire.core.maintenance.gate_closed()
    wire.clock.advance(UNNOTICED_S)


def turn(wire: Wire) -> None:
    """One turn of the reactor, and not those that it asks for as the clock's own method does."""
    due = wire.clock.calls.pop(0)
    wire.clock.rightNow = max(wire.clock.rightNow, due.getTime())
    due.called = 1
    due.func(*due.args, **due.kw)


def reopen(wire: Wire, reason: str = "operator") -> None:
    wire.gate.reopen(reason)
    wire.core.maintenance.gate_opened()


def begins(number: int, name: str = "MIGRATING") -> bytes:
    return b'>4\r\n$%d\r\n%b\r\n:%d\r\n:1\r\n$5\r\n["0"]\r\n' % (len(name), name.encode(), number)


def ends(number: int, name: str = "MIGRATED") -> bytes:
    return b'>3\r\n$%d\r\n%b\r\n:%d\r\n$5\r\n["0"]\r\n' % (len(name), name.encode(), number)


class TestAsking:
    def test_resp2_is_refused_with_the_reason(self, wire: Wire) -> None:
        client = wire.client()
        assert client.ask(*ON, "none").startswith(b"-ERR CLIENT MAINT_NOTIFICATIONS needs RESP3")
        assert client.ask("CLIENT", "MAINT_NOTIFICATIONS", "OFF") == OK
        assert len(wire.core.maintenance) == 0

    @pytest.mark.parametrize("options", [["ON"], ["on", "Moving-Endpoint-Type", "External-FQDN"], ["OFF"]])
    def test_what_is_taken(self, wire: Wire, options: list[str]) -> None:
        client = wire.client()
        client.ask("HELLO", 3)
        assert client.ask("CLIENT", "MAINT_NOTIFICATIONS", *options) == OK
        assert (client.inside in wire.core.maintenance) == (options != ["OFF"])

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ([], "wrong number of arguments for 'client|maint_notifications' command"),
            (["maybe"], "syntax error"),
            (["ON", "moving-endpoint-type"], "syntax error"),
            (["OFF", "moving-endpoint-type", "none"], "syntax error"),
            (["ON", "nope", "none"], "Unrecognized option 'nope'"),
            (["ON", "moving-endpoint-type", "mars"], "Unknown moving-endpoint-type 'mars'"),
        ],
    )
    def test_what_is_not(self, wire: Wire, options: list[str], error: str) -> None:
        client = wire.client()
        client.ask("HELLO", 3)
        assert client.ask("CLIENT", "MAINT_NOTIFICATIONS", *options) == f"-ERR {error}\r\n".encode()
        assert len(wire.core.maintenance) == 0

    @pytest.mark.parametrize("end", [["RESET"], ["HELLO", "2"], ["CLIENT", "MAINT_NOTIFICATIONS", "OFF"]])
    def test_what_ends_it(self, wire: Wire, end: list[str]) -> None:
        client = listener(wire)
        client.ask(*end)
        close(wire)
        reopen(wire)
        wire.turn()
        assert client.got() == b""
        assert len(wire.core.maintenance) == 0

    def test_who_has_gone_is_forgotten(self, wire: Wire) -> None:
        listener(wire).close()
        assert len(wire.core.maintenance) == 0

    def test_hello_3_again_and_a_switch_leave_it(self, wire: Wire) -> None:
        client = listener(wire)
        client.ask("HELLO", 3)
        close(wire)
        assert client.got() == begins(5010)
        wire.switch()
        reopen(wire)
        wire.turn()
        assert client.got() == ends(5011)


class TestPauses:
    def test_beginning_and_end_are_told_with_growing_numbers(self, wire: Wire) -> None:
        client, other = listener(wire), wire.client()
        close(wire)
        assert client.got() == begins(5010)
        wire.advance(1)
        reopen(wire)
        wire.turn()
        assert client.got() == ends(6010)
        close(wire)
        assert client.got() == begins(6020)
        assert other.got() == b""

    def test_numbers_grow_although_the_clock_stands(self, wire: Wire) -> None:
        client = listener(wire)
        for _ in range(2):
            wire.core.maintenance.moving(1)
        assert b":5000\r\n" in (got := client.got()) and b":5001\r\n" in got

    def test_a_pause_that_nobody_notices_is_told_to_nobody(self, wire: Wire) -> None:
        client = listener(wire)
        wire.pause()
        wire.clock.advance(UNNOTICED_S / 2)
        wire.unpause()
        wire.advance(1)
        assert client.got() == b""

    def test_a_failover_has_names_of_its_own(self, wire: Wire) -> None:
        client = listener(wire)
        close(wire, "failover")
        assert client.got() == begins(5010, "FAILING_OVER")
        reopen(wire, "failover")
        wire.turn()
        assert client.got() == ends(5011, "FAILED_OVER")

    def test_the_end_of_one_reason_of_two_is_no_end(self, wire: Wire) -> None:
        client = listener(wire)
        close(wire)
        client.got()
        wire.gate.close("failover")
        reopen(wire)
        wire.turn()
        assert client.got() == b""
        reopen(wire, "failover")
        wire.turn()
        assert client.got() == ends(5011)

    def test_nobody_is_told_that_the_proxy_closes_its_gate_to_stop(self, wire: Wire) -> None:
        client = listener(wire)
        close(wire, "shutdown")
        wire.turn()
        assert client.got() == b""

    def test_a_crowd_is_told_a_few_in_each_turn(self, wire: Wire) -> None:
        clients = [listener(wire) for _ in range(2 * BATCH + 1)]

        def told() -> int:
            return [bool(client.got()) for client in clients].count(True)

        wire.gate.close("reload")
        wire.core.maintenance.gate_closed()
        assert told() == 0
        for count in (BATCH, BATCH, 1):
            turn(wire)
            assert told() == count
        reopen(wire, "reload")
        assert told() == 0
        for count in (BATCH, BATCH, 1):
            turn(wire)
            assert told() == count

    def test_who_has_not_heard_of_a_pause_hears_nothing_of_its_end(self, wire: Wire) -> None:
        clients = [listener(wire) for _ in range(2 * BATCH)]
        wire.gate.close("reload")
        wire.core.maintenance.gate_closed()
        turn(wire)
        reopen(wire, "reload")
        wire.turn()
        got = [client.got() for client in clients]
        assert got == [begins(5010) + ends(5011)] * BATCH + [b""] * BATCH

    def test_a_pause_that_begins_before_all_have_heard_of_the_last_ones_end(self, wire: Wire) -> None:
        clients = [listener(wire) for _ in range(2 * BATCH)]
        close(wire)
        assert [client.got() for client in clients] == [begins(5010)] * 2 * BATCH
        reopen(wire)
        turn(wire)
        wire.gate.close("reload")
        wire.core.maintenance.gate_closed()
        wire.advance(UNNOTICED_S)
        assert [client.got() for client in clients] == [ends(5011) + begins(5020)] * BATCH + [b""] * BATCH
        reopen(wire, "reload")
        wire.turn()
        assert [client.got() for client in clients] == [ends(5021)] * 2 * BATCH

    def test_who_leaves_between_beginning_and_end(self, wire: Wire) -> None:
        client, other = listener(wire), listener(wire)
        close(wire)
        client.close()
        reopen(wire)
        wire.turn()
        assert other.got() == begins(5010) + ends(5011)

    def test_a_client_that_waits_for_a_slow_command_is_told_at_once(self, wire: Wire) -> None:
        client = listener(wire)
        client.send(GET)
        close(wire)
        assert client.got() == begins(5010)
        wire.server.send(b":1\r\n")
        assert client.got() == b":1\r\n"

    def test_one_with_an_open_multi_and_one_that_is_muted(self, wire: Wire) -> None:
        opened, muted = listener(wire), listener(wire)
        opened.send(cmd("MULTI"))
        wire.server.send(OK)
        muted.send(cmd("CLIENT", "REPLY", "OFF"))
        opened.got()
        close(wire)
        assert opened.got() == muted.got() == begins(5010)

    def test_one_that_is_blocked(self, wire: Wire) -> None:
        client = listener(wire)
        client.send(cmd("BLPOP", "a", 0))
        assert b"BLPOP" in wire.server.got()
        wire.pause()
        wire.clock.advance(UNNOTICED_S)
        assert client.got() == begins(5010)


class TestBetweenReplies:
    def test_a_push_waits_for_the_end_of_the_reply_under_way_and_no_longer(self, wire: Wire) -> None:
        client = listener(wire)
        client.send(GET * 3)
        wire.server.send(b"$4\r\nab")
        client.inside.push(b">1\r\n+x\r\n")
        assert client.got() == b"$4\r\nab"
        wire.server.send(b"cd\r\n:1\r\n$2\r\n")
        assert client.got() == b"cd\r\n>1\r\n+x\r\n:1\r\n$2\r\n"
        wire.server.send(b"ef\r\n")
        assert client.got() == b"ef\r\n"
        assert wire.gate.in_flight == 0 and client.inside.lane.pending == 0

    def test_the_reply_of_somebody_else_is_not_waited_for(self, wire: Wire) -> None:
        client, other = listener(wire), listener(wire)
        other.send(GET)
        client.send(GET)
        wire.server.send(b"$4\r\nab")
        client.inside.push(b">1\r\n+x\r\n")
        other.inside.push(b">1\r\n+y\r\n")
        assert client.got() == b">1\r\n+x\r\n"
        wire.server.send(b"cd\r\n:1\r\n")
        assert other.got() == b"$4\r\nabcd\r\n>1\r\n+y\r\n" and client.got() == b":1\r\n"

    def test_the_straight_way_opens_again_after_it(self, wire: Wire) -> None:
        client = listener(wire)
        client.send(GET)
        wire.server.send(b"$4\r\nab")
        client.inside.push(b">1\r\n+x\r\n")
        assert not client.inside.lane.straight_out
        wire.server.send(b"cd\r\n")
        assert client.inside.lane.straight_out

    def test_pushes_without_end_in_one_reply_end_the_client(self, wire: Wire) -> None:
        client = listener(wire)
        client.send(GET)
        wire.server.send(b"$4\r\nab")
        for _ in range(65):
            client.inside.push(b"$1048576\r\n%b\r\n" % bytes(1048576))
        wire.turn()
        assert client.closed

    def test_messages_of_a_subscriber(self, wire: Wire) -> None:
        wire.core.table = CommandTable(pubsub=True)
        client = listener(wire)
        client.send(cmd("SUBSCRIBE", "c"))
        wire.server.send(b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
        client.got()
        client.inside.push(b">1\r\n+x\r\n")
        assert client.got() == b">1\r\n+x\r\n"
        head = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1000000\r\n"
        wire.server.send(head + bytes(900000))
        client.inside.push(b">1\r\n+y\r\n")
        assert client.got() == head + bytes(900000)
        wire.server.send(bytes(100000) + b"\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\na\r\n")
        assert client.got() == bytes(100000) + b"\r\n>1\r\n+y\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\na\r\n"

    def test_a_large_reply_to_a_subscriber(self, wire: Wire) -> None:
        wire.core.table = CommandTable(pubsub=True)
        client = listener(wire)
        client.send(cmd("SUBSCRIBE", "c"))
        wire.server.send(b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
        client.got()
        client.send(GET)
        wire.server.send(b"$1000000\r\n" + bytes(900000))
        client.inside.push(b">1\r\n+x\r\n")
        wire.server.send(bytes(100000))
        assert b"x" not in client.got()
        wire.server.send(b"\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\na\r\n")
        assert client.got() == b"\r\n>1\r\n+x\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\na\r\n"

    @given(data=st.data())
    @settings(max_examples=150, deadline=None)
    def test_however_replies_are_cut_and_whoever_waits(self, data: st.DataObject) -> None:
        wire = Wire()
        clients = [listener(wire) for _ in range(2)]
        expected: list[list[object]] = [[], []]
        stream = b""
        for batch in range(data.draw(st.integers(1, 4), label="batches")):
            who, count = data.draw(st.tuples(st.integers(0, 1), st.integers(1, 4)), label="who")
            clients[who].send(GET * count)
            for number in range(count):
                value = b"%d:%d" % (batch, number)
                expected[who].append(value)
                stream += b"$%d\r\n%b\r\n" % (len(value), value)
        at = pushed = 0
        while at < len(stream):
            step = data.draw(st.integers(1, 40), label="step")
            wire.server.send(stream[at : at + step])
            at += step
            for client in clients:
                client.inside.push(b"$1\r\nx\r\n")  # a push, to a parser that knows none
            pushed += 1
        for client, values in zip(clients, expected, strict=True):
            got = parse_replies(client.got())
            assert [each for each in got if each != b"x"] == values and got.count(b"x") == pushed
            assert client.inside.lane.pending == 0
        assert wire.gate.in_flight == 0


class TestGoingAway:
    def moving(self, number: int, seconds: int, endpoint: bytes) -> bytes:
        return b">4\r\n$6\r\nMOVING\r\n:%d\r\n:%d\r\n%b" % (number, seconds, endpoint)

    def test_without_an_endpoint_clients_connect_where_they_did(self, wire: Wire) -> None:
        none, address = listener(wire, "none", "node-redis"), listener(wire)
        assert len(wire.core.maintenance.moving(1.5)) == 2
        assert none.got() == address.got() == self.moving(5000, 2, b"_\r\n")

    @pytest.mark.parametrize("library", ["node-redis(x)", ""])
    def test_no_null_for_a_library_that_may_die_of_it(self, wire: Wire, library: str) -> None:
        client = listener(wire, "internal-ip", library)
        assert wire.core.maintenance.moving(1) == [] and client.got() == b""

    def test_an_endpoint_for_those_who_want_one(self, wire: Wire) -> None:
        none, address = listener(wire, "none"), listener(wire, "external-fqdn", "node-redis")
        wire.core.maintenance.moving(10, "there.example:6379")
        assert none.got() == self.moving(5000, 10, b"_\r\n")
        assert address.got() == self.moving(5000, 10, b"$18\r\nthere.example:6379\r\n")

    def test_the_notice_ends_when_all_have_left(self, wire: Wire) -> None:
        one, two, other = listener(wire), listener(wire), wire.client()
        given = ensureDeferred(give_notice(wire.core.maintenance, wire.clock, 10, 10))
        one.close()
        wire.advance(0.1)
        assert not given.called
        two.close()
        wire.advance(0.1)
        assert given.called and not other.closed

    def test_the_notice_ends_when_its_time_is_over(self, wire: Wire) -> None:
        listener(wire)
        given = ensureDeferred(give_notice(wire.core.maintenance, wire.clock, 10, 10))
        for _ in range(202):
            wire.advance(0.05)
        assert given.called

    def test_there_is_no_notice_where_nobody_wants_it(self, wire: Wire) -> None:
        assert ensureDeferred(give_notice(wire.core.maintenance, wire.clock, 10, 10)).called


@pytest.mark.parametrize("when_s", [0.0, UNNOTICED_S])
def test_who_stops_tells_nobody_any_more(wire: Wire, when_s: float) -> None:
    client = listener(wire)
    wire.gate.close("operator")
    wire.core.maintenance.gate_closed()
    wire.clock.advance(when_s)
    if when_s:
        wire.gate.reopen("operator")
        wire.core.maintenance.gate_opened()
    client.got()
    wire.core.maintenance.stop()
    assert not wire.clock.getDelayedCalls()
