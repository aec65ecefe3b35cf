"""Started by systemd, whose part the tests play: nobody is refused before the start, in a restart, or after the end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.harness import Certificates, Proxy, RedisServer, free_port, wait_until
from tests.end_to_end.systemd import Activated, Notifications, now_usec, start

pytestmark = pytest.mark.one_twin
TWINS = [{}, {"REDISPROXY_PURE": "1"}]
each_network = pytest.mark.parametrize("environment", TWINS, ids=["this twin", "pure"])


def listening(address: Any = ("127.0.0.1", 0), family: int = socket.AF_INET) -> socket.socket:
    """What a socket unit makes of ListenStream=."""
    made = socket.socket(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(address)
    made.listen(100)
    return made


def port_of(passed: socket.socket) -> int:
    return int(passed.getsockname()[1])


def ask(port: int, command: bytes = b"PING\r\n") -> socket.socket:
    """Connect and send, at a port where maybe nobody accepts yet."""
    client = socket.create_connection(("127.0.0.1", port), 30)
    client.sendall(command)
    return client


def unix_client(path: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(path)
    client.sendall(b"PING\r\n")
    return client


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    """For clients, and for the admin pages."""
    made = [listening(), listening()]
    yield made
    for each in made:
        each.close()


@pytest.fixture
def notifications(tmp_path: Path) -> Iterator[Notifications]:
    made = Notifications(tmp_path)
    yield made
    made.close()


@each_network
def test_who_connects_before_the_start_in_a_restart_or_after_the_end_is_answered(
    server: RedisServer, sockets: list[socket.socket], environment: dict[str, str]
) -> None:
    client_port, admin_port = map(port_of, sockets)
    early = ask(client_port)
    passed = [("redisproxy.socket", each) for each in sockets]
    with Activated(server.uplink, passed, environment=environment, ports=(client_port, admin_port)) as proxy:
        assert early.recv(100) == b"+PONG\r\n"
        assert proxy.stop() == 0
        between = ask(client_port)
        proxy.process = proxy._start(environment=environment)
        assert between.recv(100) == b"+PONG\r\n"
        wait_until(proxy._ready, "it is ready")
    late = ask(client_port)
    for each in (early, between, late):
        each.close()


@each_network
def test_a_unix_socket_that_was_passed_stays_when_the_proxy_ends(
    server: RedisServer, tmp_path: Path, environment: dict[str, str]
) -> None:
    path = str(tmp_path / "proxy.sock")
    mode = 0o600
    with listening(path, socket.AF_UNIX) as passed:
        os.chmod(path, mode)
        early = unix_client(path)
        listen = {"addr": path, "network": "unix"}
        with (
            Activated(server.uplink, [("unknown", passed)], listen_more=listen, environment=environment) as proxy,
            early,
        ):
            assert early.recv(100) == b"+PONG\r\n"
            assert proxy.stop() == 0
        assert os.stat(path).st_mode & 0o777 == mode
        with unix_client(path):
            pass  # it is still listened to


def test_a_client_of_a_tls_listener_shakes_hands_with_the_proxy_that_starts_later(
    server: RedisServer, sockets: list[socket.socket], certificates: Certificates
) -> None:
    for environment in TWINS:
        ports = (port_of(sockets[0]), port_of(sockets[1]))
        passed = [("unknown", each) for each in sockets]
        with Activated(server.uplink, passed, tls=certificates, ports=ports, environment=environment) as proxy:
            with proxy.connect() as client:
                client.sendall(b"PING\r\n")
                assert client.recv(100) == b"+PONG\r\n"
            assert proxy.stop() == 0


def test_an_address_without_a_passed_socket_is_bound_as_usual(
    server: RedisServer, sockets: list[socket.socket]
) -> None:
    with Activated(server.uplink, [("unknown", sockets[0])], ports=(port_of(sockets[0]), free_port())) as proxy:
        assert proxy.get("/readyz")[0] == 200
        with proxy.connect() as client:
            client.sendall(b"PING\r\n")
            assert client.recv(100) == b"+PONG\r\n"


def refused(proxy: Proxy) -> str:
    """What a proxy says that does not start."""
    assert proxy.process.wait(30) == 1
    return proxy.log


def test_a_socket_without_a_listener_stops_the_start_and_is_named(
    server: RedisServer, sockets: list[socket.socket]
) -> None:
    port = port_of(sockets[0])
    with Activated(server.uplink, [("redisproxy.socket", sockets[0])], wait=False) as proxy:
        text = refused(proxy)
        assert f"socket 3 (redisproxy.socket) at 127.0.0.1:{port}, which is no listener of the configuration" in text
        assert f"listen 127.0.0.1:{proxy.port}" in text and "ListenStream=" in text and "Traceback" not in text


def test_a_name_says_whose_a_socket_is_wherever_it_listens(server: RedisServer, sockets: list[socket.socket]) -> None:
    configured = (free_port(), port_of(sockets[1]))
    passed = [("listen", sockets[0]), ("admin", sockets[1])]
    with Activated(server.uplink, passed, ports=configured), ask(port_of(sockets[0])) as client:
        assert client.recv(100) == b"+PONG\r\n"


def test_sockets_are_taken_also_by_a_twistd_that_becomes_a_daemon(
    server: RedisServer, sockets: list[socket.socket], tmp_path: Path
) -> None:
    pidfile, log, config = tmp_path / "pid", tmp_path / "log", tmp_path / "config.json"
    config.write_text(json.dumps({"uplink": server.uplink, "listen": {"addr": f"127.0.0.1:{port_of(sockets[0])}"}}))
    command = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--pidfile", str(pidfile)]
    command += ["--logfile", str(log), "redisproxy", "-c", str(config)]
    early = ask(port_of(sockets[0]))
    assert start(command, [("unknown", sockets[0])], {}, cwd=tmp_path).wait(30) == 0
    try:
        with early:
            assert early.recv(100) == b"+PONG\r\n"
    finally:
        wait_until(pidfile.exists, "it has a pidfile")
        os.kill(int(pidfile.read_text()), signal.SIGTERM)
        wait_until(lambda: not pidfile.exists(), "the daemon ends")


def test_no_process_that_it_starts_takes_the_sockets_for_its_own(
    server: RedisServer, sockets: list[socket.socket], notifications: Notifications
) -> None:
    told = "[name for name in os.environ if name.startswith('LISTEN_') or name == 'NOTIFY_SOCKET']"
    plugin = f"import atexit, os; atexit.register(lambda: os.write(1, repr(('still told', {told})).encode()))"
    passed, environment = [("listen", sockets[0])], {"NOTIFY_SOCKET": notifications.path}
    with Activated(server.uplink, passed, environment=environment, plugin=plugin) as proxy:
        assert listening_descriptors(proxy.process.pid, sockets[0]) == [True, True]
        assert proxy.stop() == 0
        assert "('still told', [])" in proxy.log


def listening_descriptors(pid: int, wanted: socket.socket) -> list[bool]:
    """The process's descriptors of this socket: whether each is closed in programs that it starts."""
    link = os.readlink(f"/proc/self/fd/{wanted.fileno()}")
    flags = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # closed meanwhile
            if os.readlink(f"/proc/{pid}/fd/{fd}") == link:
                flags.append(Path(f"/proc/{pid}/fdinfo/{fd}").read_text().split("flags:")[1].split()[0])
    return [bool(int(each, 8) & os.O_CLOEXEC) for each in flags]


