"""Workers come and go, also without their control process, and their clients notice nothing."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.end_to_end.harness import Certificates, Proxy, RedisServer, wait_until
from tests.end_to_end.test_workers import Traffic, alive, all_there, workers_of

pytestmark = pytest.mark.one_twin

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
        assert "clients are disconnected" not in proxy.log and "worker_lost" not in proxy.info()["clients"]["closed"]


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


def restarted(proxy: Proxy) -> None:
    """Start it again, and wait until it drives its workers."""
    proxy.process = proxy._start()
    wait_until(lambda: drives(proxy), "it drives its workers", LONG_S)
    all_there(proxy)


def test_a_proxy_with_another_file_does_not_take_the_workers_of_a_running_one(
    server: RedisServer, tmp_path: Path
) -> None:
    directory = str(tmp_path / "run")
    with RedisServer() as new, proxy_of(server, 2, run_directory=directory) as proxy:
        client = proxy.client(single_connection_client=True)
        assert client.ping()
        with pytest.raises(AssertionError, match="is in use by the proxy with"):
            Proxy(new.uplink, run_directory=directory)
        assert client.set("where", "here") and server.client().get("where") == "here"
        assert proxy.client().ping()


def test_one_process_takes_the_place_of_workers_at_a_restart(server: RedisServer) -> None:
    with RedisServer() as new, proxy_of(server, 2) as proxy:
        clients = [proxy.client(single_connection_client=True) for _ in range(6)]
        scripts = [client.script_load(f"return {number}") for number, client in enumerate(clients)]
        killed(proxy)
        proxy.write(workers=1)
        proxy.restart()
        wait_until(lambda: not proxy.info().get("workers"), "the workers have ended", LONG_S)
        assert all(client.ping() for client in clients)
        assert "clients are disconnected" not in proxy.log
        proxy.write(uplink=new.uplink)
        proxy.do("reload")
        assert "workers" not in proxy.info() and proxy.info()["clients"]["open"] == 6
        # Each was known to one worker only.
        assert new.client().script_exists(*scripts) == [True] * 6


def drives(proxy: Proxy) -> bool:
    with suppress(OSError):
        status, text = proxy.get("/readyz")
        return status == 200 or b"paused" in text
    return False


def test_the_operators_pause_outlives_the_control_process(server: RedisServer) -> None:
    with proxy_of(server, 2) as proxy, Traffic(proxy, 4) as traffic:
        proxy.do("pause-and-wait")
        killed(proxy)
        time.sleep(1)
        done = [client.done for client in traffic.clients]
        restarted(proxy)
        assert proxy.info()["state"] == "paused" and proxy.info()["paused_for"] == ["operator"]
        assert [client.done for client in traffic.clients] == done
        late = proxy.connect(1)
        late.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            late.recv(100)
        proxy.do("unpause")
        wait_until(lambda: all(c.done > d for c, d in zip(traffic.clients, done, strict=True)), "all go on", LONG_S)
    assert traffic.problems == []


@pytest.mark.parametrize("after_s", [0.05, 0.3, 0.8])
def test_nothing_is_lost_when_the_control_process_is_killed_in_a_switchover(after_s: float) -> None:
    with RedisServer() as old, RedisServer() as new, proxy_of(old, 2) as proxy:
        with Traffic(proxy, 4) as traffic:
            proxy.write(uplink=new.uplink)
            killing = threading.Timer(after_s, killed, (proxy,))
            killing.start()
            with suppress(OSError, HTTPException, ValueError):
                proxy.admin("switchover")
            killing.join()
            time.sleep(0.5)
            stayed_at = in_use(old, new, traffic.clients[0].key)
            if stayed_at is old:
                old.client().config_set("min-replicas-to-write", 0)
                new.client().execute_command("REPLICAOF", "NO", "ONE")
            proxy.write(uplink=stayed_at.uplink)
            done = [client.done for client in traffic.clients]
            restarted(proxy)
            wait_until(lambda: all(c.done > d for c, d in zip(traffic.clients, done, strict=True)), "all go on", LONG_S)
        assert traffic.problems == []
        direct = stayed_at.client()
        assert [int(str(direct.get(client.key))) for client in traffic.clients] >= [c.done for c in traffic.clients]


def in_use(old: RedisServer, new: RedisServer, key: str) -> RedisServer:
    """The one to which the workers have gone, or where they have stayed: where `key` is counted."""
    with suppress(AssertionError):
        wait_until(lambda: counting(old, new, key=key), "clients go on", 3)
    if not counting(old, new, key=key):  # killed between the fence and the promotion
        old.client().config_set("min-replicas-to-write", 0)  # as redisproxy unfence does
    wait_until(lambda: counting(old, new, key=key), "clients go on", LONG_S)
    return counting(old, new, key=key)[-1]


def counting(*servers: RedisServer, key: str) -> list[RedisServer]:
    def counts() -> list[int]:
        return [int(str(each.client().get(key) or 0)) for each in servers]

    before = counts()
    time.sleep(0.5)
    primaries = [dict(each.client().info("replication"))["role"] == "master" for each in servers]
    grown = [now > was for was, now in zip(before, counts(), strict=True)]
    return [each for each, is_primary, grows in zip(servers, primaries, grown, strict=True) if is_primary and grows]


def test_a_control_process_that_was_stopped_drives_its_workers_again(server: RedisServer) -> None:
    with proxy_of(server, 2) as proxy, Traffic(proxy, 4) as traffic:
        pids = [each["pid"] for each in workers_of(proxy)]
        proxy.process.send_signal(signal.SIGSTOP)
        time.sleep(7)
        done = [client.done for client in traffic.clients]
        wait_until(lambda: all(c.done > d for c, d in zip(traffic.clients, done, strict=True)), "all go on", LONG_S)
        proxy.process.send_signal(signal.SIGCONT)
        wait_until(lambda: proxy.admin("reload")[0] == 200, "it drives its workers again", LONG_S)
        all_there(proxy)
        assert [(each["pid"], each["restarts"]) for each in workers_of(proxy)] == [(pid, 0) for pid in pids]
        assert proxy.client().ping() and len(proxy.client().client_list()) >= len(traffic.clients)
        proxy.do("reload")
    assert traffic.problems == []


def test_clients_with_tls_stay_with_a_worker_that_is_not_needed_until_their_time_is_over(
    server: RedisServer, tmp_path: Path
) -> None:
    with proxy_of(server, 3, tls=Certificates(tmp_path), upgrade={"linger_ms": 8000}) as proxy:
        clients = [proxy.client(single_connection_client=True) for _ in range(6)]
        staying = [client for client in clients if int(client.client_id()) % 100 == 3]
        others = [client for client in clients if client not in staying]
        assert len(staying) == 2
        proxy.write(workers=2)
        proxy.do("reload")
        assert all(client.set("tls", 1) for client in clients)
        leaving = [each for each in workers_of(proxy) if each["leaving"]]
        assert [each["clients"] for each in leaving] == [2] and leaving[0]["number"] == 3
        assert len(clients[0].client_list()) == 6
        proxy.do("pause")
        assert proxy.do("unpause")["state"] == "running"
        wait_until(lambda: not [each for each in workers_of(proxy) if each["leaving"]], "it has ended", LONG_S)
        for client in staying:
            with pytest.raises(redis.ConnectionError):
                client.ping()
        assert all(client.ping() for client in others) and not alive(leaving[0]["pid"])
