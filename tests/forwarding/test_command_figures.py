"""What is counted of commands, and how long they take as clients see it and at the server."""

from __future__ import annotations

import pytest

from redisproxy.figures.families import FAMILIES
from redisproxy.figures.latency import BOUNDS_NS, percentile_ms
from redisproxy.resp import encode_command as cmd
from tests.wire import Client, Wire

S = 1_000_000_000


@pytest.fixture
def wire() -> Wire:
    wire = Wire()
    wire.metrics.flow.clock = lambda: S + round(wire.clock.seconds() * S)
    return wire


@pytest.fixture
def client(wire: Wire) -> Client:
    """A client that has had a reply, so that its commands go straight."""
    client = wire.client()
    client.send(cmd("UNKNOWN"))
    wire.server.send(b"+OK\r\n")
    assert client.got() == b"+OK\r\n"
    return client


def counted(numbers: list[int]) -> dict[str, int]:
    """Those that are not 0, by the name of the family."""
    return {family: number for family, number in zip(FAMILIES, numbers, strict=True) if number and family != "other"}


def times_ms(histograms: list[list[int]], family: str) -> list[float | None]:
    """The largest time of each bucket that has something, once for each that is in it."""
    each = enumerate(histograms[FAMILIES.index(family)])
    return [percentile_ms([(number, 1)], 1.0) for number, count in each for _ in range(count)]


def took(wire: Wire, family: str) -> tuple[list[float | None], list[float | None]]:
    figures = wire.metrics.flow.figures
    return times_ms(figures.client, family), times_ms(figures.uplink, family)