def test_sockets_of_another_process_are_left_alone(server: RedisServer, sockets: list[socket.socket]) -> None:
    with Activated(server.uplink, [("unknown", sockets[0])], environment={"LISTEN_PID": "1"}) as proxy:
        assert "sockets were passed to process 1, not to this one" in proxy.log


# -- what the service manager is told


def told_of_everything(proxy: Proxy, notifications: Notifications) -> list[dict[str, str]]:
    notifications.wait_for(1)
    proxy.hup()
    notifications.wait_for(3)
    proxy.path.write_text("{")
    proxy.hup()
    notifications.wait_for(5)
    assert proxy.stop() == 0
    return notifications.read()


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told_of_start_reload_and_end_in_order(server: RedisServer, tmp_path: Path, abstract: bool) -> None:
    notifications, began = Notifications(tmp_path, abstract), now_usec()
    environment = {"NOTIFY_SOCKET": notifications.path}
    with Proxy(server.uplink, environment=environment, shutdown={"wait_for_clients_ms": 20_000}) as proxy:
        told = told_of_everything(proxy, notifications)
        kinds = [next(iter(each)) for each in told]
        assert kinds == ["READY", "RELOADING", "READY", "RELOADING", "READY", "STOPPING"]
        assert told[0]["MAINPID"] == str(proxy.process.pid) and told[2]["STATUS"] == "running"
        assert told[4]["STATUS"].startswith("running; the last reload was rejected: ")
        assert began < int(told[1]["MONOTONIC_USEC"]) < int(told[3]["MONOTONIC_USEC"]) < now_usec()
        assert int(told[5]["EXTEND_TIMEOUT_USEC"]) > 25_000_000
    notifications.close()


