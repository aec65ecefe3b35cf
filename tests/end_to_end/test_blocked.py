"""A thousand clients blocked in BLPOP: what they cost a switch, and what they hold."""

from __future__ import annotations

import selectors
import socket
import statistics
from collections.abc import Iterator

import pytest

from redisproxy.resp import encode_command
from tests.end_to_end.harness import Proxy, RedisServer, wait_until
from tests.end_to_end.test_switchover import switch

COUNT = 1000
ROUNDS = 3
ALLOWED_MS = 25
"""How much a thousand blocked clients may add; when they were moved in the pause it was 150 to 400 ms."""


class Poppers:
    """Clients that wait for one element each, of a list of their own."""

    def __init__(self, proxy: Proxy, count: int) -> None:
        self.sockets = [proxy.connect() for _ in range(count)]
        for number, sock in enumerate(self.sockets):
            sock.sendall(encode_command("BLPOP", f"queue:{number}", "0"))

    def fed_once(self, server: RedisServer) -> None:
        """Push one element for each client, and check that each gets its own and nothing else."""
        pipe = server.client().pipeline(transaction=False)
        for number in range(len(self.sockets)):
            pipe.rpush(f"queue:{number}", f"element-{number}", "left over")
        pipe.execute()
        for number, sock in enumerate(self.sockets):
            key, element = f"queue:{number}", f"element-{number}"
            expected = encode_command(key, element)
            got = b""
            while len(got) < len(expected) and (data := sock.recv(1000)):
                got += data
            assert got == expected
        for number in range(len(self.sockets)):
            pipe.lrange(f"queue:{number}", 0, -1)
        assert pipe.execute() == [["left over"]] * len(self.sockets)
        assert not _readable(self.sockets)

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


def _readable(sockets: list[socket.socket]) -> list[socket.socket]:
    with selectors.DefaultSelector() as selector:
        for sock in sockets:
            selector.register(sock, selectors.EVENT_READ)
        return [key.fileobj for key, _ in selector.select(0.05)]  # type: ignore[misc]


@pytest.fixture
def poppers(proxy: Proxy) -> Iterator[list[Poppers]]:
    """The blocked clients that a test makes; they are closed in the end."""
    made: list[Poppers] = []
    yield made
    for each in made:
        each.close()


def blocked(server: RedisServer, count: int = COUNT) -> None:
    wait_until(lambda: server.client().info("clients")["blocked_clients"] == count, f"{count} are blocked")


def pauses(proxy: Proxy, here: RedisServer, there: RedisServer, count: int) -> dict[str, float]:
    """The median pause of some reloads and switchovers with `count` blocked clients; in milliseconds."""
    found: dict[str, list[float]] = {"reload": [], "switchover": []}
    for _ in range(ROUNDS):
        blocked(here, count)
        found["reload"].append(proxy.do("reload")["pause_ms"])
        blocked(here, count)
        here, there = there, here
        found["switchover"].append(switch(proxy, here)["pause_ms"])
    return {name: statistics.median(values) for name, values in found.items()}


def test_a_thousand_blocked_clients_do_not_lengthen_a_switch(
    server: RedisServer, other: RedisServer, proxy: Proxy, poppers: list[Poppers]
) -> None:
    without = pauses(proxy, server, other, 0)
    poppers.append(Poppers(proxy, COUNT))
    here, there = (other, server) if ROUNDS % 2 else (server, other)
    with_them = pauses(proxy, here, there, COUNT)
    for name, median_ms in with_them.items():
        assert median_ms <= 3 * without[name] + ALLOWED_MS, (without, with_them)
    poppers[0].fed_once(server)
    info = proxy.info()
    assert info["clients"]["closed"] == {} and info["aside"] == 0 and info["in_flight"] == 0


def test_a_blocked_client_that_goes_away_frees_its_connection_at_once(
    server: RedisServer, proxy: Proxy, poppers: list[Poppers]
) -> None:
    poppers.append(Poppers(proxy, 50))
    blocked(server, 50)
    assert proxy.info()["uplink"]["pinned"] == 50
    for sock in poppers[0].sockets[:30]:
        sock.close()
    wait_until(lambda: proxy.info()["uplink"]["pinned"] == 20, "their connections are closed", 2)
    blocked(server, 20)
    assert server.client().rpush("queue:0", "nobody takes it") == 1


def test_the_limit_of_open_files_is_raised_and_a_hard_one_that_is_too_low_is_told(
    server: RedisServer, poppers: list[Poppers]
) -> None:
    low = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 600))"
    with Proxy(server.uplink, plugin=low) as proxy:
        poppers.append(Poppers(proxy, 200))
        blocked(server, 200)
        assert proxy.log.count("only 600 files may be open") == 1


def test_more_blocked_clients_than_connections_are_told_why(server: RedisServer, poppers: list[Poppers]) -> None:
    with Proxy({**server.uplink, "max_pinned": 5, "wait_limit_ms": 500}) as proxy:
        poppers.append(Poppers(proxy, 8))
        blocked(server, 5)
        for sock in poppers[0].sockets[5:]:
            assert b"all 5 connections for single clients are taken (uplink.max_pinned)" in sock.recv(1000)
        info = proxy.info()["uplink"]
        assert (info["pinned"], info["max_pinned"]) == (5, 5) and proxy.client().ping()
        assert proxy.log.count("all 5 connections") == 1
        poppers[0].sockets[0].close()
        poppers[0].sockets[7].sendall(encode_command("BLPOP", "queue:7", "0"))
        blocked(server, 5)
        server.client().rpush("queue:7", "served")
        assert b"served" in poppers[0].sockets[7].recv(1000)
