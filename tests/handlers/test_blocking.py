"""Blocking commands: BLPOP waits on a connection of its own, is called back for a switch, and goes on after it."""

from __future__ import annotations

import pytest

from redisproxy.handlers.blocking import AGAIN_S, RETRY_S
from redisproxy.resp import encode_command as cmd
from tests.wire import Client, Wire

GET = cmd("GET", "a")


BLPOP = cmd("BLPOP", "q", 0)


def test_it_waits_on_a_connection_of_its_own(wire: Wire, client: Client) -> None:
    other = wire.client()
    client.send(BLPOP)
    assert len(wire.servers) == 2 and wire.server.got() == BLPOP
    other.send(GET)
    wire.servers[0].send(b":1\r\n")
    assert other.got() == b":1\r\n"
    wire.server.send(b"*2\r\n+q\r\n+x\r\n")
    assert client.got() == b"*2\r\n+q\r\n+x\r\n" and not client.inside.route.pinned


def test_what_comes_behind_it_waits(wire: Wire, client: Client) -> None:
    client.send(BLPOP + GET)
    assert wire.servers[0].got() == b""
    wire.server.send(b"*-1\r\n")
    assert client.got() == b"*-1\r\n" and wire.servers[0].got() == GET


def test_what_comes_behind_it_waits_on_a_connection_of_the_clients_own_too(wire: Wire, client: Client) -> None:
    client.send(cmd("EVAL", "return 1", 0))
    own = wire.server
    own.send(b":1\r\n")
    own.got()
    client.got()
    client.send(BLPOP)
    client.send(GET)
    assert own.got() == BLPOP
    own.send(b"*-1\r\n")
    assert client.got() == b"*-1\r\n" and own.got() == GET


def test_a_client_that_leaves_frees_its_connection(wire: Wire, client: Client) -> None:
    client.send(BLPOP)
    client.close()
    assert wire.server.closed and wire.gate.in_flight == 0


def test_a_client_that_half_closes_has_left(wire: Wire, client: Client) -> None:
    client.send(BLPOP)
    client.transport.protocol.readConnectionLost()
    wire.turn()
    assert client.closed and wire.server.closed and wire.gate.in_flight == 0


def test_one_that_has_sent_more_is_read_on_so_that_its_end_is_noticed(wire: Wire, client: Client) -> None:
    client.send(BLPOP + GET)
    client.send(GET)
    assert not client.transport.paused and wire.server.got() == BLPOP
    client.transport.protocol.readConnectionLost()
    wire.turn()
    assert client.closed and wire.server.closed and wire.gate.in_flight == 0


