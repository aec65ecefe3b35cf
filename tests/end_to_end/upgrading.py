"""A proxy that is upgraded in tests: its processes come one after the other, and only the first is this one's child."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.end_to_end.harness import Proxy, RedisServer, wait_until


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and that nobody has asked about does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Upgraded(Proxy):
    """A real twistd with the proxy.

    @ivar pid: of the process in charge. @ivar pids: of all so far.
    """

    def __init__(self, *arguments: Any, unix: str = "", **options: Any) -> None:
        """
        @param unix: the Unix socket of a second listener.
        """
        self.unix = unix
        super().__init__(*arguments, **options)
        self.pid = self.process.pid
        self.pids = [self.pid]

    def write(self, **changes: Any) -> None:
        """Write the configuration file, with the second listener if there is one."""
        if self.unix and isinstance(self.config["listen"], dict):
            self.config["listen"] = [self.config["listen"], {"addr": self.unix, "network": "unix"}]
        super().write(**changes)

    def once(self, port: int = -1, **options: Any) -> redis.Redis:
        """A client with one connection, which may not be made again; of the Unix socket with port 0."""
        place: dict[str, Any] = {"port": self.port} if port else {"unix_socket_path": self.unix}
        how = {"retry": Retry(NoBackoff(), 0), "single_connection_client": True, "decode_responses": True}
        return redis.Redis(**{**place, "protocol": 2, "socket_timeout": 60, **how, **options})

    def wait_for_another(self) -> None:
        """Wait until another process is in charge and the one before has ended."""
        before = self.pid
        wait_until(lambda: self.pidfile.read_text() not in ("", str(before)), "another process is in charge")
        self.pid = int(self.pidfile.read_text())
        self.pids.append(self.pid)
        self.wait_for_the_end_of(before)

    def upgrade(self) -> dict[str, Any]:
        """Upgrade; the answer. The process before has ended then, unless clients have stayed there."""
        old, answer = self.pid, self.do("upgrade")
        self.pid = int(answer["pid"])
        self.pids.append(self.pid)
        assert self.pid != old and alive(self.pid)
        if not answer["stayed"]:
            self.wait_for_the_end_of(old)
        return answer

    def wait_for_the_end_of(self, pid: int) -> None:
        """Wait; the exit code of the first process has to be 0."""
        wait_until(lambda: not alive(pid), f"process {pid} ends")
        if pid == self.process.pid:
            assert self.process.wait(10) == 0

    def stop(self, how: int = signal.SIGTERM) -> int:
        """End the one in charge and all others that are left."""
        for pid in reversed(self.pids):
            if alive(pid):
                os.kill(pid, how)
                with suppress(AssertionError):
                    wait_until(lambda pid=pid: not alive(pid), "it ends")
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        code = super().stop(how)
        assert "Traceback" not in self.log and "Unhandled" not in self.log, self.log
        return code


HOOK = "exec(open('hook.py').read())"


class Hooked(Upgraded):
    """A proxy whose program on disk is what the test wants it to be."""

    def __init__(self, server: RedisServer, hook: str = "", **more: Any) -> None:
        self.hook = hook
        super().__init__(server.uplink, plugin=HOOK, upgrade={"start_limit_ms": 20000}, **more)

    def write(self, **changes: object) -> None:
        super().write(**changes)
        self.on_disk(self.hook)

    @property
    def log(self) -> str:
        """Without what a program that did not start has printed."""
        lines = (line for line in super().log.splitlines() if not line.startswith("\t"))
        return "\n".join(line for line in lines if "the new process: " not in line and '"ok": false' not in line)

    def on_disk(self, hook: str) -> None:
        """From now on the program does this first."""
        (self.folder / "hook.py").write_text(hook)

    @contextmanager
    def changed(self, **changes: object) -> Iterator[None]:
        """Meanwhile the configuration file is another one."""
        before = dict(self.config)
        self.write(**changes)
        try:
            yield
        finally:
            self.write(**before)

    def clients_at_work(self, count: int = 20) -> list[socket.socket]:
        """Clients that have said something."""
        made = [self.connect() for _ in range(count)]
        self.check(made)
        return made

    def check(self, clients: list[socket.socket]) -> int:
        """Each is answered, or its connection is lost; how many are lost."""
        lost = 0
        for each in clients:
            try:
                each.sendall(b"PING\r\n")
                lost += each.recv(100) != b"+PONG\r\n"
            except OSError:
                lost += 1
        return lost

    def processes(self) -> list[int]:
        """All that run with its configuration."""
        found = []
        for each in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if str(self.path).encode() in each.read_bytes():
                    found.append(int(each.parent.name))
        return [pid for pid in found if alive(pid)]

    def goes_on(self, clients: list[socket.socket]) -> None:
        """The process in charge is the one that was, with all its clients, and it can be upgraded."""
        assert self.info()["upgrade"]["step"] == ""
        assert int(self.pidfile.read_text()) == self.pid
        assert self.check(clients) == 0
        with self.connect() as new:
            assert self.check([new]) == 0
