"""SIGTERM behind a load balancer: clients leave by themselves, raw ones too, while the proxy goes on serving them."""

from __future__ import annotations

import signal
import socket
import time

import pytest

from tests.end_to_end.harness import Certificates, Proxy, RedisServer, busy_script, free_port, wait_until

pytestmark = pytest.mark.one_twin

WAITS = {"wait_for_clients_ms": 20_000}


def no_more_clients(proxy: Proxy) -> None:
    """SIGTERM has come, and the load balancer hears of it."""
    wait_until(lambda: proxy.get("/readyz") == (503, b"the proxy is shutting down\n"), "it is not ready any more")
    with pytest.raises(ConnectionRefusedError):
        proxy.connect()


@pytest.mark.parametrize("tls", [False, True])
def test_it_serves_whoever_is_left_and_ends_when_the_last_one_has_gone(
    server: RedisServer, certificates: Certificates, tls: bool
) -> None:
    raw = free_port()
    listen_raw = {"addr": f"127.0.0.1:{raw}"}
    with Proxy(server.uplink, tls=certificates if tls else None, shutdown=WAITS, listen_raw=listen_raw) as proxy:
        first, last = proxy.client(), socket.create_connection(("127.0.0.1", raw), 30)
        first.ping()
        last.sendall(b"PING\r\n")
        assert last.recv(100) == b"+PONG\r\n"
        proxy.process.send_signal(signal.SIGTERM)
        no_more_clients(proxy)
        info = proxy.info()
        assert info["state"] == "shutting down" and info["shutdown"]["clients_left"] == 2
        assert 10 < info["shutdown"]["waits_for_s"] <= 20
        assert first.set("a", 1)
        first.close()
        wait_until(lambda: proxy.info()["shutdown"]["clients_left"] == 1, "one has left")
        last.sendall(b"PING\r\n")
        assert last.recv(100) == b"+PONG\r\n" and proxy.process.poll() is None
        last.close()
        assert proxy.stop(0) == 0
        assert "clients have had their time to leave, 0 have stayed" in proxy.log
        assert not proxy.pidfile.exists()


def test_commands_of_operators_and_sighup_are_refused_meanwhile(server: RedisServer) -> None:
    with Proxy(server.uplink, shutdown=WAITS) as proxy:
        client = proxy.client()
        client.ping()
        proxy.process.send_signal(signal.SIGTERM)
        no_more_clients(proxy)
        for cmd in ("pause", "pause-and-wait", "reload", "switchover"):
            assert proxy.admin(cmd) == (409, {"ok": False, "error": "the proxy is shutting down"})
        proxy.hup()
        wait_until(lambda: "the SIGHUP is not carried out: the proxy is shutting down" in proxy.log, "it says so")
        assert client.ping()
        client.close()
        assert proxy.stop(0) == 0


@pytest.mark.parametrize(("first", "second"), [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)])
def test_a_second_signal_ends_the_wait_and_what_is_in_flight_is_still_answered(
    server: RedisServer, first: int, second: int
) -> None:
    with Proxy(server.uplink, shutdown=WAITS) as proxy, proxy.connect() as client:
        client.sendall(b"PING\r\n")
        assert client.recv(100) == b"+PONG\r\n"
        proxy.process.send_signal(first)
        no_more_clients(proxy)
        script = busy_script(1)
        client.sendall(b"*3\r\n$4\r\nEVAL\r\n$%d\r\n%b\r\n$1\r\n0\r\n" % (len(script), script.encode()))
        wait_until(lambda: proxy.info()["in_flight"] == 1, "the script runs")
        began = time.monotonic()
        assert proxy.stop(second) == 0
        assert client.recv(100) == b":7\r\n" and client.recv(100) == b""
        assert time.monotonic() - began < 10


def test_who_asked_for_notifications_is_told_to_move_and_all_others_have_their_time(server: RedisServer) -> None:
    shutdown = {"wait_for_clients_ms": 3000, "notice_ms": 1000}
    with Proxy(server.uplink, shutdown=shutdown) as proxy, proxy.connect() as told, proxy.connect() as other:
        told.sendall(b"HELLO 3\r\nCLIENT MAINT_NOTIFICATIONS ON\r\nPING\r\n")
        seen = b""
        while not seen.endswith(b"+PONG\r\n"):
            seen += told.recv(1000)
        began = time.monotonic()
        proxy.process.send_signal(signal.SIGTERM)
        moving = told.recv(1000)
        assert moving.startswith(b">4\r\n$6\r\nMOVING\r\n:") and moving.endswith(b"\r\n:1\r\n_\r\n")
        told.close()
        other.sendall(b"PING\r\n")
        assert other.recv(100) == b"+PONG\r\n"
        assert proxy.process.wait(20) == 0 and 2.5 < time.monotonic() - began < 10
        assert "clients have had their time to leave, 1 have stayed" in proxy.log


def test_without_notice_ms_the_time_that_moving_tells_is_the_wait(server: RedisServer) -> None:
    with Proxy(server.uplink, shutdown={"wait_for_clients_ms": 15_000}) as proxy, proxy.connect() as client:
        client.sendall(b"HELLO 3\r\nCLIENT MAINT_NOTIFICATIONS ON\r\nPING\r\n")
        seen = b""
        while not seen.endswith(b"+PONG\r\n"):
            seen += client.recv(1000)
        proxy.process.send_signal(signal.SIGTERM)
        assert client.recv(1000).endswith(b"\r\n:15\r\n_\r\n")
        client.close()
        assert proxy.process.wait(20) == 0
