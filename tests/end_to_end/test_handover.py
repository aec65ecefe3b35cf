"""Real clients, handed from one process of the proxy to another, before a real server: they do not notice."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.end_to_end.harness import Proxy, RedisServer, redis_6, redis_8, redis_program, valkey_9, wait_until

pytestmark = pytest.mark.one_twin

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = f"sys.path.insert(0, {str(ROOT)!r})\nfrom tests.end_to_end import handing\nhanding.install()"
SERVERS = {"redis-7": redis_program, "redis-6": redis_6, "redis-8": redis_8, "valkey-9": valkey_9}


class Pair:
    """Two processes of the proxy, and the one that clients are on now."""

    def __init__(self, server: RedisServer, pure: bool) -> None:
        environment = {"REDISPROXY_PURE": "1"} if pure else None
        more: dict[str, Any] = {"pubsub": True, "allow_commands": ["MONITOR"]}
        self.processes = [Proxy(server.uplink, plugin=PLUGIN, environment=environment, **more) for _ in range(2)]
        self.at = 0

    @property
    def old(self) -> Proxy:
        return self.processes[self.at]

    @property
    def new(self) -> Proxy:
        return self.processes[1 - self.at]

    def hand_over(self) -> str:
        """Hand everybody over; why clients stay that do."""
        with socket.socket(socket.AF_UNIX) as words:
            words.settimeout(60)
            words.connect(str(self.old.folder / "words"))
            words.sendall(f"{self.new.folder}\n".encode())
            answer = words.recv(65536).decode().strip()
        self.at = 1 - self.at
        return answer

    def client(self, **options: Any) -> redis.Redis:
        """A client with one connection, which may not be made again."""
        once: dict[str, Any] = {"retry": Retry(NoBackoff(), 0), "single_connection_client": True}
        return redis.Redis(**{"port": self.old.port, "decode_responses": True, "protocol": 2, **once, **options})

    def stop(self) -> None:
        for process in self.processes:
            process.stop()


@pytest.fixture(params=SERVERS)
def any_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with RedisServer(program=SERVERS[request.param]()) as running:
        yield running


@pytest.fixture(params=["native", "pure"])
def pure(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "pure")


@pytest.fixture
def pair(server: RedisServer, pure: bool) -> Iterator[Pair]:
    made = Pair(server, pure)
    yield made
    made.stop()


class Worker(threading.Thread):
    """Does something again and again until told to stop.

    @ivar done: how often. @ivar problem: what went wrong.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._ended = threading.Event()
        self.done = 0
        self.problem = ""
        self.start()

    def run(self) -> None:
        try:
            while not self._ended.is_set():
                self._work()
                self.done += 1
        except Exception as error:
            self.problem = repr(error)

    def end(self) -> None:
        self._ended.set()
        self.join(20)
        assert not self.problem and self.done, self.problem


def test_everybody_goes_on_in_the_other_process_when_the_old_one_has_ended(any_server: RedisServer) -> None:
    pair = Pair(any_server, pure=False)
    try:
        _go_through(any_server, pair)
    finally:
        pair.stop()


def _go_through(server: RedisServer, pair: Pair) -> None:
    direct = server.client()
    idle, named = pair.client(), pair.client(protocol=3, client_name="named", db=3)
    named.set("k", "in 3")
    multi = pair.client()
    multi.execute_command("MULTI")
    multi.execute_command("SET", "m", "1")
    watching = [pair.client() for _ in range(3)]
    for key, each in zip(("before", "after", "never"), watching, strict=True):
        each.execute_command("WATCH", key)
    direct.set("before", "changed")
    blocked, popped = pair.client(), []
    waiter = threading.Thread(target=lambda: popped.append(blocked.blpop(["q"], 30)), daemon=True)
    waiter.start()
    monitor = pair.client().monitor()
    monitor.__enter__()
    ids = [each.client_id() for each in (idle, named, *watching)]
    wait_until(lambda: direct.info("clients")["blocked_clients"] == 1, "BLPOP blocks")
    list_before = {each["id"]: each for each in idle.client_list()}
    assert pair.hand_over() == "0"
    direct.set("after", "changed")
    pair.processes[0].process.kill()
    pair.processes[0].process.wait()
    list_after = {each["id"]: each for each in idle.client_list()}
    assert list_after.keys() == list_before.keys()
    shown = ("addr", "laddr", "name", "db", "user", "resp", "lib-name", "lib-ver", "multi", "flags")
    assert [[each[what] for what in shown] for each in list_after.values()] == [
        [each[what] for what in shown] for each in list_before.values()
    ]
    assert [each.client_id() for each in (idle, named, *watching)] == ids
    assert named.get("k") == "in 3" and named.client_getname() == "named"
    assert multi.execute_command("EXEC") == ["OK"]
    for each in watching:
        each.execute_command("MULTI")
    assert [each.execute_command("EXEC") for each in watching] == [None, None, []]
    direct.rpush("q", "element")
    waiter.join(10)
    assert popped == [("q", "element")]
    direct.set("seen", "1")
    assert any(monitor.next_command()["command"] == "SET seen 1" for _ in range(200))
    assert pair.client().client_id() > max(map(int, list_after))


