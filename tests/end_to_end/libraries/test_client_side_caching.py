"""Client-side caches through many switches: none ever answers with a value that is known to be overwritten.

As with Redis itself, an invalidation has reached a client once a reply of its connection has come that was sent after
the write was acknowledged. So a reader notes what has been acknowledged, has a PING answered, and reads.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
import redis
from redis.cache import CacheConfig

from tests.end_to_end.harness import Proxy, RedisServer, redis_8, redis_program, valkey_9, wait_until
from tests.end_to_end.libraries.switching import SWITCHES, Rig, ThreadWorker, assert_no_problem

pytestmark = pytest.mark.one_twin


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """Redis 8: redis-py caches nothing with servers before 7.4."""
    with RedisServer(program=redis_8()) as running:
        yield running


@pytest.fixture
def other() -> Iterator[RedisServer]:
    with RedisServer(program=redis_8()) as running:
        yield running


KEYS = [f"key:{number}" for number in range(5)]


class Acknowledged:
    """The highest number whose write to each key was acknowledged."""

    def __init__(self) -> None:
        self.numbers = dict.fromkeys(KEYS, 0)

    def check(self, value: Any, key: str, least: dict[str, int]) -> None:
        assert int(value or 0) >= least[key], f"{key} is {value}, and {least[key]} had been written before"


def writes(client: redis.Redis, acknowledged: Acknowledged, keys: list[str]) -> Iterator[None]:
    for number in count(1):
        for key in keys:
            assert client.set(key, number)
            acknowledged.numbers[key] = number
        yield


def reads(client: redis.Redis, acknowledged: Acknowledged, tally: dict[str, int]) -> Iterator[None]:
    """Read through redis-py's own cache."""
    while True:
        least = dict(acknowledged.numbers)
        client.ping()
        for key in KEYS * 3:
            acknowledged.check(client.get(key), key, least)
            tally["reads"] += 1
        yield


class Cache:
    """A cache that `reader` fills and that `listener`, the same connection or another, empties."""

    def __init__(self, port: int, *tracking: str) -> None:
        self.values: dict[str, Any] = {}
        self.flushed = 0
        self.listener = self._connect(port)
        self.listener._parser.set_invalidation_push_handler(self._heard)
        assert self.ask(self.listener, "CLIENT", "TRACKING", "ON", *tracking) == b"OK"

    @staticmethod
    def _connect(port: int) -> Any:
        connection = redis.Connection(port=port, protocol=3, socket_timeout=30)
        connection.connect()
        return connection

    def other(self, port: int) -> Any:
        """One more connection, without tracking."""
        return self._connect(port)

    def _heard(self, push: list[Any]) -> None:
        if push[1] is None:
            self.values.clear()
            self.flushed += 1
        for key in push[1] or ():
            self.values.pop(key.decode(), None)

    @staticmethod
    def ask(connection: Any, *command: str) -> Any:
        connection.send_command(*command)
        return connection.read_response()


def opted_in(cache: Cache, acknowledged: Acknowledged) -> Iterator[None]:
    """CLIENT CACHING YES, MULTI, PTTL, GET, EXEC in one pipeline, as rueidis does it."""
    listener = cache.listener
    while True:
        least = dict(acknowledged.numbers)
        cache.ask(listener, "PING")
        for key in KEYS:
            if key not in cache.values:
                asked = [("CLIENT", "CACHING", "YES"), ("MULTI",), ("PTTL", key), ("GET", key), ("EXEC",)]
                listener.send_packed_command(listener.pack_commands(asked))
                replies = [listener.read_response() for _ in asked]
                cache.values[key] = replies[-1][1]
            acknowledged.check(cache.values[key], key, least)
        yield


def listened(cache: Cache, acknowledged: Acknowledged, reader: Any) -> Iterator[None]:
    """BCAST: one connection hears of what another one has read."""
    while True:
        least = dict(acknowledged.numbers)
        cache.ask(cache.listener, "PING")
        for key in KEYS:
            if key not in cache.values:
                cache.values[key] = cache.ask(reader, "GET", key)
            acknowledged.check(cache.values[key], key, least)
        yield


def cached(proxy: Proxy) -> redis.Redis:
    return proxy.client(protocol=3, cache_config=CacheConfig())


def test_redis_py_through_switchovers(rig: Rig) -> None:
    acknowledged, tally = Acknowledged(), {"reads": 0}
    readers = [ThreadWorker(reads(cached(rig.proxy), acknowledged, tally)) for _ in range(2)]
    writers = [ThreadWorker(writes(rig.proxy.client(), acknowledged, KEYS[at::2])) for at in range(2)]
    with rig.switching_under(*readers, *writers):
        pass
    asked = sum(
        server.client().info("commandstats").get("cmdstat_get", {"calls": 0})["calls"] for server in rig.servers
    )
    assert 0 < asked < tally["reads"], "the cache is of no use"


