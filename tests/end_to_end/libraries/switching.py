"""Runs workers with client libraries while a proxy switches them between two servers, many times.

A worker counts its steps and says what went wrong. It checks every reply itself, so that a command lost or run twice is
a problem of the step that finds it. What a worker can't see is checked here: no connection was closed, none was made
anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import redis

from tests.end_to_end.harness import Proxy, RedisServer, wait_until

SWITCHES = 6 if os.environ.get("REDISPROXY_PURE") else 20
STEPS_BETWEEN = 5


class Worker(Protocol):
    """A worker in the background."""

    @property
    def name(self) -> str:
        """What to call it in a failure."""

    @property
    def done(self) -> int:
        """How many steps are done, and have been checked."""

    @property
    def problem(self) -> str:
        """What went wrong; empty while nothing has."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End after the current step, and wait for that."""


class Rig:
    """Two servers and a proxy before the first of them."""

    def __init__(self, proxy: Proxy, servers: tuple[RedisServer, RedisServer]) -> None:
        self.proxy = proxy
        self.servers = servers
        self.current = servers[0]

    @property
    def server(self) -> redis.Redis:
        """A client of the server that the proxy uses now, past the proxy."""
        return self.current.client()

    def switch(self) -> None:
        """Move everybody to the other server."""
        old, new = self.servers
        self.current = new if self.current is old else old
        self.proxy.write(uplink=self.current.uplink)
        report = self.proxy.do("switchover")["report"]
        assert report["dropped"] == [], report

    @contextmanager
    def switching_under(self, *workers: Worker, reconnects: bool = False) -> Iterator[None]:
        """Switch often while all workers work; the body runs after the last switch, while they still work.

        @param reconnects: they make connections of their own accord, as a worker does that forks for each job.
        """
        try:
            for worker in workers:
                worker.start()
            self._everybody_goes_on(workers)
            connected = self.proxy.info()["clients"]["total"]
            for _ in range(SWITCHES):
                self.switch()
                self._everybody_goes_on(workers)
            clients = self.proxy.info()["clients"]
            assert reconnects or clients["total"] == connected, "somebody has connected again"
            assert clients["closed"] == {}
            yield
        finally:
            for worker in workers:
                worker.stop()
        assert_no_problem(workers)

    def _everybody_goes_on(self, workers: Sequence[Worker]) -> None:
        before = [worker.done for worker in workers]

        def gone_on() -> bool:
            assert_no_problem(workers)
            return all(now.done >= then + STEPS_BETWEEN for now, then in zip(workers, before, strict=True))

        wait_until(gone_on, "every worker has gone on")


def assert_no_problem(workers: Sequence[Worker]) -> None:
    """Fail with the first lines of what went wrong."""
    problems = [f"{worker.name}: {worker.problem}" for worker in workers if worker.problem]
    assert not problems, "\n".join(problems[:3])


class ThreadWorker(threading.Thread):
    """Takes step after step in a thread.

    @param steps: yields after each step, which it has checked.
    """

    def __init__(self, steps: Iterator[None]) -> None:
        super().__init__(daemon=True)
        self.done = 0
        self.problem = ""
        self._steps = steps
        self._stopping = threading.Event()

    def run(self) -> None:
        try:
            for _ in self._steps:
                self.done += 1
                if self._stopping.is_set():
                    return
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}"

    def stop(self) -> None:
        self._stopping.set()
        self.join(20)
        if self.is_alive():
            self.problem = self.problem or "still waits for a reply"


class ProcessWorker:
    """A program of its own, which works until its standard input ends.

    Lines of JSON on its standard output tell of its progress: C{counts}, how many steps of each kind are done;
    C{problem}; and in the last line whatever else it has found.
    """

    def __init__(self, *command: str, **environment: str) -> None:
        self.name = " ".join(os.path.basename(part) for part in command[:2])
        self.counts: dict[str, int] = {}
        self.problem = ""
        self.result: dict[str, Any] = {}
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)

    @property
    def done(self) -> int:
        """How many steps the slowest kind of work has done."""
        return min(self.counts.values(), default=0)

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self._environment},
            text=True,
        )
        self._reader.start()

    def stop(self) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            code = self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._reader.join(10)
        if code or not self.result:
            self.problem = self.problem or f"exit code {code}"

    def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        stray = [line for line in self._process.stdout if not self._told(line)]
        if stray:
            self.problem = self.problem or "".join(stray[-20:])

    def _told(self, line: str) -> bool:
        if not line.startswith("{"):
            return False
        self.result = json.loads(line)
        self.counts = self.result["counts"]
        self.problem = self.problem or self.result["problem"]
        return True
