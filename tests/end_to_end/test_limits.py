"""Large values, slow readers, timeouts, floods: one client harms nobody else, and memory stays bounded."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
import redis

from tests.end_to_end.harness import Certificates, Proxy, RedisServer, busy_script, wait_until

LARGE = 512 * 1024 * 1024
CHUNK = b"x" * 1048576
MIB = 1048576


@pytest.fixture(params=[True, False], ids=["shared", "pinned"])
def either(request: pytest.FixtureRequest, server: RedisServer) -> Proxy:
    proxy = Proxy({**server.uplink, "multiplex": request.param}, read_time_limit_ms=120000)
    request.addfinalizer(lambda: proxy.__exit__())
    return proxy


def upload(sock: socket.socket, size: int) -> None:
    sock.sendall(b"*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$%d\r\n" % size)
    for _ in range(size // len(CHUNK)):
        sock.sendall(CHUNK)
    sock.sendall(b"\r\n")


def test_512_mb_go_through_both_ways_in_bounded_memory(either: Proxy) -> None:
    with either.connect(120) as sock:
        sock.sendall(b"PING\r\n")
        assert sock.recv(10) == b"+PONG\r\n"
        before = either.rss()
        upload(sock, LARGE)
        assert sock.recv(10) == b"+OK\r\n"
        after_upload = either.rss()
        sock.sendall(b"*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n")
        left = len(b"$%d\r\n\r\n" % LARGE) + LARGE
        buffer = bytearray(MIB)
        peak = 0
        while left:
            left -= sock.recv_into(buffer)
            peak = max(peak, either.rss()) if left % 64 == 0 else peak
        sock.sendall(b"PING\r\n")
        assert sock.recv(10) == b"+PONG\r\n"
        assert after_upload - before < 16 * MIB and max(peak, either.rss()) - before < 16 * MIB


def test_what_a_blocked_client_sends_behind_its_command_is_held_within_a_bound(proxy: Proxy) -> None:
    with proxy.connect(2) as sock:
        sock.sendall(b"BLPOP q 0\r\nPING\r\n")
        wait_until(lambda: proxy.info()["in_flight"] == 1, "the client is blocked")
        before, sent = proxy.rss(), 0
        with contextlib.suppress(TimeoutError):
            while sent < 64 * MIB:
                sent += sock.send(b"PING\r\n" * 10000)
        assert sent < 64 * MIB and proxy.rss() - before < 16 * MIB


def test_a_slow_reader_of_a_large_value_makes_nothing_grow_and_others_go_on(either: Proxy) -> None:
    with either.connect(120) as sock:
        upload(sock, 256 * MIB)
        assert sock.recv(10) == b"+OK\r\n"
        before = either.rss()
        sock.sendall(b"*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n")
        time.sleep(1.0)
        other = either.client()
        for number in range(200):
            other.set("n", number)
        assert either.rss() - before < 16 * MIB
        assert sock.recv(16) == b"$%d\r\nxxxx" % (256 * MIB)


def test_a_command_over_the_time_limit_costs_its_client_the_connection(server: RedisServer) -> None:
    slow = busy_script(2)
    with Proxy(server.uplink, read_time_limit_ms=500) as proxy:
        idle = proxy.client()
        idle.ping()
        began = time.monotonic()
        with pytest.raises(redis.ConnectionError):
            proxy.client().eval(slow, 0)
        assert 0.4 < time.monotonic() - began < 1.5
        assert proxy.info()["clients"]["closed"]["time_limit"] == 1
        time.sleep(1.7)
        assert idle.ping() and proxy.info()["in_flight"] == 0


def test_a_blocking_command_is_not_limited(server: RedisServer) -> None:
    with Proxy(server.uplink, read_time_limit_ms=300) as proxy:
        assert proxy.client().blpop("nothing", timeout=1) is None


def test_pause_and_wait_drops_and_names_what_runs_longer(server: RedisServer, proxy: Proxy) -> None:
    slow = busy_script(2)
    victim = proxy.client(client_name="slowpoke")

    def run() -> None:
        with pytest.raises(redis.ConnectionError):
            victim.eval(slow, 0)

    worker = threading.Thread(target=run)
    worker.start()
    wait_until(lambda: proxy.info()["in_flight"] == 1, "the script runs")
    began = time.monotonic()
    answer = proxy.do("pause-and-wait", timeout_ms=300)
    assert time.monotonic() - began < 1.5
    assert [each["name"] for each in answer["dropped"]] == ["slowpoke"] and answer["state"] == "paused"
    worker.join(5)
    proxy.do("unpause")
    time.sleep(2)
    assert proxy.client().ping()


def test_unpause_ends_a_pending_pause_and_wait(server: RedisServer, proxy: Proxy) -> None:
    slow = busy_script(1)
    answers: list[object] = []
    worker = threading.Thread(target=lambda: answers.append(proxy.client().eval(slow, 0)))
    worker.start()
    wait_until(lambda: proxy.info()["in_flight"] == 1, "the script runs")
    waiting = threading.Thread(target=lambda: answers.append(proxy.admin("pause-and-wait")))
    waiting.start()
    wait_until(lambda: proxy.info()["state"] == "pausing", "the pause has begun")
    assert proxy.do("unpause")["state"] == "running"
    waiting.join(5)
    assert answers[0] == (409, {"ok": False, "error": "unpaused before every client was suspended"})
    worker.join(5)
    assert answers[1] == 7


def test_an_idle_client_is_closed_only_when_asked_for(server: RedisServer) -> None:
    with Proxy(server.uplink, idle_timeout_ms=1000) as proxy, proxy.connect() as idle, proxy.connect() as blocked:
        blocked.sendall(b"BLPOP q 0\r\n")
        idle.sendall(b"PING\r\n")
        assert idle.recv(10) == b"+PONG\r\n"
        idle.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            assert idle.recv(10) == b""
        assert proxy.info()["clients"]["closed"] == {"idle": 1}


def test_one_client_too_many_is_told_so(server: RedisServer) -> None:
    with Proxy(server.uplink, limits={"max_clients": 2}) as proxy, proxy.connect() as one, proxy.connect() as two:
        for each in (one, two):
            each.sendall(b"PING\r\n")
            assert each.recv(10) == b"+PONG\r\n"
        with proxy.connect() as third:
            assert third.makefile("rb").read() == b"-ERR max number of clients reached\r\n"


def test_one_tls_client_too_many_is_told_so(certificates: Certificates, server: RedisServer) -> None:
    with Proxy(server.uplink, tls=certificates, limits={"max_clients": 1}) as proxy, proxy.connect() as one:
        one.sendall(b"PING\r\n")
        assert one.recv(10) == b"+PONG\r\n"
        with proxy.connect() as second:
            assert second.makefile("rb").read() == b"-ERR max number of clients reached\r\n"


def test_a_client_that_waits_stalls_or_is_slow_delays_nobody(server: RedisServer, proxy: Proxy) -> None:
    """One of each kind at once, and an ordinary client beside them."""
    proxy.client().set("large", "x" * 20_000_000)
    with proxy.connect() as blocked, proxy.connect() as half, proxy.connect() as slow, proxy.connect() as huge:
        blocked.sendall(b"BLPOP nothing 0\r\n")
        half.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$10\r\nxx")
        slow.sendall(b"GET large\r\n")
        huge.sendall(b"*3\r\n$3\r\nSET\r\n$4\r\nhuge\r\n$400000000\r\n" + b"y" * 1_000_000)
        ordinary = proxy.client()
        began = time.monotonic()
        for number in range(500):
            assert ordinary.incr("n") == number + 1
        assert time.monotonic() - began < 10
    wait_until(lambda: proxy.info()["clients"]["open"] <= 2, "they have gone")
    wait_until(lambda: proxy.info()["in_flight"] == 0, "nothing is left of them")


def test_garbage_and_half_commands_harm_nobody(proxy: Proxy) -> None:
    client = proxy.client()
    for junk in (
        b"\x00\xff\xfe\r\n",
        b"*3\r\n$3\r\nSET\r\n",
        b"*-99\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b'"\r\n',
    ):
        with proxy.connect() as sock:
            sock.sendall(junk)
            client.incr("n")
    wait_until(lambda: proxy.info()["clients"]["open"] == 1, "they have gone")
    assert int(client.get("n") or 0) == 5 and proxy.info()["in_flight"] == 0


def test_a_client_that_floods_without_reading_is_stopped(proxy: Proxy) -> None:
    proxy.client().set("v", "x" * 10000)
    before = proxy.rss()
    with proxy.connect(1.0) as sock:
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 200000:
                sent += sock.send(b"*2\r\n$3\r\nGET\r\n$1\r\nv\r\n" * 1000) // 20
        assert proxy.client().get("v") and proxy.rss() - before < 160 * MIB


def test_tls_clients_with_and_without_a_certificate(certificates: Certificates, tmp_path: Path) -> None:
    more = {"cacertfile": certificates.ca}
    with RedisServer() as server, Proxy(server.uplink, tls=certificates, wait=False, listen_more=more) as proxy:
        wait_until(lambda: _up(proxy), "it is up")
        with pytest.raises(redis.ConnectionError):
            proxy.client().ping()
        with_one = {"ssl_certfile": certificates.client_cert, "ssl_keyfile": certificates.client_key}
        assert proxy.client(**with_one).ping()


def _up(proxy: Proxy) -> bool:
    try:
        return proxy.get("/readyz")[0] == 200
    except OSError:
        return False


def test_an_uplink_with_the_wrong_name_or_an_unknown_ca_is_not_trusted(
    certificates: Certificates, tmp_path: Path
) -> None:
    other = Certificates(tmp_path / "other")
    with RedisServer(tls=certificates) as server, Proxy(server.uplink) as proxy:
        assert proxy.client().ping()
        for change in ({"cacertfile": other.ca}, {"server_name": "elsewhere.test"}):
            proxy.write(uplink={**server.uplink, **change})
            status, answer = proxy.admin("reload")
            assert status == 400 and answer["error"].startswith("uplink: ")
        proxy.write(uplink={**server.uplink, "cacertfile": other.ca, "skipverify": True})
        proxy.do("reload")
        assert proxy.client().ping()


def test_a_server_that_hangs_is_found_by_pings_and_nobody_is_disconnected(server: RedisServer) -> None:
    uplink = {**server.uplink, "ping_interval_ms": 300, "ping_timeout_ms": 300}
    with Proxy(uplink) as proxy:
        client = proxy.client(single_connection_client=True)
        client.set("a", 1)
        server.process.send_signal(signal.SIGSTOP)
        try:
            wait_until(lambda: "PING" in proxy.info()["uplink"]["last_error"], "the hang is noticed", 6)
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert client.get("a") == "1" and proxy.info()["clients"]["closed"] == {}


def test_pings_leave_a_held_transaction_alone(server: RedisServer) -> None:
    with Proxy({**server.uplink, "ping_interval_ms": 100, "ping_timeout_ms": 1000}) as proxy:
        sock = proxy.connect()
        file = sock.makefile("rb")
        sock.sendall(b"MULTI\r\nINCR n\r\n")
        assert [file.readline(), file.readline()] == [b"+OK\r\n", b"+QUEUED\r\n"]
        time.sleep(2.5)
        sock.sendall(b"EXEC\r\n")
        assert [file.readline(), file.readline()] == [b"*1\r\n", b":1\r\n"]
        sock.close()
