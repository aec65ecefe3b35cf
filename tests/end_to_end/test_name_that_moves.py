"""Failovers that somebody else makes, by what a name points to, with real servers and a name server of the test's own.

Both servers have the same port, at two addresses of this machine, as those behind a managed service's name.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from redisproxy.net.resolving import TRIES_S
from tests.end_to_end.harness import Proxy, RedisServer, wait_until
from tests.end_to_end.name_server import NameServer

pytestmark = pytest.mark.one_twin
FIRST, SECOND = "127.0.0.1", "127.0.0.2"


class Pair:
    """Two servers, of which the first one is the primary, and the name that points to it."""

    def __init__(self) -> None:
        self.names = NameServer(redis=[FIRST])
        self.first = RedisServer()
        self.port = self.first.port
        self.second = RedisServer("--replica-announce-ip", SECOND, port=self.port, host=SECOND)
        self.second.client().replicaof(FIRST, self.port)
        wait_until(
            lambda: self.second.client().info("replication")["master_link_status"] == "up", "the replica follows"
        )

    @property
    def uplink(self) -> dict[str, Any]:
        return {"addr": f"redis.test:{self.port}", "nameserver": f"127.0.0.1:{self.names.port}"}

    def exchange(self) -> None:
        """The second one becomes the primary with all that the first one has, and the first one follows it."""
        self.first.client().execute_command("FAILOVER", "TO", SECOND, self.port)
        wait_until(lambda: self.first.client().role()[0] == "slave", "the first one is a replica")

    def end(self) -> None:
        self.names.end()
        self.first.stop()
        self.second.stop()


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.end()


class Writers:
    """Clients that count, each on a connection of its own, and note errors.

    @ivar errors: what they were answered instead. @ivar dropped: how many lost their connection.
    """

    def __init__(self, proxy: Proxy, count: int) -> None:
        self.done = [0] * count
        self.errors: list[str] = []
        self.dropped = 0
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(proxy, at), daemon=True) for at in range(count)]
        for each in self._threads:
            each.start()
        wait_until(lambda: all(self.done), "all are at it")

    def _run(self, proxy: Proxy, at: int) -> None:
        client = proxy.client()
        while not self._ending.is_set():
            try:
                client.incr(f"writer:{at}")
                self.done[at] += 1
            except redis.ConnectionError:
                self.dropped += 1
                return
            except redis.ResponseError as error:
                self.errors.append(str(error))
            time.sleep(0.002)

    def go_on(self) -> None:
        """Wait until each has been answered again."""
        before = list(self.done)
        wait_until(lambda: all(now > then for now, then in zip(self.done, before, strict=True)), "all go on")

    def finish(self) -> None:
        self._ending.set()
        for each in self._threads:
            each.join(20)
            assert not each.is_alive()


def in_use(proxy: Proxy) -> str:
    return str(proxy.info()["uplink"]["name"]["in_use"])


def test_a_demoted_primary_is_left_for_the_one_that_the_name_points_to(pair: Pair) -> None:
    with Proxy(pair.uplink) as proxy:
        assert in_use(proxy) == f"{FIRST}:{pair.port}" and proxy.info()["uplink"]["name"]["ttl_s"] == 1
        writers = Writers(proxy, 10)
        pair.exchange()
        wait_until(lambda: writers.errors, "somebody is refused")
        wait_until(lambda: proxy.info()["paused_for"] == ["demoted"], "the clients are held")
        time.sleep(0.5)
        assert len(writers.errors) <= 10 and all("read only replica" in each for each in writers.errors)
        pair.names.hosts["redis.test"] = [SECOND]
        wait_until(lambda: in_use(proxy) == f"{SECOND}:{pair.port}", "the proxy has followed")
        writers.go_on()
        writers.finish()
        assert len(writers.errors) <= 10 and not writers.dropped
        assert [pair.second.client().get(f"writer:{at}") for at in range(10)] == [str(done) for done in writers.done]
        told = proxy.info()["uplink"]["name"]
        assert told["switches"] == 1 and told["last_switch"]["dropped"] == []
        # A name server that is gone changes nothing, nor does a name that is.
        pair.names.hosts.clear()
        wait_until(lambda: "knows no address" in proxy.info()["uplink"]["name"]["last_error"], "it was asked")
        assert proxy.client().set("still", "here")


def test_clients_wait_for_the_next_primary_when_one_dies(pair: Pair) -> None:
    with Proxy(pair.uplink) as proxy:
        proxy.client().set("a", "1")
        wait_until(lambda: pair.second.client().get("a") == "1", "the replica has it")
        idle = [proxy.client() for _ in range(5)]
        assert all(each.ping() for each in idle)
        pair.first.process.kill()
        pair.first.process.wait()
        late: list[Any] = []
        waiting = threading.Thread(target=lambda: late.append(proxy.client().set("b", "2")), daemon=True)
        waiting.start()
        pair.second.client().replicaof("NO", "ONE")
        pair.names.hosts["redis.test"] = [SECOND]
        wait_until(lambda: in_use(proxy) == f"{SECOND}:{pair.port}", "the proxy has followed")
        waiting.join(10)
        assert late == [True] and all(each.get("a") == "1" for each in idle)
        assert pair.second.client().get("b") == "2"


def test_of_several_addresses_the_primary_is_taken_with_workers_too(pair: Pair) -> None:
    pair.names.hosts["redis.test"] = [SECOND, FIRST]
    with Proxy({**pair.uplink, "resolve_ms": 500}, workers=2) as proxy:
        wait_until(lambda: in_use(proxy) == f"{FIRST}:{pair.port}", "the primary was found")
        writers = Writers(proxy, 6)
        pair.exchange()
        wait_until(lambda: in_use(proxy) == f"{SECOND}:{pair.port}", "the proxy has followed")
        writers.go_on()
        writers.finish()
        assert len(writers.errors) <= 6 and not writers.dropped


LOOK_UP = """
import sys, time
from twisted.internet.task import react
from redisproxy.config import TcpAddress
from redisproxy.net.resolving import look_up
def main(reactor):
    began = time.monotonic()
    pointing = look_up(reactor, "redis.test", TcpAddress("127.0.0.1", int(sys.argv[1])))
    return pointing.addCallback(lambda found: print(*found.hosts, time.monotonic() - began))
react(main)
"""


def test_that_the_name_is_looked_up_again_and_again_is_not_logged(pair: Pair) -> None:
    with Proxy(pair.uplink) as proxy:
        asked = pair.names.asked
        wait_until(lambda: pair.names.asked > asked + 2, "it is looked up")
        assert "DNSDatagramProtocol" not in proxy.log and "UDP Port" not in proxy.log


def test_a_name_server_that_answers_nothing_about_ipv6_keeps_nobody_waiting() -> None:
    names = NameServer(redis=[FIRST, SECOND])
    names.only_a = True
    found = subprocess.run([sys.executable, "-c", LOOK_UP, str(names.port)], capture_output=True, text=True, timeout=60)
    names.end()
    *hosts, seconds = found.stdout.split() or pytest.fail(found.stderr)
    assert hosts == [FIRST, SECOND] and float(seconds) < sum(TRIES_S)
