"""Two proxies in a chain: clients connect to the near one, whose uplink is the far one, next to the Redis server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.end_to_end.harness import Certificates, Load, Proxy, RedisServer, wait_until
from tests.end_to_end.test_switchover import unfence

pytestmark = pytest.mark.one_twin


@pytest.fixture
def far(server: RedisServer, certificates: Certificates) -> Iterator[Proxy]:
    """The far proxy: TLS, a password, subscribers allowed."""
    with Proxy(server.uplink, tls=certificates, listen_more={"pass": "between"}, pubsub=True) as running:
        yield running


@pytest.fixture
def near(far: Proxy) -> Iterator[Proxy]:
    patient = {**far.as_uplink, "wait_limit_ms": 60000}
    with Proxy(patient, pubsub=True, read_time_limit_ms=60000) as running:
        yield running


class Call(threading.Thread):
    """One call of a client in the background.

    @ivar result: what it has returned, or the exception.
    """

    def __init__(self, call: Any, *args: Any, **options: Any) -> None:
        super().__init__(daemon=True)
        self.result: Any = None
        self._call = lambda: call(*args, **options)
        self.start()

    def run(self) -> None:
        try:
            self.result = self._call()
        except Exception as error:
            self.result = error

    def get(self) -> Any:
        self.join(10)
        assert not self.is_alive(), "it still waits"
        return self.result


def blocked(server: RedisServer, count: int) -> None:
    """Wait until this many clients are blocked at the server."""
    wait_until(lambda: server.client().info("clients")["blocked_clients"] == count, f"{count} are blocked")


def held_still(load: Load) -> bool:
    """Whether none of the clients gets a reply for a while."""
    before = [client.done for client in load.clients]
    time.sleep(0.4)
    return [client.done for client in load.clients] == before


def copied(server: RedisServer, other: RedisServer) -> None:
    wait_until(lambda: other.caught_up_with(server), "the replica has caught up")
    other.promote()


@pytest.mark.parametrize("protocol", [2, 3])
def test_everything_passes_two_proxies(near: Proxy, server: RedisServer, protocol: int) -> None:
    client = near.client(protocol=protocol, socket_timeout=20)
    assert client.ping() and client.echo("a") == "a"
    big = "x" * 1_000_000
    assert client.set("big", big) and client.get("big") == big
    there = near.client(protocol=protocol, db=5)
    there.set("in", "five")
    assert server.client(db=5).get("in") == "five" and client.get("in") is None
    with pytest.raises(redis.ResponseError, match="DB index is out of range"):
        client.execute_command("SELECT", 99)
    with client.pipeline(transaction=True) as pipe:
        pipe.hset("h", mapping={"a": "1"})
        pipe.hgetall("h")
        assert pipe.execute() == [1, {"a": "1"}]
    with client.pipeline() as pipe:
        pipe.watch("w")
        pipe.multi()
        server.client().set("w", "theirs")
        pipe.set("w", "mine")
        with pytest.raises(redis.WatchError):
            pipe.execute()
    script = client.register_script("return redis.call('INCR', KEYS[1])")
    assert script(keys=["n"]) == 1 and client.evalsha(script.sha, 1, "n") == 2
    assert client.script_load("return 5") and client.command_count() == server.client().command_count()
    assert client.wait(0, 10) == 0 and client.info("server")["run_id"] == server.client().info("server")["run_id"]
    client.mset({f"key:{number}": number for number in range(300)})
    assert len(list(client.scan_iter("key:*", count=50))) == 300
    channel = near.client(protocol=protocol).pubsub()
    channel.subscribe("news")
    assert channel.get_message(timeout=5)
    client.publish("news", "hello")
    assert (channel.get_message(timeout=5) or {})["data"] == "hello"
    assert near.info()["clients"]["closed"] == {}


def test_blocked_clients_are_fed_unblocked_and_time_out_through_two_proxies(near: Proxy, server: RedisServer) -> None:
    client, fed, ended = near.client(), near.client(), near.client()
    waiting = Call(fed.blpop, "queue", 0)
    identity = ended.client_id()
    assert client.blpop("none", 0.1) is None
    for how in (False, True):
        unblocked = Call(ended.blpop, "other", 0)
        blocked(server, 2)
        assert client.client_unblock(identity, error=how)
        result = unblocked.get()
        assert "UNBLOCKED" in str(result) if how else result is None
    client.rpush("queue", "job")
    assert waiting.get() == ("queue", "job")


def test_clients_move_from_one_proxy_to_the_next_without_noticing(
    server: RedisServer, other: RedisServer, far: Proxy
) -> None:
    """The near proxy goes over to the far one, the far one to another server, then clients to the far one."""
    with Proxy(server.uplink) as near:
        waiting = [Call(near.client().blpop, f"queue:{number}", 0) for number in range(5)]
        with Load(near, 20) as load:
            near.write(uplink=far.as_uplink)
            assert near.do("reload")["dropped"] == []
            time.sleep(0.1)
            far.write(uplink=other.uplink)
            assert far.do("switchover")["report"]["clients_closed"] == {}
            time.sleep(0.1)
            near.do("reload")
            with Load(far, 5, first=20, password="between") as direct:
                time.sleep(0.2)
        load.check(other)
        direct.check(other)
        for number in range(5):
            far.client(password="between").rpush(f"queue:{number}", number)
        assert [call.get() for call in waiting] == [(f"queue:{number}", str(number)) for number in range(5)]
        assert near.info()["clients"]["closed"] == {} and far.info()["in_flight"] == 0


def test_proxy_and_server_change_at_once_while_paused(server: RedisServer, other: RedisServer) -> None:
    """The manual way: the near proxy is paused, the replica promoted, the far proxy is next to it already."""
    with Proxy(server.uplink) as near, Proxy(other.uplink) as far:
        other.follow(server)
        with Load(near, 20) as load:
            near.do("pause-and-wait")
            copied(server, other)
            near.write(uplink=far.as_uplink)
            near.do("reload")
            near.do("unpause")
            time.sleep(0.2)
        load.check(other)
        assert near.info()["clients"]["closed"] == {}


def test_a_pause_of_the_far_proxy_holds_the_near_ones_clients(
    server: RedisServer, other: RedisServer, far: Proxy, near: Proxy
) -> None:
    waiting = Call(near.client().blpop, "queue", 0)
    with Load(near, 10) as load:
        assert far.do("pause-and-wait")["dropped"] == []
        wait_until(lambda: held_still(load), "the last replies have arrived, and no more come")
        done = [client.done for client in load.clients]
        far.do("unpause")
        wait_until(lambda: all(now.done > then for now, then in zip(load.clients, done, strict=True)), "they go on")
        assert far.do("reload")["dropped"] == []
        assert near.do("pause-and-wait")["dropped"] == [] and near.do("unpause")
    load.check(server)
    server.client().rpush("queue", "job")
    assert waiting.get() == ("queue", "job")
    assert near.info()["clients"]["closed"] == {} and far.info()["clients"]["closed"] == {}


def test_a_pause_of_the_far_proxy_longer_than_pings_wait_drops_no_idle_client(server: RedisServer, far: Proxy) -> None:
    impatient = {"ping_interval_ms": 100, "ping_timeout_ms": 300, "connect_timeout_ms": 300, "wait_limit_ms": 60000}
    with Proxy({**far.as_uplink, **impatient}) as near:
        clients = [near.client() for _ in range(5)]
        assert all(client.set("a", 1) for client in clients)
        far.do("pause")
        wait_until(lambda: near.get("/readyz")[0] == 503, "the near proxy has noticed")
        held = [Call(client.get, "a") for client in clients]
        wait_until(lambda: near.get("/readyz")[0] == 503, "it still tries")
        far.do("unpause")
        assert [call.get() for call in held] == ["1"] * 5
        assert near.info()["clients"]["closed"] == {}


def test_the_far_proxy_may_be_restarted_while_clients_of_the_near_one_are_idle(far: Proxy, near: Proxy) -> None:
    clients = [near.client(db=number % 3) for number in range(10)]
    for number, client in enumerate(clients):
        client.set(f"own:{number}", number)
    assert far.stop() == 0
    held = [Call(client.get, f"own:{number}") for number, client in enumerate(clients)]
    far.restart()
    assert [call.get() for call in held] == [str(number) for number in range(10)]
    assert near.info()["clients"]["closed"] == {}


def test_cursors_of_the_far_proxy_pass_the_near_one(server: RedisServer, other: RedisServer) -> None:
    with Proxy(server.uplink) as far, Proxy(far.as_uplink) as near:
        client = near.client()
        client.mset({f"key:{number}": number for number in range(500)})
        first, _ = client.scan(0, count=100)
        far.write(uplink=other.uplink)
        far.do("switchover")
        assert len(set(client.scan_iter(count=50))) == 500
        second, _ = client.scan(0, count=100)
        near.do("reload")
        third, _ = client.scan(0, count=100)
        assert len({first, second, third}) == 3 and len(set(client.scan_iter(count=50))) == 500
        for stale in (first, second):
            with pytest.raises(redis.ResponseError, match="before the switch"):
                client.scan(stale)
        assert client.scan(third, count=1000)[0] == 0
        far.write(uplink=server.uplink)
        far.do("switchover")
        with pytest.raises(redis.ResponseError, match="before the switch"):
            client.scan(third)


def test_a_switchover_from_or_to_a_proxy_is_refused_with_the_reason(
    server: RedisServer, other: RedisServer, far: Proxy, near: Proxy
) -> None:
    near.write(uplink=other.uplink)
    status, answer = near.admin("switchover")
    assert status == 400 and "the old server is another redisproxy" in answer["error"], answer
    with Proxy(other.uplink) as third:
        third.write(uplink=far.as_uplink)
        status, answer = third.admin("switchover")
        assert status == 400 and "the new server is another redisproxy" in answer["error"], answer
        assert third.client().set("a", 1)
    assert near.client().set("a", 1) and [each.client().role()[0] for each in (server, other)] == ["master"] * 2


def test_a_fence_behind_a_proxy_is_told_and_lifted_only_at_that_one(server: RedisServer, far: Proxy) -> None:
    server.client().config_set("min-replicas-to-write", 1000000000)
    with Proxy(far.as_uplink) as near:
        wait_until(lambda: "is fenced" in near.info()["uplink"]["advice"], "the fence is told")
        done = unfence(near)
        assert done.returncode == 1 and "redisproxy does not forward 'config|set'" in done.stderr
        assert unfence(far).returncode == 0 and near.client().set("a", 1)
