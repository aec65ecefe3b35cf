"""How long clients have waited: all at once or one by one, it is the same."""

from __future__ import annotations

from random import Random

from redisproxy.forwarding.waits import BOUNDS_S, Waits
from tests.wire import Client, Wire


def test_many_that_are_let_go_together_count_as_each_of_them() -> None:
    chance = Random(3)
    for size in (0, 1, 7, 1000):
        since = sorted(chance.choice((100.0 - chance.expovariate(1), 100.0 - bound)) for bound in BOUNDS_S * size)
        together, apart = Waits(), Waits()
        together.add_all(since, 100.0)
        for each in since:
            apart.add(100.0 - each)
        assert sum(together.counts) == len(since)
        assert abs(together.total_us - apart.total_us) <= len(since) + 1
        assert all(abs(one - other) <= size for one, other in zip(together.counts, apart.counts, strict=True))


def test_a_clock_that_is_put_back_takes_nothing_away() -> None:
    waits = Waits()
    waits.add(-5)
    waits.add_all([100.0, 101.0], 50.0)
    assert waits.counts[0] == 3 and waits.total_us == 0


def test_each_client_that_was_held_is_measured_when_it_is_let_in(wire: Wire, client: Client) -> None:
    wire.pause()
    client.send(b"*1\r\n$4\r\nPING\r\n")
    wire.advance(2)
    other = wire.client()
    other.send(b"*1\r\n$4\r\nPING\r\n")
    wire.advance(0.4)
    wire.unpause()
    counts = dict(zip(BOUNDS_S, wire.gate.waits.counts, strict=False))
    assert counts[0.5] == 1 and counts[2.5] == 1 and wire.gate.waits.total_us == 2_800_000


def test_who_waits_for_a_connection_is_measured_whatever_comes_of_it(wire: Wire, client: Client) -> None:
    before = sum(wire.metrics.uplink.waits.counts)
    wire.refuse_connections = True
    for server in wire.servers:
        server.close()
    client.send(b"*1\r\n$4\r\nPING\r\n")
    wire.advance(60)
    waits = wire.metrics.uplink.waits
    assert client.got().startswith(b"-MASTERDOWN") and sum(waits.counts) == before + 1 and waits.total_us > 100_000
