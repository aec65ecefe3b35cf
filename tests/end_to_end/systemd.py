"""Plays systemd: listens in the place of a proxy that is started later, and hears what it has to say."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.end_to_end.harness import Proxy, wait_until

Passed = Sequence[tuple[str, socket.socket]]
"""Names and sockets, as a process gets them."""

_EXEC = """
import os, sys
count = int(os.environ["LISTEN_FDS"])
os.environ["LISTEN_PID"] = os.environ.get("LISTEN_PID") or str(os.getpid())
kept = [os.dup(int(fd)) for fd in sys.argv[1].split(",")]
for at, fd in enumerate([os.dup2(fd, 100 + at, False) for at, fd in enumerate(kept)]):
    os.dup2(fd, 3 + at, True)
os.closerange(3 + count, os.sysconf("SC_OPEN_MAX"))
os.execvp(sys.argv[2], sys.argv[2:])
"""
"""Lays the descriptors at 3 and above, as sd_listen_fds(3) has it, and becomes the program."""


def start(command: list[str], passed: Passed, environment: dict[str, str], **how: Any) -> subprocess.Popen[bytes]:
    """Start `command` with these sockets."""
    numbers = [each.fileno() for _, each in passed]
    told = {"LISTEN_FDS": str(len(passed)), "LISTEN_FDNAMES": ":".join(name for name, _ in passed), **environment}
    return subprocess.Popen(
        [sys.executable, "-c", _EXEC, ",".join(map(str, numbers)), *command],
        pass_fds=numbers,
        env={**os.environ, **told},
        **how,
    )


class Activated(Proxy):
    """A proxy that is started with sockets."""

    def __init__(self, uplink: dict[str, Any], passed: Passed, **how: Any) -> None:
        self._passed = passed
        super().__init__(uplink, **how)

    def _start(self, plugin: str = "", environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        twistd = [sys.executable, "-c", f"{plugin}\nfrom twisted.scripts.twistd import run; run()", "-n"]
        command = [*twistd, "--pidfile", str(self.pidfile), "redisproxy", "-c", str(self.path)]
        out = self.log_path.open("ab")
        return start(command, self._passed, environment or {}, cwd=self.folder, stdout=out, stderr=subprocess.STDOUT)


class Notifications:
    """The socket of NOTIFY_SOCKET.

    @ivar heard: every message, as its lines by their names, and when it came.
    """

    def __init__(self, folder: Path, abstract: bool = False) -> None:
        self.path = f"@{folder}/notify" if abstract else str(folder / "notify")
        self.heard: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + self.path[1:] if abstract else self.path)
        self._socket.setblocking(False)

    def read(self) -> list[dict[str, str]]:
        """Everything until now."""
        while True:
            try:
                message = self._socket.recv(4096).decode()
            except BlockingIOError:
                return self.heard
            self.heard.append(dict(line.split("=", 1) for line in message.split("\n")))

    def wait_for(self, count: int) -> list[dict[str, str]]:
        """Everything, once there are so many."""
        wait_until(lambda: len(self.read()) >= count, f"{count} messages")
        return self.heard

    def close(self) -> None:
        self._socket.close()


def now_usec() -> int:
    """As MONOTONIC_USEC counts."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
