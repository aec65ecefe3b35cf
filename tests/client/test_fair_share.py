"""How much of a shared connection one client may take, and who gets one to itself: in memory, on a Clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from redisproxy.client.fair_share import FIRST_REPLIES, KEPT_S, MOST_REPLIES, WINDOW_BYTES
from redisproxy.resp import encode_command as cmd
from redisproxy.shared.core import ClientLimits
from tests.wire import OK, Client, Server, Wire

GET = cmd("GET", "a")
EVAL = cmd("EVAL", "return 1", 0)
EVALSHA = cmd("EVALSHA", "f" * 40, 0)
ONE = b":1\r\n"
LARGE = b"$100000\r\n" + b"x" * 100_000 + b"\r\n"


def sent(server: Server) -> int:
    """How many GETs have arrived at the server since it was last asked."""
    data = server.got()
    assert data == GET * (len(data) // len(GET))
    return len(data) // len(GET)


def second(wire: Wire, seconds: int = 1) -> None:
    """Let seconds pass as the proxy does."""
    for _ in range(seconds):
        wire.advance(1)
        for client in wire.registry:
            if client.lane.active:
                client.lane.active = False
                client.identity.last_seen = wire.clock.seconds()
            client.second_passed(wire.clock.seconds())
        wire.turn()


def dedicate(wire: Wire, client: Client) -> Server:
    """Have the client run a script; the connection that it got for that."""
    client.send(EVAL)
    server = wire.server
    assert server.got() == EVAL
    server.send(ONE)
    assert client.got() == ONE
    return server


class TestTheWindow:
    def test_is_small_at_first(self, wire: Wire, client: Client) -> None:
        client.send(GET * 1000)
        assert sent(wire.server) == FIRST_REPLIES

    def test_grows_while_replies_are_small_until_its_bound(self, wire: Wire, client: Client) -> None:
        client.send(GET * 9000)
        steps, total = [], 0
        while total < 9000:
            count = sent(wire.server)
            steps.append(count)
            total += count
            wire.server.send(ONE * count)
            assert client.got() == ONE * count
        assert steps[0] < steps[1] < steps[2] and MOST_REPLIES <= max(steps) <= 1.5 * MOST_REPLIES
        assert client.inside.lane.limit == MOST_REPLIES and wire.gate.in_flight == 0

    def test_begins_again_each_second(self, wire: Wire, client: Client) -> None:
        client.send(GET * 500)
        while count := sent(wire.server):
            wire.server.send(ONE * count)
        assert client.got() == ONE * 500
        second(wire)
        client.send(GET * 1000)
        assert sent(wire.server) == FIRST_REPLIES

    def test_never_is_more_than_the_limit_in_flight(self, wire: Wire) -> None:
        wire.core.limits = ClientLimits(max_in_flight=4)
        client = wire.client()
        client.send(GET * 1000)
        total = 0
        while count := sent(wire.server):
            assert count <= 4
            total += count
            wire.server.send(ONE * count)
        assert total == 1000 and client.got() == ONE * 1000

    def test_holds_so_many_large_replies_as_fit(self, wire: Wire, client: Client) -> None:
        client.send(GET * 200)
        first = sent(wire.server)
        wire.server.send(LARGE * first)
        own, total = wire.servers[1], first
        assert own is wire.server and client.got() == LARGE * first
        while total < 200:
            count = sent(own)
            assert 0 < count * len(LARGE) <= 1.6 * WINDOW_BYTES  # the first average has a small reply in it
            total += count
            own.send(LARGE * count)
            assert client.got() == LARGE * count
        assert wire.gate.in_flight == 0


class TestAClientThatRunsScripts:
    def test_has_a_connection_of_its_own_and_others_do_not_wait_for_it(self, wire: Wire, client: Client) -> None:
        other = wire.client()
        client.send(EVAL)
        assert wire.servers[1].got() == EVAL
        other.send(GET)
        assert sent(wire.servers[0]) == 1
        wire.servers[0].send(ONE)
        assert other.got() == ONE

    def test_sends_everything_there_in_order(self, wire: Wire, client: Client) -> None:
        mixed = (EVALSHA + GET) * 5
        client.send(EVAL + mixed)
        assert wire.servers[1].got() == EVAL + mixed and wire.servers[0].got() == b""
        wire.servers[1].send(b"".join(b":%d\r\n" % number for number in range(11)))
        assert client.got() == b"".join(b":%d\r\n" % number for number in range(11))

    def test_changes_over_only_with_nothing_in_flight(self, wire: Wire, client: Client) -> None:
        client.send(GET + EVAL + GET)
        assert wire.servers[0].got() == GET and len(wire.servers) == 1
        wire.servers[0].send(ONE)
        assert wire.servers[1].got() == EVAL + GET

    def test_keeps_it_while_it_sends_something(self, wire: Wire, client: Client) -> None:
        own = dedicate(wire, client)
        for _ in range(15):
            second(wire)
            client.send(GET)
            assert own.got() == GET
            own.send(ONE)
        assert wire.core.dedicated == 1

    def test_gives_it_back_when_it_has_been_silent(self, wire: Wire, client: Client) -> None:
        own = dedicate(wire, client)
        second(wire, int(KEPT_S))
        assert wire.core.dedicated == 1
        second(wire)
        assert wire.core.dedicated == 0 and not own.closed
        client.send(GET)
        assert wire.servers[0].got() == GET and own.got() == b""

    def test_whose_script_takes_long_gives_it_back_later(self, wire: Wire, client: Client) -> None:
        client.send(EVAL)
        second(wire, int(KEPT_S) + 2)
        assert wire.core.dedicated == 1
        wire.server.send(ONE)
        second(wire)
        assert client.got() == ONE and wire.core.dedicated == 0 and not client.inside.route.pinned

    def test_and_waits_at_the_gate_keeps_it(self, wire: Wire, client: Client) -> None:
        own = dedicate(wire, client)
        wire.pause()
        client.send(EVALSHA)
        second(wire, int(KEPT_S) + 2)
        wire.unpause()
        assert own.got() == EVALSHA and wire.servers[0].got() == b""

    def test_shares_when_no_more_may_have_their_own(self, wire: Wire, client: Client) -> None:
        wire.core.limits = ClientLimits(max_dedicated=1)
        other = wire.client()
        own = dedicate(wire, client)
        other.send(EVAL + EVALSHA)
        assert wire.servers[0].got() == EVAL + EVALSHA and wire.core.dedicated == 1
        wire.servers[0].send(ONE * 2)
        client.close()
        other.send(EVAL)
        assert own.got() == EVAL and wire.core.dedicated == 1

    @pytest.mark.parametrize("reason", ["no connection may be had", "it is bound to another server"])
    def test_loses_no_command_in_a_switch(self, wire: Wire, client: Client, reason: str) -> None:
        own = dedicate(wire, client)
        wire.pause()
        client.send(EVALSHA + GET)
        wire.switch()
        assert own.closed and not client.closed
        before = len(wire.servers)
        wire.unpause()
        assert wire.servers[before].got() == EVALSHA + GET and wire.core.dedicated == 1
        wire.servers[before].send(ONE * 2)
        assert client.got() == ONE * 2

    def test_goes_on_when_its_idle_connection_is_lost(self, wire: Wire, client: Client) -> None:
        own = dedicate(wire, client)
        own.close()
        assert not client.closed
        client.send(EVALSHA)
        assert wire.server is not own and wire.server.got() == EVALSHA

    def test_changes_its_database_there(self, wire: Wire, client: Client) -> None:
        own = dedicate(wire, client)
        client.send(cmd("SELECT", 3) + GET)
        assert own.got() == cmd("SELECT", 3)
        own.send(OK)
        assert client.got() == OK and own.got() == GET
        own.send(ONE)
        second(wire, int(KEPT_S) + 1)
        client.send(GET)
        assert own.got() == b"" and wire.server.transport.protocol.db == 3 and wire.server.got() == GET

    def test_watches_and_runs_transactions_there(self, wire: Wire, client: Client) -> None:
        own = dedicate(wire, client)
        client.send(cmd("WATCH", "k"))
        assert own.got() == cmd("WATCH", "k")
        own.send(OK)
        client.send(cmd("MULTI"))
        own.send(OK)
        client.send(EVALSHA)
        own.send(b"+QUEUED\r\n")
        client.send(cmd("EXEC"))
        assert own.got() == cmd("MULTI") + EVALSHA + cmd("EXEC")
        own.send(b"*1\r\n:1\r\n")
        assert client.got() == OK * 2 + b"+QUEUED\r\n*1\r\n:1\r\n"
        client.send(EVALSHA + GET)
        assert own.got() == EVALSHA + GET

    def test_sends_a_whole_transaction_in_one_piece(self, wire: Wire, client: Client) -> None:
        whole = cmd("MULTI") + EVAL + cmd("EXEC")
        client.send(whole)
        assert wire.servers[1].got() == whole and wire.core.dedicated == 1

    def test_gives_it_back_after_a_transaction_that_was_open_for_long(self, wire: Wire, client: Client) -> None:
        own = dedicate(wire, client)
        client.send(cmd("MULTI"))
        own.send(OK)
        second(wire, int(KEPT_S) + 2)
        client.send(GET)
        own.send(b"+QUEUED\r\n")
        client.send(cmd("EXEC"))
        own.send(b"*1\r\n:1\r\n")
        own.got()
        second(wire, int(KEPT_S) + 2)
        assert wire.core.dedicated == 0 and not client.inside.route.pinned

    def test_is_nobody_special_after_reset(self, wire: Wire, client: Client) -> None:
        own = dedicate(wire, client)
        assert client.ask("RESET") == b"+RESET\r\n"
        assert own.closed
        client.send(GET)
        assert wire.server is not own and wire.server.got() == GET
        wire.server.send(ONE)
        client.close()
        assert wire.core.dedicated == 0

    def test_may_speak_resp3(self, wire: Wire, client: Client) -> None:
        own = dedicate(wire, client)
        wire.answer_login = False
        assert client.ask("HELLO", 3).startswith(b"%7")
        assert own.got() == cmd("HELLO", 3)
        own.send(b"%0\r\n")
        client.send(EVALSHA)
        assert own.got() == EVALSHA


def waits_for_its_connection(wire: Wire, client: Client) -> None:
    wire.answer_login = False
    client.send(EVAL)


def waits_for_its_script(wire: Wire, client: Client) -> None:
    client.send(EVAL)


def waits_for_the_shared_one_first(wire: Wire, client: Client) -> None:
    client.send(GET + EVAL)


def is_silent(wire: Wire, client: Client) -> None:
    dedicate(wire, client)


def waits_at_the_gate(wire: Wire, client: Client) -> None:
    dedicate(wire, client)
    wire.pause()
    client.send(EVALSHA)


def has_a_transaction(wire: Wire, client: Client) -> None:
    own = dedicate(wire, client)
    client.send(cmd("MULTI"))
    own.send(OK)


def watches(wire: Wire, client: Client) -> None:
    own = dedicate(wire, client)
    client.send(cmd("WATCH", "a"))
    own.send(OK)


def is_blocked(wire: Wire, client: Client) -> None:
    dedicate(wire, client)
    client.send(cmd("BLPOP", "a", 0))


def does_not_read(wire: Wire, client: Client) -> None:
    own = dedicate(wire, client)
    client.send(EVALSHA)
    client.inside.slow_reader.pauseProducing()
    own.send(b"$10\r\nabc")


def has_had_its_connection_lost(wire: Wire, client: Client) -> None:
    dedicate(wire, client).close()


def test_a_client_that_does_not_read_is_not_taken_for_a_busy_server(wire: Wire, client: Client) -> None:
    does_not_read(wire, client)
    before = wire.attempts
    for _ in range(30):
        wire.advance(0.1)
        wire.core.uplinks.head_of_line.check(wire.clock.seconds(), lambda _: None)  # type: ignore[attr-defined]
    assert wire.attempts == before
    client.inside.slow_reader.resumeProducing()
    for _ in range(3):
        wire.advance(0.1)
        wire.core.uplinks.head_of_line.check(wire.clock.seconds(), lambda _: None)  # type: ignore[attr-defined]
    assert wire.attempts > before


STATES = [
    waits_for_its_connection,
    waits_for_its_script,
    waits_for_the_shared_one_first,
    is_silent,
    waits_at_the_gate,
    has_a_transaction,
    watches,
    is_blocked,
    does_not_read,
    has_had_its_connection_lost,
]


@pytest.mark.parametrize("state", STATES)
def test_a_client_that_leaves_is_counted_no_more(
    wire: Wire, client: Client, state: Callable[[Wire, Client], None]
) -> None:
    state(wire, client)
    client.close()
    wire.answer_login = True
    if not wire.gate.open:
        wire.unpause()
    wire.turn()
    for server in [each for each in wire.servers if not each.closed]:
        server.send(ONE * len(server.transport.protocol.queue))
    assert wire.core.dedicated == 0 and wire.gate.in_flight == 0
    assert all(server.transport.protocol.holder is None for server in wire.servers)
    other = wire.client()
    other.send(GET)
    wire.turn()
    assert wire.servers[0].got().endswith(GET)


class TestWithFewConnectionsForSingleClients:
    """C{uplink.max_pinned} is for those who need one; a client of scripts can do without."""

    @pytest.fixture
    def wire(self) -> Wire:
        return Wire(max_pinned=2)

    def test_the_only_one_is_not_for_scripts(self) -> None:
        wire = Wire(max_pinned=1)
        client = wire.client()
        client.send(EVAL)
        assert wire.core.dedicated == 0 and len(wire.servers) == 1 and wire.server.got() == EVAL

    def test_clients_of_scripts_leave_some_to_those_who_need_one(self, wire: Wire, client: Client) -> None:
        others = [wire.client() for _ in range(3)]
        for other in others:
            other.send(EVAL)
        assert wire.servers[1].got() == EVAL and wire.servers[0].got() == EVAL * 2
        client.send(cmd("BLPOP", "a", 0))
        assert wire.servers[2].got() == cmd("BLPOP", "a", 0)

    def test_a_client_whose_own_one_can_not_be_had_again_shares(self, wire: Wire, client: Client) -> None:
        own = dedicate(wire, client)
        own.close()
        for _ in range(2):
            wire.client().send(cmd("BLPOP", "a", 0))
        client.send(EVALSHA)
        assert wire.servers[0].got() == EVALSHA and wire.core.dedicated == 0