@pytest.mark.parametrize("protocol", [2, 3])
def test_no_message_is_lost_or_doubled_while_others_publish(any_server: RedisServer, protocol: int) -> None:
    pair = Pair(any_server, pure=False)
    try:
        _listen_through(any_server, pair, protocol)
    finally:
        pair.stop()


def _listen_through(server: RedisServer, pair: Pair, protocol: int) -> None:
    subscribers = [pair.client(protocol=protocol).pubsub(ignore_subscribe_messages=True) for _ in range(4)]
    got: list[list[str]] = [[] for _ in subscribers]
    for at, each in enumerate(subscribers):
        each.psubscribe("c*") if at % 2 else each.subscribe("c", "d")

    def listen(at: int) -> Callable[[], None]:
        def once() -> None:
            message = subscribers[at].get_message(timeout=0.2)
            if message is not None:
                got[at].append(message["data"])

        return once

    listeners = [Worker(listen(at)) for at in range(len(subscribers))]
    time.sleep(0.5)
    publisher, count = server.client(), 0

    def publish() -> None:
        nonlocal count
        publisher.publish("c", str(count))
        count += 1

    publishing = Worker(publish)
    for _ in range(6):
        time.sleep(0.1)
        assert pair.hand_over() == "0"
    time.sleep(0.1)
    publishing.end()
    wait_until(lambda: all(len(each) >= count for each in got), "every message has come", 10)
    for each in listeners:
        each.end()
    assert count > 100
    assert got == [[str(at) for at in range(count)]] * len(subscribers)
    assert not server.client().pubsub_channels() or set(server.client().pubsub_channels()) <= {"c", "d"}


def test_counters_and_optimistic_transactions_are_exact_while_clients_go_to_and_fro(
    server: RedisServer, pair: Pair
) -> None:
    direct = server.client()
    direct.mset({"counter": 0, "watched": 0})
    committed = [0] * 4

    def count(client: redis.Redis, last: list[int]) -> Callable[[], None]:
        def once() -> None:
            value = client.incr(f"own:{id(client)}")
            assert value == last[0] + 1, "each reply is that of its own command"
            last[0] = value

        return once

    def commit(client: redis.Redis, at: int) -> Callable[[], None]:
        def once() -> None:
            client.execute_command("WATCH", "watched")
            value = int(client.get("watched") or 0)
            client.execute_command("MULTI")
            client.execute_command("SET", "watched", value + 1)
            committed[at] += client.execute_command("EXEC") is not None

        return once

    def pipeline(client: redis.Redis) -> Callable[[], None]:
        def once() -> None:
            piped = client.pipeline(transaction=False)
            for at in range(50):
                piped.echo(str(at))
            assert piped.execute() == [str(at) for at in range(50)]

        return once

    def block(client: redis.Redis) -> Callable[[], None]:
        def once() -> None:
            assert client.blpop(["empty"], 0.05) is None

        return once

    def large(client: redis.Redis) -> Callable[[], None]:
        value = os.urandom(700_000).hex()

        def once() -> None:
            assert client.set("large", value)
            assert client.get("large") == value

        return once

    workers = [Worker(count(pair.client(), [0])) for _ in range(3)]
    workers += [Worker(commit(pair.client(protocol=2 + at % 2), at)) for at in range(4)]
    workers += [Worker(pipeline(pair.client())), Worker(block(pair.client())), Worker(large(pair.client()))]
    for _ in range(12):
        time.sleep(0.15)
        assert pair.hand_over() == "0"
    for worker in workers:
        worker.end()
    assert sum(committed) > 10
    assert int(direct.get("watched") or 0) == sum(committed), "no write was lost between two connections"
