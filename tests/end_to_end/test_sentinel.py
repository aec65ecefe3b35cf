"""Failovers by real Sentinel processes, with clients that stay connected."""

from __future__ import annotations

import signal
import socket
import threading
import time
from typing import Any

import pytest

from tests.end_to_end.harness import Certificates, Proxy, RedisServer, free_port, wait_until
from tests.end_to_end.sentinels import NAME, SENTINEL_PASSWORD, Group, Sentinel, redis_server, running_group

pytestmark = pytest.mark.one_twin


class BusyClient(threading.Thread):
    """Counts on one connection, one INCR after the other.

    Redis replicates asynchronously: the new primary of a failover may lack the last writes. So the count may go back,
    but once for a failover and no more.

    @ivar steps_back: how often it did. @ivar problem: what ended it before its time; empty when nothing did.
    """

    def __init__(self, proxy: Proxy, number: int) -> None:
        super().__init__(daemon=True)
        self._request = b"INCR busy:%d\r\n" % number
        self._proxy = proxy
        self.ending = threading.Event()
        self.done = self.count = self.steps_back = 0
        self.problem = ""

    def run(self) -> None:
        try:
            with self._proxy.connect() as sock, sock.makefile("rb") as file:
                while not self.ending.is_set():
                    sock.sendall(self._request)
                    line = file.readline()
                    assert line.startswith(b":"), line
                    self.steps_back += int(line[1:]) <= self.count
                    self.count = int(line[1:])
                    self.done += 1
                    time.sleep(0.002)
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}"

    def finish(self) -> None:
        """Stop it."""
        self.ending.set()
        self.join(20)
        assert not self.is_alive(), "it still waits for a reply"


class Idlers:
    """Connections that have sent something once and nothing since."""

    def __init__(self, proxy: Proxy, count: int) -> None:
        self.sockets = [proxy.connect() for _ in range(count)]
        assert [ask(sock, b"PING") for sock in self.sockets] == [b"+PONG\r\n"] * count

    def check(self) -> None:
        """Check that they are connected and get answers."""
        for number, sock in enumerate(self.sockets):
            assert ask(sock, b"SET idler:%d here" % number) == b"+OK\r\n"
            sock.close()


def ask(sock: socket.socket, line: bytes) -> bytes:
    """Send one inline command; the first line of its reply."""
    sock.sendall(line + b"\r\n")
    with sock.makefile("rb") as file:
        return file.readline()


def uplink_port(proxy: Proxy) -> int:
    return int(proxy.info()["uplink"]["address"].rpartition(":")[2])


def switches(proxy: Proxy) -> int:
    return int(proxy.info()["uplink"]["sentinel"]["switches"])


def all_subscribed(proxy: Proxy, count: int) -> bool:
    return sum(each["subscribed"] for each in proxy.info()["uplink"]["sentinel"]["sentinels"]) == count


def by_port(group: Group, port: int) -> RedisServer:
    (found,) = [server for server in group.servers if server.port == port]
    return found


def test_nobody_is_disconnected_by_a_failover_on_command() -> None:
    got: list[object] = []
    with running_group(replicas=2, sentinels=3, quorum=2) as group, Proxy(group.uplink) as proxy:
        old = group.servers[0]
        assert uplink_port(proxy) == old.port
        wait_until(lambda: all_subscribed(proxy, 3), "every sentinel is heard")
        idlers, busy = Idlers(proxy, 20), [BusyClient(proxy, number) for number in range(10)]
        hearing = proxy.connect()
        hearing.sendall(b"HELLO 3\r\nCLIENT MAINT_NOTIFICATIONS ON\r\n")
        blocked = threading.Thread(target=lambda: got.append(proxy.client().blpop("queue", timeout=0)))
        for thread in (*busy, blocked):
            thread.start()
        wait_until(lambda: all(each.done for each in busy) and proxy.info()["in_flight"], "everybody is at it")
        logged = len(proxy.log)
        group.sentinels[0].client().execute_command("SENTINEL", "FAILOVER", NAME)
        wait_until(lambda: switches(proxy) == 1, "the proxy has followed")
        new = by_port(group, uplink_port(proxy))
        told = proxy.log[logged:]
        assert told.index("paused (failover)") < told.index(f"{NAME} is 127.0.0.1:{new.port} now")
        assert new is not old and new.client().role()[0] == "master"
        before = [each.done for each in busy]
        wait_until(
            lambda: all(now.done > then or now.problem for now, then in zip(busy, before, strict=True)), "all go on"
        )
        for each in busy:
            each.finish()
        assert [each.problem for each in busy] == [""] * 10 and max(each.steps_back for each in busy) <= 1
        assert [new.client().get(f"busy:{number}") for number in range(10)] == [str(each.count) for each in busy]
        idlers.check()
        assert new.client().get("idler:19") == "here"
        proxy.client().rpush("queue", "job")
        blocked.join(10)
        assert got == [("queue", "job")]
        info = proxy.info()
        assert info["clients"]["closed"] == {} and info["uplink"]["sentinel"]["last_switch"]["dropped"] == []
        heard = b""
        while b"FAILED_OVER" not in heard:
            heard += hearing.recv(1000)
        assert heard.count(b">4\r\n$12\r\nFAILING_OVER") == 1 and b"MIGRAT" not in heard
        shown = proxy.get("/")[1].decode()
        assert f"127.0.0.1:{new.port}" in shown and f"sentinel 127.0.0.1:{group.sentinels[2].port}" in shown
        assert b"redisproxy_sentinel_switches_total 1.0" in proxy.get("/metrics")[1]
        assert SENTINEL_PASSWORD not in shown + proxy.log + proxy.get("/info.json")[1].decode()


