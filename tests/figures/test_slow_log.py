"""The log of slow commands: whose, which, how long where; and what it never has."""

from __future__ import annotations

import pytest

from redisproxy.figures.slow_log import MOST_A_SECOND
from redisproxy.resp import encode_command as cmd
from tests.wire import Client, Wire

S = 1_000_000_000


@pytest.fixture
def wire() -> Wire:
    wire = Wire()
    wire.metrics.flow.clock = lambda: S + round(wire.clock.seconds() * S)
    wire.core.slow_log.apply(threshold_ms=100, max_entries=128, keys=True)
    return wire


@pytest.fixture
def client(wire: Wire) -> Client:
    return wire.client_with_a_reply()


def test_a_slow_command_is_noted_with_who_and_which_and_never_its_value(wire: Wire, client: Client) -> None:
    client.arrive(cmd("set", "the-key", "the-value"))
    wire.clock.advance(0.03)
    wire.turn()
    wire.advance(0.2)
    wire.server.send(b"+OK\r\n")
    (slow,) = wire.core.slow_log.entries()
    assert (slow.command, slow.key, slow.client_id, slow.user) == ("SET", "the-key", client.inside.id, "default")
    assert slow.addr == client.inside.address and (slow.proxy_ms, slow.redis_ms) == (30, 200)
    assert "the-value" not in repr(slow)


def test_what_is_quick_is_not_noted(wire: Wire, client: Client) -> None:
    client.send(cmd("GET", "a"))
    wire.advance(0.099)
    wire.server.send(b"$-1\r\n")
    assert wire.core.slow_log.entries() == ()


def test_of_a_pipeline_that_command_is_noted_which_was_slow(wire: Wire, client: Client) -> None:
    client.send(cmd("GET", "a") + cmd("SMEMBERS", "large") + cmd("GET", "b"))
    wire.server.send(b"$-1\r\n")
    wire.advance(0.5)
    wire.server.send(b"*0\r\n")
    wire.server.send(b"$-1\r\n")
    assert [slow.key for slow in wire.core.slow_log.entries()] == ["b", "large"]


def test_of_a_long_pipeline_too(wire: Wire, client: Client) -> None:
    client.send(b"".join(cmd("GET", f"key-{number}") for number in range(200)))
    wire.server.send(b"$-1\r\n" * 150)
    wire.advance(0.5)
    wire.server.send(b"$-1\r\n" * 50)
    assert [(slow.command, slow.key) for slow in wire.core.slow_log.entries()] == [("GET", "key-150")]


def test_of_what_is_no_longer_known_or_has_no_name_the_family_is_noted(wire: Wire, client: Client) -> None:
    client.send(cmd("SET", "a", "v" * 9000) + cmd("LPUSH", "b", "v" * 9000) + cmd(""))
    wire.server.send(b"+OK\r\n")
    wire.advance(0.5)
    wire.server.send(b":1\r\n")
    wire.server.send(b"-ERR unknown command ''\r\n")
    assert [slow.command for slow in wire.core.slow_log.entries()] == ["(other)", "(list)"]


def test_of_a_pipeline_that_was_cut_by_a_push_as_well(wire: Wire, client: Client) -> None:
    client.send(cmd("GET", "a") + cmd("GET", "b") + cmd("GET", "c"))
    wire.advance(0.5)
    wire.server.send(b"$3\r\na")
    queue = client.inside.lane.queue
    assert queue is not None and queue.amid(client.inside)
    wire.server.send(b"bc\r\n")
    wire.server.send(b"$-1\r\n")
    assert [slow.key for slow in wire.core.slow_log.entries()] == ["b", "a"]


def test_who_was_held_by_a_pause_was_not_slow(wire: Wire, client: Client) -> None:
    wire.pause()
    client.send(cmd("GET", "a"))
    wire.advance(5)
    wire.unpause()
    wire.server.send(b"$-1\r\n")
    assert wire.core.slow_log.entries() == ()
    wire.pause()
    client.send(cmd("GET", "b"))
    wire.advance(5)
    wire.unpause()
    wire.advance(0.2)
    wire.server.send(b"$-1\r\n")
    (slow,) = wire.core.slow_log.entries()
    assert (slow.proxy_ms, slow.redis_ms) == (5000, 200)


def test_keys_can_be_left_out_and_the_log_turned_off(wire: Wire, client: Client) -> None:
    log = wire.core.slow_log
    for keys, threshold_ms in ((False, 100), (True, 0)):
        log.apply(threshold_ms, 128, keys)
        client.send(cmd("GET", "secret-key"))
        wire.advance(1)
        wire.server.send(b"$-1\r\n")
    assert [slow.key for slow in log.entries()] == [""]


def test_what_is_under_way_when_the_log_is_turned_off_is_not_noted(wire: Wire, client: Client) -> None:
    client.send(cmd("GET", "a"))
    wire.core.slow_log.apply(0, 128, True)
    wire.advance(1)
    wire.server.send(b"$-1\r\n")
    assert wire.core.slow_log.entries() == ()


def test_it_is_bounded_also_when_everything_is_slow_at_once(wire: Wire, client: Client) -> None:
    log = wire.core.slow_log
    client.inside.lane.limit = 10_000
    for number in range(3 * MOST_A_SECOND):
        client.send(cmd("GET", "k" * 5000 + str(number)))
    wire.advance(1)
    wire.server.send(b"$-1\r\n" * 3 * MOST_A_SECOND)
    assert len(log.entries()) == MOST_A_SECOND and len(log.entries()[0].key) == 128
    log.apply(100, 5, True)
    assert len(log.entries()) == 5


def test_the_name_of_a_command_may_be_anything(wire: Wire, client: Client) -> None:
    client.send(cmd(b"\xff\x1b" + b"x" * 100, "secret"))
    wire.advance(1)
    wire.server.send(b"-ERR unknown command\r\n")
    (slow,) = wire.core.slow_log.entries()
    assert slow.command.startswith(r"\xff\x1bX") and len(slow.command) == 32 and slow.key == ""


def test_a_blocking_command_is_not_slow(wire: Wire, client: Client) -> None:
    client.send(cmd("BLPOP", "a", 0))
    wire.advance(10)
    wire.server.send(b"*2\r\n$1\r\na\r\n$1\r\nb\r\n")
    assert wire.core.slow_log.entries() == ()