def test_a_command_is_measured_from_its_arrival_and_from_when_it_left(wire: Wire, client: Client) -> None:
    client.arrive(cmd("GET", "a"))
    wire.clock.advance(0.1)  # the turn is long
    wire.turn()
    wire.advance(0.4)
    wire.server.send(b"$-1\r\n")
    assert took(wire, "string") == ([500], [400])
    figures = wire.metrics.flow.figures
    assert counted(figures.client_ns) == {"string": S // 2} and counted(figures.uplink_ns) == {"string": S * 4 // 10}


def test_the_time_at_the_closed_gate_is_the_clients_and_not_the_servers(wire: Wire, client: Client) -> None:
    wire.pause()
    client.send(cmd("HGET", "a", "b"))
    wire.advance(2)
    wire.unpause()
    wire.advance(0.5)
    wire.server.send(b"$-1\r\n")
    assert took(wire, "hash") == ([2500], [500])


def test_the_commands_of_a_pipeline_are_counted_by_their_families(wire: Wire, client: Client) -> None:
    client.send(cmd("get", "a") + cmd("SET", "a", "b") + cmd("ZADD", "z", 1, "m") + cmd("GET", "a"))
    wire.advance(0.2)
    wire.server.send(b"$-1\r\n-ERR no\r\n:1\r")
    assert took(wire, "string") == ([200, 200], [200, 200]) and took(wire, "sorted_set") == ([], [])
    wire.server.send(b"\n+OK\r\n")
    assert took(wire, "sorted_set") == ([200], [200])
    figures = wire.metrics.flow.figures
    assert counted(figures.commands) == {"string": 3, "sorted_set": 1} and counted(figures.errors) == {"string": 1}


def test_a_command_that_does_not_go_straight_counts_as_any_other(wire: Wire, client: Client) -> None:
    client.send(cmd("MULTI") + cmd("INCR", "a"))
    client.send(cmd("LPUSH", "a", "b") + cmd("RPUSH", "a", "b") + cmd("EXEC"))
    wire.turn()
    wire.server.send(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:1\r\n-ERR in an array\r\n:2\r\n")
    figures = wire.metrics.flow.figures
    assert counted(figures.commands) == {"transactions": 2, "string": 1, "list": 2}
    assert sum(figures.errors) == 0


@pytest.mark.parametrize("reply", [b"-ERR no\r\n", b"!6\r\nERR no\r\n"])
def test_errors_are_counted_by_family_however_they_are_cut(wire: Wire, client: Client, reply: bytes) -> None:
    client.send(cmd("SADD", "a", "b") * 2)
    for byte in reply + b":1\r\n":
        wire.server.send(bytes([byte]))
    assert counted(wire.metrics.flow.figures.errors) == {"set": 1}


def test_what_waits_by_itself_is_counted_and_not_measured(wire: Wire, client: Client) -> None:
    client.send(cmd("BLPOP", "a", 0))
    wire.advance(5)
    wire.server.send(b"*2\r\n$1\r\na\r\n$1\r\nb\r\n")
    assert client.got().startswith(b"*2") and took(wire, "list") == ([], [])
    assert counted(wire.metrics.flow.figures.commands) == {"list": 1}


def test_commands_of_the_proxys_own_are_not_counted(wire: Wire, client: Client) -> None:
    before = sum(wire.metrics.flow.figures.commands)
    wire.advance(60)
    assert sum(wire.metrics.flow.figures.commands) == before == wire.metrics.flow.commands


def test_a_push_in_the_middle_of_a_pipeline_mixes_no_families_up(wire: Wire, client: Client) -> None:
    client.send(cmd("GET", "a") + cmd("HGET", "a", "b") + cmd("GET", "a"))
    wire.server.send(b"$3\r\nab")
    assert client.inside.lane.queue is not None and client.inside.lane.queue.amid(client.inside)
    wire.server.send(b"c\r\n-ERR no\r\n-ERR no\r\n")
    assert counted(wire.metrics.flow.figures.errors) == {"hash": 1, "string": 1}


@pytest.mark.parametrize("more", [0, 1])
def test_a_bound_belongs_to_its_bucket(wire: Wire, more: int) -> None:
    figures = wire.metrics.flow.figures
    for number, bound in enumerate(BOUNDS_NS):
        figures.answered(0, 1, bound + more, 0)
        assert figures.client[0][number + more] == 1
    figures.answered(0, 1, -5, 10**18)
    assert figures.uplink[0][-1] == 1


def test_names_that_nobody_knows_and_ends_that_are_missing_are_of_no_family(wire: Wire) -> None:
    figures = wire.metrics.flow.figures
    for data in (b"*1\r\n$3\r\nGE", b"*1\r\n$0\r\n\r\n", cmd("G" * 70000), cmd(b"\xff\x00"), b"*2\r\n$3\r\n"):
        assert figures.sent(data, 1) == (0, None)
    assert figures.sent(cmd("geoRadiusByMember_RO"), 1) == (FAMILIES.index("sorted_set"), None)


def test_without_measuring_commands_are_counted_and_that_is_all(wire: Wire, client: Client) -> None:
    before = wire.metrics.flow.commands
    wire.metrics.flow.measures = False
    client.send(cmd("GET", "a") + cmd("LLEN", "b"))
    wire.advance(0.1)
    wire.server.send(b"$-1\r\n-ERR no\r\n")
    assert client.got() == b"$-1\r\n-ERR no\r\n" and wire.metrics.flow.commands == before + 2
    figures = wire.metrics.flow.figures
    assert not counted(figures.commands) and not counted(figures.errors) and not counted(figures.client_ns)


def test_replies_that_come_together_are_each_measured(wire: Wire, client: Client) -> None:
    clients = [client, *(wire.client() for _ in range(40))]
    for each in clients:
        each.arrive(cmd("GET", "a"))
    wire.clock.advance(0.1)
    wire.turn()
    clients[0].arrive(cmd("LLEN", "b"))
    clients[1].arrive(cmd("GET", "b"))
    wire.turn()
    wire.advance(0.1)
    wire.server.send(b"$-1\r\n" * 41 + b":0\r\n$-1\r\n")
    client_ms, uplink_ms = took(wire, "string")
    assert sorted(client_ms, key=str) == [100] + [200] * 41 and sorted(uplink_ms, key=str) == [100] * 42
    assert took(wire, "list") == ([100], [100])
    figures = wire.metrics.flow.figures
    assert counted(figures.client_ns) == {"string": 41 * S // 5 + S // 10, "list": S // 10}
    assert counted(figures.uplink_ns) == {"string": 42 * S // 10, "list": S // 10}