def test_clients_that_have_time_to_leave_are_taken_along_in_a_failover() -> None:
    with (
        running_group(replicas=1, sentinels=1, quorum=1) as group,
        Proxy(group.uplink, shutdown={"wait_for_clients_ms": 60_000}) as proxy,
    ):
        wait_until(lambda: all_subscribed(proxy, 1), "the sentinel is heard")
        busy = BusyClient(proxy, 1)
        busy.start()
        wait_until(lambda: busy.done, "it is at it")
        proxy.process.send_signal(signal.SIGTERM)
        wait_until(lambda: proxy.get("/readyz")[0] == 503, "the proxy is about to end")
        group.sentinels[0].client().execute_command("SENTINEL", "FAILOVER", NAME)
        wait_until(lambda: switches(proxy) == 1, "the proxy has followed")
        before = busy.done
        wait_until(lambda: busy.done > before or busy.problem, "it goes on")
        busy.finish()
        assert not busy.problem and proxy.stop(0) == 0


def test_idle_clients_survive_a_primary_that_hangs_and_wakes_up_again() -> None:
    quick = {"drain_deadline_ms": 300}
    with running_group(replicas=1, sentinels=3, quorum=2) as group, Proxy(group.uplink, pause=quick) as proxy:
        old, new = group.servers
        idlers, hanging = Idlers(proxy, 10), proxy.connect()
        old.process.send_signal(signal.SIGSTOP)
        hanging.sendall(b"INCR n\r\n")
        wait_until(lambda: switches(proxy) == 1, "the proxy has followed", 40)
        assert uplink_port(proxy) == new.port
        idlers.check()
        with pytest.raises(ConnectionResetError):
            hanging.recv(10)
        assert proxy.info()["clients"]["closed"] == {"drain_deadline": 1}
        old.process.send_signal(signal.SIGCONT)
        wait_until(lambda: old.client().role()[0] == "master", "the old primary believes that it is one")
        time.sleep(1.2)
        assert uplink_port(proxy) == new.port and switches(proxy) == 1


def test_idle_clients_survive_the_death_of_the_primary_and_of_a_sentinel() -> None:
    with running_group(replicas=2, sentinels=3, quorum=2) as group, Proxy(group.uplink) as proxy:
        old = group.servers[0]
        wait_until(lambda: all_subscribed(proxy, 3), "every sentinel is heard")
        idlers = Idlers(proxy, 20)
        group.sentinels[0].kill()
        old.process.send_signal(signal.SIGKILL)
        old.process.wait()
        wait_until(lambda: switches(proxy) == 1, "the proxy has followed", 40)
        new = by_port(group, uplink_port(proxy))
        assert new is not old
        idlers.check()
        assert new.client().get("idler:19") == "here"
        assert proxy.info()["clients"]["closed"] == {} and all_subscribed(proxy, 2)
        with redis_server("--replicaof", "127.0.0.1", str(new.port), port=old.port) as again:
            wait_until(lambda: again.client().get("idler:19") == "here", "the old primary is a replica")
            time.sleep(1.2)
            assert uplink_port(proxy) == new.port and switches(proxy) == 1
            assert proxy.client().set("still", "here")


def test_a_proxy_that_starts_before_its_sentinels(tmp_path: Any) -> None:
    port = free_port()
    with redis_server() as primary:
        uplink = {**Group([primary], []).uplink, "sentinels": [f"127.0.0.1:{port}"], "wait_limit_ms": 600}
        with Proxy(uplink, wait=False) as proxy:
            wait_until(lambda: "redisproxy is running" in proxy.log, "it runs")
            client = proxy.connect()
            assert ask(client, b"GET a").startswith(b"-MASTERDOWN")
            assert proxy.get("/readyz")[0] == 503 and "Connection" in proxy.info()["uplink"]["sentinel"]["last_error"]
            status, answer = proxy.admin("reload")
            assert status == 400 and str(port) in answer["error"]
            sentinel = Sentinel(primary, 1, port)
            try:
                wait_until(lambda: proxy.get("/readyz")[0] == 200, "the sentinel was found")
                assert ask(client, b"SET a 1") == b"+OK\r\n" and switches(proxy) == 0
                assert uplink_port(proxy) == primary.port
                proxy.do("reload")
                assert ask(client, b"GET a") == b"$1\r\n"
                status, answer = proxy.admin("switchover")
                assert status == 400 and "redisproxy failover" in answer["error"]
                proxy.write(uplink={**uplink, "master_name": "nobody"})
                status, answer = proxy.admin("reload")
                assert status == 400 and "knows no primary called nobody" in answer["error"]
                assert ask(client, b"SET a 2") == b"+OK\r\n"
            finally:
                sentinel.kill()
            assert ask(client, b"SET a 3") == b"+OK\r\n"
            client.close()


@pytest.mark.parametrize("named", [True, False])
def test_sentinels_over_tls(certificates: Certificates, named: bool) -> None:
    with redis_server(tls=certificates) as primary:
        sentinel = Sentinel(primary, 1, tls=certificates)
        more = {"tls": True, "cacertfile": certificates.ca}
        if not named:
            more |= {"sentinel_server_name": "another.test"}
        try:
            with Proxy({**Group([primary], [sentinel]).uplink, **more}, wait=named) as proxy:
                if named:
                    assert proxy.client().set("a", 1) and primary.client().get("a") == "1"
                else:
                    wait_until(lambda: "not for another.test" in proxy.log, "the certificate is refused")
        finally:
            sentinel.kill()