def test_what_comes_behind_it_is_held_within_a_bound(wire: Wire, client: Client) -> None:
    bound = wire.core.limits.max_held_request_bytes
    client.send(BLPOP + GET)
    client.send(cmd("ECHO", "x" * (bound // 3)) * 4)
    assert client.transport.paused
    wire.server.send(b"*-1\r\n")
    assert client.got() == b"*-1\r\n" and wire.servers[0].got().startswith(GET)
    assert not client.transport.paused


def test_what_a_compiled_transport_delivers_behind_it_is_held_within_the_same_bound(wire: Wire, client: Client) -> None:
    bound = wire.core.limits.max_held_request_bytes
    client.send(BLPOP + GET)
    for _ in range(4):
        assert not client.inside.lane.take(cmd("ECHO", "x" * (bound // 3)))
        client.inside.look()  # as that transport does, which passes over the protocol
    assert client.transport.paused
    wire.server.send(b"*-1\r\n")
    assert client.got() == b"*-1\r\n" and not client.transport.paused


def test_a_client_that_half_closes_while_it_is_held_has_left(wire: Wire, client: Client) -> None:
    wire.pause()
    client.send(cmd("BLPOP", "q", 0))
    client.transport.protocol.readConnectionLost()
    wire.unpause()
    wire.turn()
    assert client.closed and wire.gate.in_flight == 0 and wire.server.closed


def test_a_pause_unblocks_it_and_it_goes_on_at_the_new_server(wire: Wire, client: Client) -> None:
    client.send(BLPOP)
    blocked = wire.server
    wire.pause()
    assert wire.servers[0].got() == cmd("CLIENT", "UNBLOCK", 102)
    wire.servers[0].send(b":1\r\n")
    blocked.send(b"*-1\r\n")
    assert wire.gate.in_flight == 0 and client.got() == b""
    wire.switch()
    wire.unpause()
    assert wire.server is not blocked and wire.server.got() == BLPOP
    wire.server.send(b"*2\r\n+q\r\n+x\r\n")
    assert client.got() == b"*2\r\n+q\r\n+x\r\n"


def test_names_in_it_may_be_words_of_the_command(wire: Wire, client: Client) -> None:
    client.send(cmd("XREADGROUP", "GROUP", "BLOCK", "5", "BLOCK", 60000, "STREAMS", "s", ">"))
    blocked = wire.server
    wire.advance(10)
    wire.pause()
    blocked.send(b"*-1\r\n")
    assert client.got() == b""
    wire.switch()
    wire.unpause()
    assert wire.server.got() == cmd("XREADGROUP", "GROUP", "BLOCK", "5", "BLOCK", 50000, "STREAMS", "s", ">")


def test_it_is_unblocked_although_the_first_attempt_is_lost(wire: Wire, client: Client) -> None:
    client.send(BLPOP)
    blocked = wire.server
    wire.pause()
    assert wire.servers[0].got() == cmd("CLIENT", "UNBLOCK", 102)
    wire.servers[0].close()
    wire.clock.advance(AGAIN_S)
    wire.turn()
    assert wire.server is not blocked and wire.server.got().endswith(cmd("CLIENT", "UNBLOCK", 102))
    blocked.send(b"*-1\r\n")
    assert wire.gate.in_flight == 0 and client.got() == b"" and not client.closed


def test_without_a_connection_for_that_it_waits_for_one_and_asks_once(wire: Wire, client: Client) -> None:
    client.send(BLPOP)
    wire.refuse_connections = True
    wire.servers[0].close()
    wire.pause()
    for _ in range(20):
        wire.clock.advance(AGAIN_S)
        wire.turn()
    wire.refuse_connections = False
    for _ in range(30):
        wire.clock.advance(AGAIN_S)
        wire.turn()
        if len(wire.servers) > 2:
            break
    assert wire.server.got().count(b"UNBLOCK") == 1


def test_a_slow_reader_does_not_keep_it_from_being_unblocked(wire: Wire, client: Client) -> None:
    slow = wire.client()
    client.send(BLPOP)
    blocked = wire.server
    slow.send(GET)
    shared = wire.servers[0]
    shared.got()
    wire.pause()
    assert shared.got() == cmd("CLIENT", "UNBLOCK", 102)
    slow.inside.slow_reader.pauseProducing()
    assert shared.transport.paused
    wire.clock.advance(AGAIN_S)
    wire.turn()
    assert wire.server is not blocked and wire.server.got().endswith(cmd("CLIENT", "UNBLOCK", 102))


def test_before_the_gate_closes_it_waits_in_the_proxy_and_others_go_on(wire: Wire, client: Client) -> None:
    other, late = wire.client(), wire.client()
    client.send(BLPOP)
    blocked = wire.server
    assert client.inside.waiting.blocking is not None
    wire.core.blocked_commands.close()
    client.inside.waiting.blocking.move()
    wire.turn()
    assert wire.servers[0].got() == cmd("CLIENT", "UNBLOCK", 102)
    wire.servers[0].send(b":1\r\n")
    blocked.send(b"*-1\r\n")
    late.send(BLPOP)
    assert wire.gate.open and wire.gate.in_flight == 0 and len(wire.core.blocked_commands) == 2
    other.send(GET)
    assert wire.servers[0].got() == GET
    late.close()
    assert len(wire.core.blocked_commands) == 1
    wire.core.blocked_commands.open()
    wire.turn()
    assert wire.server is not blocked and wire.server.got() == BLPOP
    wire.server.send(b"*2\r\n+q\r\n+x\r\n")
    assert client.got() == b"*2\r\n+q\r\n+x\r\n" and late.got() == b""


def test_an_element_popped_at_the_last_moment_is_delivered_once(wire: Wire, client: Client) -> None:
    client.send(BLPOP)
    wire.pause()
    wire.server.send(b"*2\r\n+q\r\n+x\r\n")
    assert client.got() == b"*2\r\n+q\r\n+x\r\n" and wire.gate.in_flight == 0
    wire.servers[0].send(b":0\r\n")
    wire.unpause()
    assert wire.server.closed


def test_the_null_may_come_in_pieces(wire: Wire, client: Client) -> None:
    client.send(BLPOP)
    blocked = wire.server
    wire.pause()
    for byte in b"*-1\r\n":
        blocked.send(bytes([byte]))
    assert client.got() == b"" and wire.gate.in_flight == 0


def test_what_is_left_of_the_timeout_is_sent_on(wire: Wire, client: Client) -> None:
    client.send(cmd("BLPOP", "q", 10))
    blocked = wire.server
    wire.clock.advance(4)
    wire.pause()
    blocked.send(b"*-1\r\n")
    wire.clock.advance(1)
    wire.unpause()
    assert wire.server.got() == cmd("BLPOP", "q", "6.000")


def test_a_timeout_that_has_passed_is_answered(wire: Wire, client: Client) -> None:
    client.send(cmd("BLPOP", "q", 1))
    wire.pause()
    wire.clock.advance(2)
    wire.servers[1].send(b"*-1\r\n")
    assert client.got() == b"*-1\r\n" and wire.gate.in_flight == 0


def test_an_unblock_that_came_too_early_is_sent_again(wire: Wire, client: Client) -> None:
    client.send(BLPOP)
    wire.pause()
    wire.servers[0].got()
    wire.servers[0].send(b":0\r\n")
    wire.advance(0.01)
    assert wire.servers[0].got() == cmd("CLIENT", "UNBLOCK", 102)


def test_what_came_behind_it_stays_behind_it(wire: Wire, client: Client) -> None:
    client.send(BLPOP + GET)
    blocked = wire.server
    wire.pause()
    blocked.send(b"*-1\r\n")
    wire.unpause()
    assert wire.server is not blocked and wire.server.got() == BLPOP
    wire.server.send(b"*-1\r\n")
    assert client.got() == b"*-1\r\n"
    assert GET in b"".join(server.got() for server in wire.servers)


def test_xread_from_the_end_is_pinned_to_an_id_first(wire: Wire, client: Client) -> None:
    client.send(cmd("XREAD", "BLOCK", 0, "STREAMS", "a", "b", "$", "5-0"))
    assert wire.server.got() == cmd("XREVRANGE", "a", "+", "-", "COUNT", 1)
    wire.server.send(b"*1\r\n*2\r\n$3\r\n7-1\r\n*0\r\n")
    assert wire.server.got() == cmd("XREAD", "BLOCK", 0, "STREAMS", "a", "b", "7-1", "5-0")


def test_client_unblock_from_another_client_uses_the_ids_that_clients_see(wire: Wire, client: Client) -> None:
    client.send(BLPOP)
    other = wire.client()
    assert other.ask("CLIENT", "UNBLOCK", 77) == b":0\r\n"
    assert other.ask("CLIENT", "UNBLOCK", client.inside.id, "ERROR") == b":1\r\n"
    assert wire.servers[0].got() == cmd("CLIENT", "UNBLOCK", 102, "ERROR")


def test_client_unblock_that_was_too_early_is_sent_again(wire: Wire, client: Client) -> None:
    client.send(BLPOP)
    blocked, shared, unblock = wire.server, wire.servers[0], cmd("CLIENT", "UNBLOCK", 102, "ERROR")
    assert wire.client().ask("CLIENT", "UNBLOCK", client.inside.id, "ERROR") == b":1\r\n" and shared.got() == unblock
    shared.send(b":0\r\n")
    wire.advance(RETRY_S)
    assert shared.got() == unblock
    blocked.send(b"-UNBLOCKED\r\n")
    assert client.got() == b"-UNBLOCKED\r\n"
    wire.advance(AGAIN_S * 2)
    assert shared.got() == b""


def test_nobody_else_blocks_where_a_client_unblock_may_still_come(wire: Wire, client: Client) -> None:
    client.send(BLPOP)
    blocked, other = wire.server, wire.client()
    other.ask("CLIENT", "UNBLOCK", client.inside.id)
    blocked.send(b"*2\r\n+q\r\n+x\r\n")
    assert client.got() == b"*2\r\n+q\r\n+x\r\n"
    other.send(BLPOP)
    assert wire.server is not blocked and wire.server.got() == BLPOP and blocked.closed


def test_a_watch_outlives_a_client_unblock(wire: Wire, client: Client) -> None:
    client.send(cmd("WATCH", "k"))
    own = wire.server
    own.send(b"+OK\r\n")
    client.send(BLPOP)
    wire.client().ask("CLIENT", "UNBLOCK", client.inside.id)
    own.send(b"*-1\r\n")
    assert client.got() == b"+OK\r\n*-1\r\n" and client.inside.session.watching and not own.closed
    client.send(BLPOP)
    own.send(b"*-1\r\n")
    assert client.got() == b"", "this may be the end of the first one's wait"


@pytest.mark.parametrize(
    ("how", "answer"), [("TIMEOUT", b"*-1\r\n"), ("ERROR", b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n")]
)
@pytest.mark.parametrize("called_back", [True, False])
def test_client_unblock_reaches_one_that_waits_in_the_proxy(
    wire: Wire, client: Client, called_back: bool, how: str, answer: bytes
) -> None:
    if called_back:
        client.send(BLPOP + GET)
        wire.core.blocked_commands.close()
        assert client.inside.waiting.blocking is not None
        client.inside.waiting.blocking.move()
        wire.turn()
        wire.server.send(b"*-1\r\n")
        wire.servers[0].send(b":1\r\n")
    else:
        wire.core.blocked_commands.close()
        client.send(BLPOP + GET)
    assert client.got() == b"" and len(wire.core.blocked_commands) == 1
    other = wire.client()
    assert other.ask("CLIENT", "UNBLOCK", client.inside.id, how) == b":1\r\n"
    assert client.got() == answer and not len(wire.core.blocked_commands)
    assert other.ask("CLIENT", "UNBLOCK", client.inside.id, how) == b":0\r\n"
    wire.servers[0].send(b":5\r\n")
    assert client.got() == b":5\r\n"


def test_client_unblock_of_one_that_is_called_back_ends_its_wait(wire: Wire, client: Client) -> None:
    client.send(BLPOP)
    server = wire.server
    wire.core.blocked_commands.close()
    assert client.inside.waiting.blocking is not None
    client.inside.waiting.blocking.move()
    assert wire.client().ask("CLIENT", "UNBLOCK", client.inside.id) == b":1\r\n"
    server.send(b"*-1\r\n")
    assert client.got() == b"*-1\r\n" and not len(wire.core.blocked_commands)


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
