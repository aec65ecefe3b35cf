"""The processes of a switch-test: two Redis servers and the proxy, in a temporary folder, on free loopback ports."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from redisproxy.resp import encode_command, parse_reply

READY_S = 20.0
PROXY_READY_S = 60.0
STOP_S = 10.0


class CouldNotRun(Exception):
    """The test itself can't go on, which says nothing about the proxy; C{str()} says why."""


# Sockets that keep the ports given out last from being given out again, here or by another process.
_HELD_PORTS: deque[int] = deque()
MAX_HELD_PORTS = 100


def free_port() -> int:
    """A loopback port that nobody listens on, below those that the kernel gives to outgoing connections.

    It is held by a socket that is bound to it and does not listen: servers, which bind with SO_REUSEADDR, may have it,
    and the next call of this function, in whichever process, may not.
    """
    while True:
        port = random.SystemRandom().randrange(10_000, 30_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _HELD_PORTS.append(probe.detach())
            if len(_HELD_PORTS) > MAX_HELD_PORTS:
                os.close(_HELD_PORTS.popleft())
            return port


def wait_until(true: Callable[[], bool], what: str, seconds: float = READY_S) -> None:
    """Wait until `true()` is true.

    @raise CouldNotRun: it was not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise CouldNotRun(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(0.01)


def raise_file_limit(needed: int) -> None:
    """Raise the limit of open files to `needed`, for this process and those that it starts.

    @raise CouldNotRun: the hard limit is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise CouldNotRun(f"so many clients need {needed} open files, and this shell allows {hard} (ulimit -Hn)")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class Process:
    """A process that the test has started, with its log.

    @ivar session: the number of its session, in which are all processes that it starts.
    """

    def __init__(self, name: str, folder: Path, command: list[str]) -> None:
        self._log = folder / f"{name}.log"
        self._name = name
        self._ended = False
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C reaches only the one that ends all others in order.
            self._process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.session = self._process.pid

    def alive(self) -> bool:
        """Whether it runs.

        @raise CouldNotRun: it has ended by itself.
        """
        if self._process.poll() is not None:
            last = self._log.read_text(errors="replace")[-500:]
            raise CouldNotRun(f"{self._name} ended with {self._process.returncode}: {last}")
        return True

    def end(self, how: int = signal.SIGTERM) -> None:
        """End it and wait for that; child processes that are left are killed."""
        if self._ended:
            return  # its number may be another's by now
        if self._process.poll() is None:
            self._process.send_signal(how)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(ProcessLookupError):  # a killed server leaves the child that writes its RDB
            os.killpg(self._process.pid, signal.SIGKILL)
        self._ended = True  # only now: an end that Ctrl-C interrupts is begun again


class RedisServer:
    """One Redis server that keeps its port when it is started again, empty."""

    def __init__(self, name: str, folder: Path, program: str = "") -> None:
        """
        @param program: empty for redis-server as it is on PATH.
        """
        program = program or shutil.which("redis-server") or ""
        if not program:
            raise CouldNotRun("there is no redis-server on PATH")
        self.program, self._name, self._folder = program, name, folder
        self.port = free_port()
        self._process: Process | None = None

    @property
    def address(self) -> str:
        """host:port"""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it empty, with a history of its own, so that following another server takes a full synchronisation."""
        fixed = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--repl-diskless-sync-delay", "0"]
        fixed += ["--rdbcompression", "no"]  # the data set is all alike, and would be moved as almost nothing
        data = self._folder / self._name
        shutil.rmtree(data, ignore_errors=True)  # a replica leaves what it received in a file, and would load it
        data.mkdir()
        more = ["--dir", str(data), "--maxclients", "20000"]
        self._process = Process(self._name, self._folder, [self.program, *fixed, *more])
        wait_until(self._answers, f"{self._name} answers")

    def _answers(self) -> bool:
        assert self._process is not None
        return self._process.alive() and listens(self.port)

    def end(self, how: int = signal.SIGKILL) -> None:
        """End it; its data is not kept."""
        if self._process is not None:
            self._process.end(how)

    def connect(self) -> socket.socket:
        """A connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), READY_S)

    def ask(self, *words: str) -> object:
        """Send one command over a new connection; its reply."""
        with self.connect() as sock:
            sock.sendall(encode_command(*words) + encode_command("QUIT"))
            data = b"".join(iter(lambda: sock.recv(65536), b""))
        return parse_reply(data.removesuffix(b"+OK\r\n"))

    def replication(self) -> dict[str, str]:
        """The fields of INFO replication."""
        text = self.ask("INFO", "replication")
        assert isinstance(text, bytes)
        return dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)


class ProxyServer:
    """The proxy, started with twistd; upgrades put other processes in its place, which the pidfile tells."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """
        @param settings: of its configuration, beside the addresses.
        """
        self.port, self.admin_port = free_port(), free_port()
        self.path, self._pidfile = folder / "config.json", folder / "proxy.pid"
        self._settings = settings
        self._folder = folder
        self._process: Process | None = None

    def write(self, uplink: str | Mapping[str, Any], **switchover: Any) -> None:
        """Write the configuration with this uplink.

        @param uplink: its address, or the section. @param switchover: settings of that name that differ this time.
        """
        settings = {
            "listen": {"addr": f"127.0.0.1:{self.port}"},
            "admin": {"addr": f"127.0.0.1:{self.admin_port}"},
            "uplink": {"addr": uplink} if isinstance(uplink, str) else uplink,
            "run_directory": str(self._folder / "run"),
            **self._settings,
            "switchover": {**self._settings["switchover"], **switchover},
        }
        self.path.write_text(json.dumps(settings))

    def start(self) -> None:
        """Start it and wait until commands get through."""
        run = "from twisted.scripts.twistd import run; run()"
        how = ["-n", f"--pidfile={self._pidfile}", "redisproxy", "-c", str(self.path)]
        self._process = Process("proxy", self._folder, [sys.executable, "-c", run, *how])
        wait_until(self._answers, "commands get through the proxy", PROXY_READY_S)

    def _answers(self) -> bool:
        assert self._process is not None
        return self._process.alive() and listens(self.port) and self._ready()

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=READY_S)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    @property
    def pid(self) -> int:
        """The process in charge; 0 when there is none."""
        try:
            return int(self._pidfile.read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def has_ended(self, pid: int) -> bool:
        """Whether this process, which was in charge, has ended."""
        assert self._process is not None
        return pid not in living(self._process.session)

    def end(self) -> None:
        """End the process in charge with SIGTERM; what it and those before it leave is killed."""
        if self._process is None:
            return
        if (pid := self.pid) in living(self._process.session):
            os.kill(pid, signal.SIGTERM)
            with contextlib.suppress(CouldNotRun):
                wait_until(lambda: self.has_ended(pid), "the proxy ends", STOP_S)
        self._process.end()
        for left in living(self._process.session):
            with contextlib.suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)


def living(session: int) -> list[int]:
    """The processes of a session that have not ended (proc_pid_stat(5))."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, of = stat.read_text().rpartition(")")[2].split()[:4]
            if int(of) == session and state != "Z":
                found.append(int(stat.parent.name))
    return found


def listens(port: int) -> bool:
    """Whether somebody accepts connections on this loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
