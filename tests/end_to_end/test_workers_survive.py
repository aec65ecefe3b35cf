"""Workers come and go, also without their control process, and their clients notice nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis

from tests.end_to_end.harness import Proxy, RedisServer, wait_until
from tests.end_to_end.test_workers import Traffic, alive, all_there, workers_of

LONG_S = 60.0
TWINS = [pytest.param({}, id="native"), pytest.param({"REDISPROXY_PURE": "1"}, id="pure")]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def proxy_of(server: RedisServer, workers: int, **more: Any) -> Proxy:
    server.client().flushall()
    proxy = Proxy(server.uplink, workers=workers, pubsub=True, **more)
    all_there(proxy)
    return proxy


def resized(proxy: Proxy, workers: int) -> None:
    """Reload with another number, and wait until it is so."""
    proxy.write(workers=workers)
    proxy.do("reload")
    wait_until(lambda: len(workers_of(proxy)) == workers, f"there are {workers} workers", LONG_S)
    all_there(proxy)


def killed(proxy: Proxy) -> None:
    """Kill the control process, which nobody hears of."""
    proxy.process.kill()
    proxy.process.wait()
    with suppress(FileNotFoundError):
        proxy.pidfile.unlink()


def ids_of(proxy: Proxy, client: redis.Redis) -> list[int]:
    return sorted(int(each["id"]) for each in client.client_list())


class Special:
    """Clients about which everything is special, and what becomes of them."""

    def __init__(self, server: RedisServer, proxy: Proxy) -> None:
        self._direct = server.client()
        self._direct.delete("s:queue", "s:multi", "s:watched", "s:changed")

        def client() -> redis.Redis:
            return proxy.client(single_connection_client=True)

        self.multi, self.watching, self.changed, self.popping = client(), client(), client(), client()
        self.multi.execute_command("MULTI")
        self.multi.execute_command("SET", "s:multi", "1")
        self.watching.execute_command("WATCH", "s:watched")
        self.changed.execute_command("WATCH", "s:changed")
        self._direct.set("s:changed", "by somebody else")
        self.messages = client().pubsub(ignore_subscribe_messages=True)
        self.messages.subscribe("s:channel")
        assert self.messages.get_message(timeout=5) is None
        self.popped: list[Any] = []
        self._popping = threading.Thread(target=self._pop, daemon=True)
        self._popping.start()
        wait_until(lambda: self._direct.info("clients")["blocked_clients"] >= 1, "BLPOP blocks")
        self.ids = {int(each.client_id()) for each in (self.watching, self.changed)}

    def _pop(self) -> None:
        self.popped.append(self.popping.blpop(["s:queue"], 120))

    def end(self, reloaded: bool = False) -> None:
        """Everybody goes on as if nothing had been; only a WATCH does not hold over a reload."""
        assert {int(each.client_id()) for each in (self.watching, self.changed)} == self.ids
        assert self.multi.execute_command("EXEC") == ["OK"]
        for each in (self.watching, self.changed):
            each.execute_command("MULTI")
        assert self.watching.execute_command("EXEC") == (None if reloaded else [])
        assert self.changed.execute_command("EXEC") is None
        self._direct.publish("s:channel", "hello")
        wait_until(lambda: self.messages.get_message(timeout=0.1), "the message has come")
        self._direct.rpush("s:queue", "element")
        self._popping.join(LONG_S)
        assert self.popped == [("s:queue", "element")]


# -- another number in a reload


@pytest.mark.parametrize("environment", TWINS)
def test_clients_do_not_notice_that_there_are_more_workers_or_fewer(
    server: RedisServer, environment: dict[str, str]
) -> None:
    with proxy_of(server, 2, environment=environment) as proxy:
        special = Special(server, proxy)
        with Traffic(proxy, 8) as traffic:
            for workers in (4, 2, 3, 2):
                resized(proxy, workers)
                time.sleep(1.5)  # those that are there are evened out
        assert traffic.problems == []
        special.end(reloaded=True)
        assert [each["restarts"] for each in workers_of(proxy)] == [0, 0]


# -- without the control process


@pytest.mark.parametrize("environment", TWINS)
def test_clients_do_not_notice_that_the_control_process_is_killed_and_started_again(
    server: RedisServer, environment: dict[str, str]
) -> None:
    with proxy_of(server, 2, environment=environment) as proxy:
        special = Special(server, proxy)
        pids = [each["pid"] for each in workers_of(proxy)]
        with Traffic(proxy, 6) as traffic:
            first = proxy.client(single_connection_client=True)
            before = ids_of(proxy, first)
            killed(proxy)
            done = [client.done for client in traffic.clients]
            wait_until(lambda: all(c.done > d for c, d in zip(traffic.clients, done, strict=True)), "all go on", LONG_S)
            proxy.process = proxy._start(environment=environment)
            wait_until(proxy._ready, "the proxy is ready again", LONG_S)
            wait_until(lambda: all(each["connected"] for each in workers_of(proxy)), "all were found", LONG_S)
            assert [each["pid"] for each in workers_of(proxy)] == pids
            assert ids_of(proxy, first) == before
            assert proxy.info()["clients"]["open"] == len(before)
            assert int(proxy.client(single_connection_client=True).client_id()) > max(before)
        assert traffic.problems == []
        special.end()
        assert all(map(alive, pids))
    assert not any(map(alive, pids))
