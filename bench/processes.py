"""Starts the processes of a run on free ports, watches them, and ends them however the run ends."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from bench.errors import BenchError
from redisproxy.switch_test.processes import free_port

START_DEADLINE_S = 15.0
STOP_DEADLINE_S = 3.0
WANTED_FILES = 65_536
# The kernel ends the child when the benchmark itself is killed and cannot.
_DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")


@dataclass(frozen=True)
class Running:
    """A process that listens on 127.0.0.1:`port`."""

    name: str
    port: int
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """The process id; it is the process itself, no wrapper around it."""
        return self.popen.pid

    def check(self) -> None:
        """Raises BenchError, with the end of its log, when the process has ended."""
        if self.popen.poll() is not None:
            tail = self.log.read_text(errors="replace")[-800:]
            raise BenchError(f"{self.name} ended with status {self.popen.returncode}: {tail}")

    def cpu_s(self) -> float:
        """CPU seconds used so far, user and system, of all threads there are and were; ns resolution.

        The kernel's per-process clock: the sum that /proc/PID/stat shows in ticks of 10 ms
        (clock_getcpuclockid(3); the id is built as its Linux ABI says).
        """
        return _cpu_s(self.pid)

    def cpu_each_s(self) -> dict[int, float]:
        """The same of this process and of each of its children, by their ids."""
        return {pid: _cpu_s(pid) for pid in (self.pid, *_children(self.pid))}

    def resident_bytes(self) -> int:
        """Resident memory now (VmRSS, proc_pid_status(5))."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


class Processes:
    """Owns processes, and ends them in reverse order when the context is left."""

    def __init__(self) -> None:
        self._running: list[Running] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._running):
            _stop(process.popen)

    def start(
        self,
        name: str,
        arguments: Sequence[str],
        port: int,
        folder: Path,
        path: str = "",
        deadline_s: float = START_DEADLINE_S,
    ) -> Running:
        """Start a process in `folder` and return it once it accepts connections on `port`.

        `path` is put into PYTHONPATH. Raises BenchError when it ends, or does not listen in time.
        """
        log = folder / f"{name}.log"
        environment = {**os.environ, **({"PYTHONPATH": path} if path else {})}
        with log.open("wb") as sink:
            popen = subprocess.Popen(
                [*_DIE_WITH_PARENT, *arguments], cwd=folder, env=environment,
                stdin=subprocess.DEVNULL, stdout=sink, stderr=sink,
            )  # fmt: skip
        running = Running(name, port, popen, log)
        self._running.append(running)
        _await_port(running, deadline_s)
        return running


def _cpu_s(pid: int) -> float:
    return time.clock_gettime((~pid << 3) | 2)


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for each in found for child in each.read_text().split()]


def _await_port(running: Running, deadline_s: float) -> None:
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        running.check()
        with suppress(OSError), socket.create_connection(("127.0.0.1", running.port), timeout=1):
            return
        time.sleep(0.05)
    raise BenchError(f"{running.name} did not listen within {deadline_s:.0f} s")


def _stop(popen: subprocess.Popen[bytes]) -> None:
    popen.terminate()
    try:
        popen.wait(STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()


def free_ports(count: int) -> list[int]:
    """Find this many ports of 127.0.0.1 that nothing listens on."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return list(found)


def raise_file_limit() -> int:
    """Let this process and its children open as many files as allowed; returns how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (WANTED_FILES, max(hard, WANTED_FILES)))
        return WANTED_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