def test_when_systemd_is_told_that_it_is_ready_it_serves_and_takes_signals(
    server: RedisServer, notifications: Notifications
) -> None:
    with Proxy(server.uplink, wait=False, environment={"NOTIFY_SOCKET": notifications.path}) as proxy:
        notifications.wait_for(1)
        assert proxy.get("/healthz") == (200, b"ok\n")
        proxy.hup()
        notifications.wait_for(3)


def test_a_service_manager_that_does_not_listen_is_logged_and_harms_nobody(server: RedisServer, tmp_path: Path) -> None:
    with Proxy(server.uplink, environment={"NOTIFY_SOCKET": str(tmp_path / "nobody")}) as proxy:
        assert proxy.client().ping()
        assert "READY=1 could not be sent to the service manager" in proxy.log


def test_both_at_once_as_in_a_rolling_restart_no_client_is_refused_and_none_is_cut_off(
    server: RedisServer, sockets: list[socket.socket], notifications: Notifications
) -> None:
    passed = [("redisproxy.socket", each) for each in sockets]
    ports = (port_of(sockets[0]), port_of(sockets[1]))
    environment = {"NOTIFY_SOCKET": notifications.path}
    waits = {"wait_for_clients_ms": 20_000}
    with Activated(server.uplink, passed, ports=ports, environment=environment, shutdown=waits) as proxy:
        staying = proxy.client()
        staying.ping()
        proxy.process.send_signal(signal.SIGTERM)
        wait_until(lambda: proxy.get("/readyz")[0] == 503, "the load balancer hears of it")
        late = ask(ports[0])
        assert staying.set("a", 1)
        staying.close()
        assert proxy.process.wait(10) == 0
        proxy.process = proxy._start(environment=environment)
        with late:
            assert late.recv(100) == b"+PONG\r\n"
        assert [next(iter(each)) for each in notifications.wait_for(3)] == ["READY", "STOPPING", "READY"]


def test_the_unit_files_of_the_documents_are_valid(tmp_path: Path) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "systemd.md"
    blocks = page.read_text().split("```ini\n# /etc/systemd/system/")[1:]
    names = []
    for block in blocks:
        name, _, rest = block.partition("\n")
        names.append(name)
        unit = rest.partition("```")[0].replace("/opt/redisproxy/bin/twistd", sys.executable)
        (tmp_path / name).write_text(unit)
    assert names == ["redisproxy.socket", "redisproxy.service"]
    command = ["systemd-analyze", "verify", "--recursive-errors=no", *(str(tmp_path / name) for name in names)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        assert not os.environ.get("CI"), "there is no systemd-analyze here"
        pytest.skip("there is no systemd-analyze here")
    said = [line for line in (done.stdout + done.stderr).splitlines() if "redisproxy" in line]
    assert done.returncode == 0 and not said, done.stdout + done.stderr