def test_redis_py_through_reloads(server: RedisServer, proxy: Proxy) -> None:
    acknowledged, tally = Acknowledged(), {"reads": 0}
    workers = [ThreadWorker(reads(cached(proxy), acknowledged, tally)) for _ in range(2)]
    workers += [ThreadWorker(writes(proxy.client(), acknowledged, KEYS))]
    for worker in workers:
        worker.start()
    for _ in range(SWITCHES):
        before = [worker.done for worker in workers]
        wait_until(
            lambda b=before: all(w.done > n + 3 or w.problem for w, n in zip(workers, b, strict=True)), "they go on"
        )
        proxy.do("reload")
    for worker in workers:
        worker.stop()
    assert_no_problem(workers)
    assert proxy.info()["clients"]["closed"] == {}


def test_opted_in_transactions_and_broadcasts_through_switchovers(rig: Rig) -> None:
    acknowledged = Acknowledged()
    port = rig.proxy.port
    optin, broadcast = Cache(port, "OPTIN"), Cache(port, "BCAST", "PREFIX", "key:")
    workers = [
        ThreadWorker(opted_in(optin, acknowledged)),
        ThreadWorker(listened(broadcast, acknowledged, broadcast.other(port))),
        ThreadWorker(writes(rig.proxy.client(), acknowledged, KEYS)),
    ]
    with rig.switching_under(*workers):
        assert optin.flushed == broadcast.flushed == SWITCHES, "one message for each switch"


def test_idle_values_are_forgotten_in_a_reload_to_another_server(
    server: RedisServer, other: RedisServer, proxy: Proxy
) -> None:
    server.client().set("a", "old")
    other.client().set("a", "new")
    cache = Cache(proxy.port)
    cache.values["a"] = cache.ask(cache.listener, "GET", "a")
    proxy.write(uplink=other.uplink)
    proxy.do("reload")
    cache.listener.read_response(push_request=True)
    assert cache.values == {} and cache.flushed == 1
    cache.values["a"] = cache.ask(cache.listener, "GET", "a")
    assert cache.values["a"] == b"new"
    other.client().set("a", "newer")
    cache.listener.read_response(push_request=True)
    assert cache.values == {} and cache.flushed == 1


def test_a_lost_connection_empties_the_cache_and_no_more(server: RedisServer, proxy: Proxy) -> None:
    cache = Cache(proxy.port, "OPTOUT", "NOLOOP")
    cache.values["a"] = cache.ask(cache.listener, "GET", "a")
    tracked = [each["id"] for each in server.client().client_list() if "t" in each["flags"]]
    assert len(tracked) == 1 and server.client().client_kill_filter(_id=tracked[0])
    cache.listener.read_response(push_request=True)
    assert cache.values == {} and cache.flushed == 1
    cache.ask(cache.listener, "SET", "a", "mine")
    cache.values["a"] = cache.ask(cache.listener, "GET", "a")
    server.client().set("a", "x")
    cache.listener.read_response(push_request=True)
    assert cache.values == {} and cache.flushed == 1


def test_a_blocked_client_is_tracked_on_through_a_switch(rig: Rig) -> None:
    cache = Cache(rig.proxy.port)
    cache.values["a"] = cache.ask(cache.listener, "GET", "a")
    cache.listener.send_command("BLPOP", "list", "30")
    wait_until(lambda: rig.server.info("clients")["blocked_clients"] == 1, "it is blocked")
    rig.switch()
    wait_until(lambda: rig.server.info("clients")["blocked_clients"] == 1, "it is blocked again")
    rig.proxy.client().rpush("list", "x")
    assert cache.listener.read_response() == [b"list", b"x"]
    assert cache.flushed == 1
    cache.values["a"] = cache.ask(cache.listener, "GET", "a")
    rig.proxy.client().set("a", 1)
    cache.listener.read_response(push_request=True)
    assert cache.values == {}
    assert rig.proxy.info()["clients"]["closed"] == {}


def test_nobody_else_gets_a_connection_that_is_tracked(server: RedisServer, proxy: Proxy) -> None:
    for end in (["CLIENT", "TRACKING", "OFF"], ["RESET"], []):
        cache = Cache(proxy.port, "BCAST")
        if end:
            cache.ask(cache.listener, *end)
        else:
            cache.listener.disconnect()
        tracked = lambda: [each for each in server.client().client_list() if "t" in each["flags"]]  # noqa: E731
        wait_until(lambda tracked=tracked: not tracked(), "no connection is tracked")


