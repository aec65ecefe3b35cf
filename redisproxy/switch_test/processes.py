"""The processes of a switch-test: two Redis servers and the proxy, in a temporary folder, on free loopback ports."""

from __future__ import annotations

import contextlib
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
from collections.abc import Callable
from pathlib import Path

from redisproxy.resp import encode_command, parse_reply

READY_S = 20.0
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
    """A process that the test has started, with its log."""

    def __init__(self, name: str, folder: Path, command: list[str]) -> None:
        self._log = folder / f"{name}.log"
        self._name = name
        self._ended = False
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C reaches only the one that ends all others in order.
            self._process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

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
        self._program, self._name, self._folder = program, name, folder
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
        self._process = Process(self._name, self._folder, [self._program, *fixed, *more])
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
    """The proxy, started with twistd."""

    def __init__(self, folder: Path, max_clients: int, mode: str = "replicate", way_back: bool = False) -> None:
        """
        @param mode: how switchovers move the data. @param way_back: whether they keep a way back.
        """
        self._way_back = way_back
        self.port, self.admin_port = free_port(), free_port()
        self.path = folder / "config.json"
        self._max_clients = max_clients
        self._mode = mode
        self._folder = folder
        self._process: Process | None = None

    def write(self, uplink: str) -> None:
        """Write the configuration with this uplink."""
        settings = {
            "listen": {"addr": f"127.0.0.1:{self.port}"},
            "admin": {"addr": f"127.0.0.1:{self.admin_port}"},
            "uplink": {"addr": uplink},
            "limits": {"max_clients": self._max_clients},
            "switchover": {"mode": self._mode, "keep_way_back": self._way_back},
        }
        self.path.write_text(json.dumps(settings))

    def start(self) -> None:
        """Start it and wait until it listens."""
        run = "from twisted.scripts.twistd import run; run()"
        self._process = Process(
            "proxy", self._folder, [sys.executable, "-c", run, "-n", "redisproxy", "-c", str(self.path)]
        )
        wait_until(self._answers, "the proxy listens")

    def _answers(self) -> bool:
        assert self._process is not None
        return self._process.alive() and listens(self.port) and listens(self.admin_port)

    def end(self) -> None:
        """End it with SIGTERM."""
        if self._process is not None:
            self._process.end()


def listens(port: int) -> bool:
    """Whether somebody accepts connections on this loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
