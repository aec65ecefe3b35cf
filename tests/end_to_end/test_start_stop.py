"""What a person sees when the proxy starts, fails to start, and stops."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.end_to_end.harness import Certificates, Proxy, RedisServer, busy_script, free_port, wait_until

pytestmark = pytest.mark.one_twin

TWISTD = [sys.executable, "-c", "import sys; from twisted.scripts.twistd import run; run()", "-n"]


def run(folder: Path, *arguments: str, program: list[str] = TWISTD) -> tuple[int, str]:
    done = subprocess.run([*program, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_without_a_config_there_is_one_clear_message(tmp_path: Path) -> None:
    code, text = run(tmp_path, "redisproxy")
    assert code != 0 and "a configuration file is needed: -c config.json" in text and "Traceback" not in text


def test_a_bad_config_is_told_fault_by_fault(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"uplink": {"addr": "x", "pass": "hush-hush"}, "listen": {"adr": ":1"}, "foo": 1}))
    for program in (TWISTD, [sys.executable, "-m", "twisted"]):
        code, text = run(tmp_path, "redisproxy", "-c", str(path), program=program)
        assert code != 0 and "Traceback" not in text and "hush-hush" not in text
        assert text.startswith("redisproxy can't start with ") and "Usage:" not in text
        for part in (
            "uplink.addr: expected host:port",
            "listen.addr: missing",
            "did you mean addr?",
            "foo: unknown key",
        ):
            assert part in text


def test_check_config_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    program = [sys.executable, "-m", "redisproxy.cli", "check-config"]
    path.write_text(json.dumps({"uplink": {"addr": "x"}, "listen": {"addr": ":7010"}}))
    code, text = run(tmp_path, str(path), program=program)
    assert code == 1 and "uplink.addr: expected host:port" in text
    path.write_text(json.dumps({"uplink": {"addr": "x:1"}, "listen": {"addr": ":7010"}}))
    code, text = run(tmp_path, str(path), program=program)
    assert code == 0 and "is good" in text


def test_a_busy_port_stops_the_start_with_a_clear_message(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        path = tmp_path / "config.json"
        other = free_port()
        listen = [{"addr": f"127.0.0.1:{other}"}, {"addr": f"127.0.0.1:{port}"}]
        path.write_text(json.dumps({"uplink": {"addr": "127.0.0.1:1"}, "listen": listen}))
        for program in (TWISTD, [sys.executable, "-m", "twisted"]):
            code, text = run(tmp_path, "redisproxy", "-c", str(path), program=program)
            assert code != 0 and f"127.0.0.1:{port}" in text and "Address already in use" in text, text
            assert "Traceback" not in text and "Unhandled" not in text, text
    assert not (tmp_path / "twistd.pid").exists()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_exit_code_0_and_leaves_nothing(server: RedisServer, how: int) -> None:
    with Proxy(server.uplink) as proxy:
        client = proxy.client()
        client.set("a", 1)
        assert proxy.pidfile.exists()
        assert proxy.stop(how) == 0
        assert not proxy.pidfile.exists()


def test_as_a_daemon_in_another_directory_it_still_finds_its_config(tmp_path: Path, server: RedisServer) -> None:
    rundir, pidfile, log = tmp_path / "elsewhere", tmp_path / "pid", tmp_path / "log"
    rundir.mkdir()
    admin = free_port()
    config = {"uplink": server.uplink, "listen": {"addr": f"127.0.0.1:{free_port()}"}}
    (tmp_path / "config.json").write_text(json.dumps({**config, "admin": {"addr": f"127.0.0.1:{admin}"}}))
    options = ["--pidfile", str(pidfile), "--logfile", str(log), "--rundir", str(rundir)]
    assert run(tmp_path, *options, "redisproxy", "-c", "config.json", program=TWISTD[:-1])[0] == 0
    wait_until(lambda: log.exists() and "is running" in log.read_text(), "the daemon runs")
    pid = int(pidfile.read_text())
    try:
        curl = ["curl", "-s", f"http://127.0.0.1:{admin}/cmd/", "-d", "cmd=reload"]
        assert json.loads(subprocess.check_output(curl))["ok"]
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not pidfile.exists(), "the daemon ends")
    assert "Traceback" not in log.read_text()


def test_what_is_in_flight_is_answered_before_it_ends(server: RedisServer) -> None:
    with Proxy(server.uplink) as proxy:
        answers: list[object] = []
        slow = busy_script(1)
        worker = threading.Thread(target=lambda: answers.append(proxy.client().eval(slow, 0)))
        worker.start()
        wait_until(lambda: proxy.info()["in_flight"] == 1, "the script runs")
        assert proxy.stop() == 0
        worker.join(5)
        assert answers == [7]


def test_unix_sockets_on_every_side(tmp_path: Path) -> None:
    with RedisServer(unix=True) as server:
        listen, admin = str(tmp_path / "proxy.sock"), str(tmp_path / "admin.sock")
        with Proxy(
            server.uplink,
            wait=False,
            listen_more={"addr": listen, "network": "unix"},
            admin={"addr": admin, "network": "unix"},
        ) as proxy:
            wait_until(lambda: os.path.exists(admin), "it listens")
            time.sleep(0.3)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(listen)
                client.sendall(b"SET a 1\r\nCLIENT LIST\r\n")
                assert client.recv(5) == b"+OK\r\n"
            curl = ["curl", "-s", "--unix-socket", admin, "http://localhost/cmd/", "-d", "cmd=pause-and-wait"]
            assert json.loads(subprocess.check_output(curl))["state"] == "paused"
            assert proxy.stop() == 0
        assert not os.path.exists(listen) and not os.path.exists(admin)


def test_an_unreachable_uplink_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    with Proxy({"addr": f"127.0.0.1:{port}", "wait_limit_ms": 500}, wait=False) as proxy:
        wait_until(lambda: _healthy(proxy), "it listens")
        assert proxy.get("/readyz")[0] == 503
        with proxy.connect() as client:
            client.sendall(b"PING\r\n")
            assert client.recv(200).startswith(b"-MASTERDOWN redisproxy cannot reach its Redis server: ")
            with RedisServer(port=port):
                wait_until(lambda: proxy.get("/readyz")[0] == 200, "it has found its server")
                client.sendall(b"PING\r\n")
                assert client.recv(200) == b"+PONG\r\n"


def test_the_admin_site_over_tls_with_a_password_and_a_client_certificate(
    server: RedisServer, certificates: Certificates
) -> None:
    port = free_port()
    admin = {"addr": f"127.0.0.1:{port}", "tls": True, "certfile": certificates.cert, "keyfile": certificates.key}
    admin |= {"cacertfile": certificates.ca, "pass": "for the operator"}
    with Proxy(server.uplink, wait=False, admin=admin) as proxy:
        wait_until(lambda: "is running" in proxy.log, "it runs")
        curl = ["curl", "-s", "--cacert", certificates.ca, f"https://localhost:{port}/cmd/", "-d", "cmd=pause"]
        assert subprocess.run(curl, capture_output=True, check=False).returncode != 0
        curl += ["--cert", certificates.client_cert, "--key", certificates.client_key]
        assert b"password required" in subprocess.check_output(curl)
        assert json.loads(subprocess.check_output([*curl, "-u", "admin:for the operator"]))["state"] == "paused"
        assert "for the operator" not in proxy.log


def test_the_log_tells_of_connections_and_holds_no_password(server: RedisServer) -> None:
    with Proxy(server.uplink, listen_more={"pass": "s3cret-word"}, log_messages=True, log_level="debug") as proxy:
        client = proxy.client(password="s3cret-word")
        client.set("private-key", "private-value")
        with proxy.connect() as other:
            other.sendall(b"*x\r\n")
            other.recv(100)
        client.close()
        wait_until(lambda: "client 1 disconnected" in proxy.log, "the end is logged")
        assert "client 1 connected from 127.0.0.1:" in proxy.log and "SET (" in proxy.log.upper()
        assert "invalid multibulk length" in proxy.log
        for secret in ("s3cret-word", "private-key", "private-value"):
            assert secret not in proxy.log


def _healthy(proxy: Proxy) -> bool:
    try:
        return proxy.get("/healthz") == (200, b"ok\n")
    except OSError:
        return False


def test_the_raw_listener_relays_and_is_ended_by_command(server: RedisServer) -> None:
    port = free_port()
    with Proxy(server.uplink, listen_raw={"addr": f"127.0.0.1:{port}"}) as proxy:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"SUBSCRIBE x\r\n")
            assert client.recv(100).startswith(b"*3\r\n$9\r\nsubscribe")
            assert proxy.info()["raw_connections"] == 1
            assert proxy.do("terminate-raw-connections")["terminated"] == 1
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(100) == b""
        wait_until(lambda: proxy.info()["raw_connections"] == 0, "it is gone")


@pytest.mark.parametrize("environment", [{}, {"REDISPROXY_PURE": "1"}], ids=["this twin", "pure"])
def test_a_raw_client_that_ends_its_input_gets_its_reply_and_is_gone(
    server: RedisServer, environment: dict[str, str]
) -> None:
    port = free_port()
    with Proxy(server.uplink, listen_raw={"addr": f"127.0.0.1:{port}"}, environment=environment) as proxy:
        for early in (True, False):
            with socket.create_connection(("127.0.0.1", port), 30) as client:
                if not early:
                    client.sendall(b"PING\r\n")
                    assert client.recv(100) == b"+PONG\r\n"
                client.sendall(b"ECHO x\r\n")
                client.shutdown(socket.SHUT_WR)
                assert client.recv(100) == b"$1\r\nx\r\n" and client.recv(100) == b""
        with socket.create_connection(("127.0.0.1", port), 30) as client:
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b""
        wait_until(lambda: proxy.info()["raw_connections"] == 0, "they are gone")


def test_until_its_notice_is_over_it_serves_those_who_stay_and_is_not_ready_for_others(server: RedisServer) -> None:
    with Proxy(server.uplink, shutdown={"notice_ms": 3000}) as proxy:
        client, other = proxy.client(), proxy.connect()
        client.ping()
        other.sendall(b"HELLO 3\r\nCLIENT MAINT_NOTIFICATIONS ON\r\nPING\r\n")
        other.recv(1000)
        proxy.process.send_signal(signal.SIGTERM)
        wait_until(lambda: proxy.get("/readyz") == (503, b"the proxy is shutting down\n"), "it is not ready any more")
        with pytest.raises(ConnectionRefusedError):
            proxy.connect()
        assert client.set("a", 1) and server.client().get("a") == "1"
        other.close()
        assert proxy.process.wait(10) == 0
        assert "2 clients were told to leave, 0 have stayed" in proxy.log


def test_who_wants_to_know_is_told_of_the_end_also_when_it_comes_at_once(server: RedisServer) -> None:
    with Proxy(server.uplink) as proxy, proxy.connect() as client:
        client.sendall(b"HELLO 3\r\nCLIENT MAINT_NOTIFICATIONS ON\r\nPING\r\n")
        seen = b""
        while not seen.endswith(b"+PONG\r\n"):
            seen += client.recv(1000)
        proxy.process.send_signal(signal.SIGTERM)
        told = b""
        while more := client.recv(1000):
            told += more
        assert told.startswith(b">4\r\n$6\r\nMOVING\r\n:") and told.endswith(b"\r\n:5\r\n_\r\n")
        assert proxy.process.wait(10) == 0
