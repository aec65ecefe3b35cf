"""C{redisproxy failover} with real sentinels and replicas: no acknowledged write is lost, and nobody dropped."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.end_to_end.harness import Proxy, RedisServer, free_port, wait_until
from tests.end_to_end.sentinels import NAME, Group, redis_server, running_group
from tests.end_to_end.test_sentinel import BusyClient, Idlers, by_port, uplink_port

pytestmark = pytest.mark.one_twin
BUDGET = {"pause_budget_ms": 5000}
"""On a machine with much else to do sentinels take their time."""


@pytest.fixture(scope="module")
def group() -> Iterator[Group]:
    with running_group(replicas=2, sentinels=3, quorum=2) as group:
        yield group


@pytest.fixture(scope="module")
def proxy(group: Group) -> Iterator[Proxy]:
    with Proxy(group.uplink, switchover=BUDGET) as proxy:
        yield proxy


class Bypass(threading.Thread):
    """Counts at a server itself for as long as that takes writes.

    @ivar count: the last value that was acknowledged. @ivar error: what ended it.
    """

    def __init__(self, server: RedisServer) -> None:
        super().__init__(daemon=True)
        self._client = server.client()
        self.count = 0
        self.error = ""

    def run(self) -> None:
        while not self.error:
            try:
                self.count = self._client.incr("bypass")
            except redis.RedisError as error:
                self.error = str(error)


def fail_over(proxy: Proxy) -> str:
    """Run the command once the sentinels have settled; what it prints."""
    command = [sys.executable, "-m", "redisproxy.cli", "failover", "-c", str(proxy.path)]
    ready: list[object] = []

    def settled() -> bool:
        ready.append(proxy.admin("failover", dry_run=1)[1].get("error"))
        return ready[-1] is None

    wait_until(settled, "a failover is possible", 60)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_is_lost_and_nobody_dropped(group: Group, proxy: Proxy) -> None:
    idlers, busy = Idlers(proxy, 20), [BusyClient(proxy, number) for number in range(10)]
    got: list[object] = []
    blocked = threading.Thread(target=lambda: got.append(proxy.client().blpop("queue", timeout=0)), daemon=True)
    for thread in (*busy, blocked):
        thread.start()
    wait_until(lambda: all(each.done for each in busy) and proxy.info()["in_flight"], "everybody is at it")
    for _ in range(2):
        old = by_port(group, uplink_port(proxy))
        bypass = Bypass(old)
        bypass.start()
        before = [each.done for each in busy]
        said = fail_over(proxy)
        new = by_port(group, uplink_port(proxy))
        assert f"switched from 127.0.0.1:{old.port} to 127.0.0.1:{new.port}" in said
        assert new is not old and new.client().role()[0] == "master"
        wait_until(
            lambda before=before: all(now.done > then or now.problem for now, then in zip(busy, before, strict=True)),
            "all go on",
        )
        wait_until(lambda old=old: old.client().role()[0] == "slave", "the old primary follows")
        assert old.client().config_get("min-replicas-to-write") == {"min-replicas-to-write": "0"}
        bypass.join(20)
        assert bypass.error.startswith(("NOREPLICAS", "You can't write against a read only replica"))
        wait_until(lambda old=old: old.client().info("replication")["master_link_status"] == "up", "it is in step")
        assert int(str(new.client().get("bypass"))) == bypass.count
        new.client().delete("bypass")
    for each in busy:
        each.finish()
    assert [each.problem for each in busy] == [""] * 10 and not any(each.steps_back for each in busy)
    assert [new.client().get(f"busy:{number}") for number in range(10)] == [str(each.count) for each in busy]
    idlers.check()
    proxy.client().rpush("queue", "job")
    blocked.join(10)
    assert got == [("queue", "job")] and proxy.info()["clients"]["closed"] == {}
    last = proxy.info()["switchover"]["last"]
    assert [each["result"] for each in last][:2] == ["done", "dry_run"] and last[0]["kind"] == "failover"


def test_another_proxy_follows(group: Group, proxy: Proxy) -> None:
    with Proxy(group.uplink) as other:
        busy = BusyClient(other, 77)
        busy.start()
        wait_until(lambda: busy.done, "it is at it")
        fail_over(proxy)
        wait_until(lambda: uplink_port(other) == uplink_port(proxy), "the other proxy has followed")
        before = busy.done
        wait_until(lambda: busy.done > before or busy.problem, "it goes on")
        busy.finish()
        # What it had in flight may be refused; what was acknowledged is there.
        assert not busy.problem or "NOREPLICAS" in busy.problem or "READONLY" in busy.problem
        kept = by_port(group, uplink_port(proxy)).client().get("busy:77")
        assert int(kept or 0) >= busy.count and not busy.steps_back


def test_all_proxies_of_a_fleet_hold_their_clients_and_go_together(group: Group, proxy: Proxy) -> None:
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    fleet = {"peers": addresses, "secret": "of the fleet behind sentinels", "lease_ms": 5000}
    sections = [{**fleet, "listen": {"addr": each}} for each in addresses]
    with (
        Proxy(group.uplink, switchover=BUDGET, fleet=sections[0]) as one,
        Proxy(group.uplink, switchover=BUDGET, fleet=sections[1]) as other,
    ):
        busy = [BusyClient(proxy, 200 + at) for at, proxy in enumerate((one, other) * 5)]
        for each in busy:
            each.start()
        wait_until(lambda: all(each.done for each in busy), "everybody is at it")
        for leader in (one, other):
            said = fail_over(leader)
            assert all(address in said for address in addresses), said
            assert uplink_port(one) == uplink_port(other)
        for each in busy:
            each.finish()
        kept = by_port(group, uplink_port(one)).client()
        assert [each.problem for each in busy] == [""] * 10 and not any(each.steps_back for each in busy)
        assert [kept.get(f"busy:{200 + at}") for at in range(10)] == [str(each.count) for each in busy]
        last = one.info()["switchover"]["last"][0]
        assert last["kind"] == "failover" and last["led_by"] == addresses[1]
        assert all(each.info()["clients"]["closed"] == {} for each in (one, other))
        wait_until(lambda: uplink_port(proxy) == uplink_port(one), "a proxy that is none of them has followed")


def test_a_replica_that_does_not_follow_has_it_refused(group: Group, proxy: Proxy) -> None:
    used = by_port(group, uplink_port(proxy))
    apart = group.other_than(used.port)[0]
    busy = BusyClient(proxy, 55)
    busy.start()
    wait_until(lambda: busy.done, "it is at it")
    wait_until(lambda: proxy.admin("failover", dry_run=1)[1].get("error") is None, "a failover is possible", 60)
    apart.client().replicaof("NO", "ONE")
    status, answer = proxy.admin("failover")
    assert status == 400 and f"the replica 127.0.0.1:{apart.port} is not in step" in answer["error"]
    apart.client().replicaof("127.0.0.1", used.port)
    busy.finish()
    assert not busy.problem and uplink_port(proxy) == used.port
    assert used.client().config_get("min-replicas-to-write") == {"min-replicas-to-write": "0"}


def test_the_sentinels_watch_the_new_server_of_a_switchover(group: Group, proxy: Proxy) -> None:
    """The last one here: the sentinels watch another server afterwards."""
    busy = BusyClient(proxy, 33)
    busy.start()
    wait_until(lambda: busy.done, "it is at it")
    wait_until(lambda: proxy.admin("failover", dry_run=1)[1].get("error") is None, "the sentinels have settled", 60)
    with redis_server() as new:
        proxy.write(uplink=new.uplink, switchover={**BUDGET, "sentinel_monitor": True})
        report = proxy.do("switchover")["report"]
        assert report["result"] == "done" and "the sentinels watch" in report["warnings"][-1]
        for each in group.sentinels:
            told: Any = each.client().sentinel_master(NAME)
            assert (told["port"], told["quorum"], told["down-after-milliseconds"]) == (new.port, 2, 500)
            wait_until(lambda each=each: each.client().sentinel_master(NAME)["flags"] == "master", "it is up", 30)
        busy.finish()
        assert not busy.problem and not busy.steps_back
        assert new.client().role()[0] == "master" and new.client().get("busy:33") == str(busy.count)
        proxy.write(uplink=group.uplink, switchover=BUDGET)
        status, answer = proxy.admin("switchover", back=1)
        assert status == 409 and "Name it by its IP address" in answer["error"]
        assert proxy.do("reload")["ok"] and uplink_port(proxy) == new.port