def test_behind_another_proxy_each_move_of_either_is_told(server: RedisServer) -> None:
    with Proxy(server.uplink) as far, Proxy(far.as_uplink) as near:
        cache = Cache(near.port)
        for moves, proxy in enumerate((far, near, far), 1):
            cache.values["a"] = cache.ask(cache.listener, "GET", "a")
            proxy.do("reload")
            cache.listener.read_response(push_request=True)
            assert cache.values == {} and cache.flushed == moves
        cache.values["a"] = cache.ask(cache.listener, "GET", "a")
        server.client().set("a", 1)
        cache.listener.read_response(push_request=True)
        assert cache.values == {} and cache.flushed == 3


PROGRAMS = [redis_program, redis_8, valkey_9]


@pytest.mark.parametrize("program", PROGRAMS, ids=["Redis 7.0", "Redis 8", "Valkey 9"])
def test_like_redis(program: Any) -> None:
    """The same commands to the server and through the proxy have the same answers."""
    lines = [
        "CLIENT TRACKING ON", "CLIENT TRACKINGINFO", "CLIENT GETREDIR", "CLIENT CACHING YES", "CLIENT TRACKING OFF",
        "HELLO 3", "CLIENT TRACKING", "CLIENT TRACKING maybe", "CLIENT TRACKING ON PREFIX a", "CLIENT CACHING",
        "CLIENT TRACKING ON BCAST PREFIX aa PREFIX a", "CLIENT TRACKING ON OPTIN OPTOUT",
        "CLIENT TRACKING ON BCAST OPTIN", "CLIENT TRACKING ON REDIRECT x", "CLIENT TRACKING ON foo",
        "CLIENT CACHING YES", "CLIENT TRACKINGINFO", "CLIENT GETREDIR", "CLIENT TRACKING ON OPTIN NOLOOP",
        "CLIENT TRACKINGINFO", "CLIENT GETREDIR", "CLIENT TRACKING ON OPTOUT", "CLIENT TRACKING ON BCAST",
        "CLIENT CACHING NO", "CLIENT CACHING YES", "GET x", "SET x 1", "CLIENT CACHING maybe", "CLIENT TRACKING ON",
        "GET x", "SET x 2", "CLIENT TRACKINGINFO", "CLIENT TRACKING OFF", "CLIENT TRACKING OFF FOO",
        "CLIENT TRACKING ON BCAST PREFIX a PREFIX b", "CLIENT TRACKING ON BCAST PREFIX c", "CLIENT TRACKINGINFO",
        "CLIENT TRACKING ON BCAST PREFIX cc", "SET aa 1", "CLIENT TRACKING ON", "CLIENT TRACKING OFF",
        "CLIENT TRACKING ON OPTIN", "CLIENT CACHING YES", "MULTI", "GET m", "EXEC", "SET m 1", "MULTI",
        "CLIENT CACHING YES", "GET m", "EXEC", "SET m 2", "CLIENT CACHING YES", "CLIENT GETNAME", "GET m", "SET m 3",
        "CLIENT CACHING YES", "ECHO x", "GET m", "SET m 4", "CLIENT CACHING YES", "CLIENT CACHING YES", "GET m",
        "SET m 5", "CLIENT CACHING YES", "SELECT 1", "GET m", "SET m 1", "RESET", "CLIENT TRACKINGINFO",
        "CLIENT TRACKING ON OPTOUT", "HELLO 3", "CLIENT CACHING NO", "GET m", "CLIENT CACHING NO", "HELLO 3", "GET m",
        "CLIENT CACHING YES", "SET m 1", "FLUSHALL", "CLIENT TRACKING OFF",
    ]  # fmt: skip
    with RedisServer(program=program()) as server, Proxy(server.uplink) as proxy:
        direct = transcript(server.port, lines)
        server.client().flushall()
        assert transcript(proxy.port, lines) == direct


def transcript(port: int, lines: list[str]) -> list[bytes]:
    """What one connection sends, from one reply to HELLO, which is nobody's business here, to the next."""
    answers = [b""]
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        for line in lines:
            sock.sendall(line.encode() + b"\r\n")
            answer = sock.recv(65536)
            while select.select([sock], [], [], 0.02)[0]:
                answer += sock.recv(65536)
            if line.startswith("HELLO"):
                answers.append(b"")
            else:
                answers[-1] += line.encode() + b" -> " + answer
    return answers
