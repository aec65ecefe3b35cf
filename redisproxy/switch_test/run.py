"""One run of the switch-test: starts everything, moves the clients back and forth, ends everything."""

from __future__ import annotations

import http.client
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from redisproxy.switch_test.options import Options
from redisproxy.switch_test.processes import CouldNotRun, ProxyServer, RedisServer, wait_until

BETWEEN_S = 0.05
LOAD_END_S = 120.0
Show = Callable[[dict[str, Any]], None]


class LoadProcess:
    """The load, seen from outside. `state` is the last that it told."""

    def __init__(self, options: Options, port: int, folder: Path) -> None:
        command = [sys.executable, "-m", "redisproxy.switch_test.load", json.dumps(asdict(options)), str(port)]
        with (folder / "load.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
            )
        self.state: dict[str, Any] = {"done": 0, "delivered": 0, "faults": [], "fault_count": 0}
        self._log = folder / "load.log"
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.state = json.loads(line)

    def alive(self) -> None:
        """Look whether it runs.

        @raise CouldNotRun: it has ended by itself.
        """
        if self._process.poll() is not None:
            raise CouldNotRun(f"the load ended by itself: {self._log.read_text()[-500:]}")

    def working(self) -> bool:
        """Whether clients have begun to get replies."""
        self.alive()
        return bool(self.state["done"] or self.state["fault_count"])

    def finish(self, server_port: int) -> dict[str, Any]:
        """Stop the clients, and have everything compared with the server at this port."""
        self.alive()
        assert self._process.stdin is not None
        self._process.stdin.write(f"stop {server_port}\n")
        self._process.stdin.flush()
        self._reader.join(LOAD_END_S)
        if not self.state.get("final"):
            raise CouldNotRun(f"the load gave no result: {self._log.read_text()[-500:]}")
        return self.state

    def end(self) -> None:
        """End it, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


class Run:
    """Owns the processes of one run; L{end} ends them all."""

    def __init__(self, options: Options, folder: Path) -> None:
        self._options = options
        self._servers = [RedisServer("redis-a", folder), RedisServer("redis-b", folder)]
        self._proxy = ProxyServer(folder)
        self._folder = folder
        self._load: LoadProcess | None = None
        self._began = time.monotonic()
        self.pauses_ms: list[float] = []
        self.faults: list[str] = []

    def run(self, show: Show) -> dict[str, Any]:
        """All switchovers; the result."""
        self._servers[0].start()
        self._proxy.write(self._servers[0].address)
        self._proxy.start()
        self._load = load = LoadProcess(self._options, self._proxy.port, self._folder)
        wait_until(load.working, "the clients get replies")
        for _ in range(self._options.switchovers):
            self._once()
            show(self.result())
            if self.faults or load.state["fault_count"]:
                break
        load.finish(self._servers[0].port)
        return self.result()

    def _once(self) -> None:
        old, new = self._servers
        new.end()
        new.start()
        self._proxy.write(new.address)
        answer = self._move_manually() if self._options.manual else self._ask("switchover")
        if not answer.get("ok"):
            self.faults.append(f"switchover {len(self.pauses_ms) + 1}: {answer.get('error')}")
            return
        if self._options.kill:
            old.end(signal.SIGKILL)
        report = answer["report"]
        self.pauses_ms.append(report["pause_ms"])
        if report.get("clients_closed"):
            self.faults.append(f"switchover {len(self.pauses_ms)} closed clients: {report['clients_closed']}")
        self._servers = [new, old]
        time.sleep(BETWEEN_S)

    def _move_manually(self) -> dict[str, Any]:
        """The same by hand: replicate, pause, catch up, promote, reload, unpause."""
        old, new = self._servers
        new.ask("REPLICAOF", "127.0.0.1", str(old.port))
        wait_until(lambda: new.replication().get("master_link_status") == "up", "the new server is in sync")
        began = time.monotonic()
        if not (answer := self._ask("pause-and-wait")).get("ok"):
            return answer
        wanted = int(old.replication()["master_repl_offset"])
        wait_until(lambda: int(new.replication()["slave_repl_offset"]) >= wanted, "the new server has caught up")
        new.ask("REPLICAOF", "NO", "ONE")
        for command in ("reload", "unpause"):
            if not (answer := self._ask(command)).get("ok"):
                return answer
        return {"ok": True, "report": {"pause_ms": (time.monotonic() - began) * 1000}}

    def _ask(self, command: str) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self._proxy.admin_port, timeout=120)
        try:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request("POST", "/cmd/", urlencode({"cmd": command}), headers)
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer
        except (OSError, ValueError, http.client.HTTPException) as error:
            return {"ok": False, "error": f"the admin endpoint does not answer: {error}"}
        finally:
            connection.close()

    def result(self) -> dict[str, Any]:
        """Where it stands."""
        load = self._load.state if self._load is not None else {}
        faults = [*self.faults, *load.get("faults", [])]
        return {
            "ok": not faults,
            "switchovers": len(self.pauses_ms),
            "wanted": self._options.switchovers,
            "elapsed_s": round(time.monotonic() - self._began, 1),
            "pause_ms": distribution(self.pauses_ms),
            "commands": load.get("done", 0),
            "delivered": load.get("delivered", 0),
            "conflicts": load.get("conflicts", 0),
            "longest_ms": load.get("longest_ms", 0),
            "faults": faults,
            "options": asdict(self._options),
        }

    def end(self) -> None:
        """End every process."""
        if self._load is not None:
            self._load.end()
        self._proxy.end()
        for server in self._servers:
            server.end()


def distribution(values: list[float]) -> dict[str, float]:
    """min, median, p99 and max; empty without values."""
    if not values:
        return {}
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, -(-99 * len(ordered) // 100) - 1)]
    found = {"min": ordered[0], "median": statistics.median(ordered), "p99": p99, "max": ordered[-1]}
    return {name: round(value, 2) for name, value in found.items()}


def switch_test(options: Options, show: Show) -> dict[str, Any]:
    """Run it all in a temporary folder.

    @param show: gets the result so far after each switchover.
    @raise CouldNotRun: something other than the proxy is in the way.
    """
    with tempfile.TemporaryDirectory(prefix="switch-test-") as folder:
        run = Run(options, Path(folder))
        try:
            return run.run(show)
        finally:
            run.end()
