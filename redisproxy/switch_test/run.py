"""One run of the switch-test: starts all processes, moves the clients back and forth and upgrades the proxy, ends all
processes."""

from __future__ import annotations

import http.client
import json
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from redisproxy.switch_test.data_set import DataSet
from redisproxy.switch_test.kill_primary import PrimaryKiller, WasPromoted, has_the_copy
from redisproxy.switch_test.load_process import LoadProcess
from redisproxy.switch_test.options import Options
from redisproxy.switch_test.processes import (
    CouldNotRun,
    ProxyServer,
    RedisServer,
    wait_until,
)
from redisproxy.switch_test.result import RunState, result_of
from redisproxy.switch_test.upgrades import UPGRADE, Upgrade, moves

ADMIN_S = 3600.0
START_S = 60.0
CONNECTED_PER_S = 100
FEW_CLIENTS = 10_000
FILES_BESIDE = 200
Show = Callable[[dict[str, Any]], None]


class Run:
    """One run, which owns its processes; L{end} ends them all.

    @ivar state: its state so far.
    """

    def __init__(self, options: Options, folder: Path) -> None:
        clients = options.busy + options.blocked + options.idle
        self.state = RunState(options, folder)
        programs = {"redis-a": options.program_a, "redis-b": options.program_b}
        self._servers = [RedisServer(name, folder, program) for name, program in programs.items()]
        self._load: LoadProcess | None = None
        self._random = random.Random(f"{options.seed}:switchovers")
        self._data = DataSet(options.data_mb, options.seed)
        settings = {
            "limits": {"max_clients": max(FEW_CLIENTS, clients + 1)},
            "workers": options.workers,
            "switchover": {"mode": options.mode, "keep_way_back": options.back},
        }
        self._proxy = ProxyServer(folder, settings)
        self._knows_way_back = False

    def run(self, show: Show) -> None:
        """Carry out all switchovers and upgrades, up to the first fault."""
        load = self._start(show)
        for move in moves(self.state.options.wanted, self.state.options.upgrades):
            self.state.doing = "moving"
            time.sleep(self._random.random() * self.state.options.between_s)
            if move == UPGRADE:
                self._upgrade()
            else:
                self._move_once()
            self._note_waits(load)
            show(self.result())
            if self.state.faults or load.state["fault_count"]:
                break
        self.state.doing = "comparing"
        show(self.result())
        load.finish(self._servers[0].port)
        self._note_waits(load)

    def result(self, interrupted: bool = False) -> dict[str, Any]:
        """The result so far, in the form that C{--json} prints."""
        return result_of(self.state, self._load.state if self._load is not None else {}, interrupted)

    def _start(self, show: Show) -> LoadProcess:
        show(self.result())
        options = self.state.options
        self._start_servers()
        self._proxy.start()
        self.state.admin = f"127.0.0.1:{self._proxy.admin_port}"
        self._load = load = LoadProcess(options, self._proxy.port, self.state.folder)
        wait_until(load.working, "the clients get replies", START_S + options.idle / CONNECTED_PER_S)
        show(self.result())
        return load

    def _start_servers(self) -> None:
        server = self._servers[0]
        server.start()
        self._data.fill(server)
        self._name_server()

    def _name_server(self) -> None:
        """Have the configuration file name the server in use."""
        self._proxy.write(self._servers[0].address)

    def _upgrade(self) -> None:
        """Have the program on disk take the proxy's place, and wait for the end of the process before."""
        name, before = f"upgrade {len(self.state.upgrades) + 1}", self._proxy.pid
        self._name_server()  # going back has left another one there
        began = time.monotonic()
        answer = self._ask("upgrade")
        if not answer.get("ok"):
            self.state.faults.append(f"{name}: {answer.get('error')}")
            return
        upgrade = Upgrade(began, time.monotonic(), answer)
        upgrade.add_to(self.state.timeline, name)
        self.state.upgrades.append(upgrade)
        self._knows_way_back = False
        self.state.faults.extend(f"{name}: {each}" for each in self._left_by(before, answer))

    def _left_by(self, before: int, answer: dict[str, Any]) -> list[str]:
        if answer["stayed"]:
            return []
        try:
            wait_until(lambda: self._proxy.has_ended(before), "it ends", START_S)
        except CouldNotRun:
            return [f"process {before}, of which nobody is a client any more, does not end"]
        return []

    def _note_waits(self, load: LoadProcess) -> None:
        for began, ended in load.waits():
            for upgrade in self.state.upgrades[-2:]:  # what fell into the one before may be told late
                upgrade.waited(began, ended)

    def _move_once(self) -> None:
        old, new = self._servers
        number, restarted = len(self.state.reports) + 1, time.monotonic()
        name = f"switchover {number}"
        self._get_ready(new)
        asked = time.monotonic()
        self.state.timeline.add(restarted, asked, name, "getting the next server ready")
        answer = self._move(old, new)
        if not answer.get("ok"):
            self.state.faults.append(f"{name}: {answer.get('error')}")
            return
        self._note_report(answer["report"], asked, name, new)
        self._servers = [new, old]
        self._knows_way_back = True

    @property
    def _goes_back(self) -> bool:
        """Whether the next switchover goes to the server before.

        The file stays as it is, unless an upgrade has come between: the new process knows of no server before.
        """
        return self.state.options.back and len(self.state.reports) % 2 == 1

    def _get_ready(self, new: RedisServer) -> None:
        """Have the next server ready: empty, or following, if it is the one before."""
        if self._goes_back:
            follows = "the server before follows"
            wait_until(lambda: new.replication().get("master_link_status") == "up", follows, START_S)
            if not self._knows_way_back:
                self._proxy.write(new.address, mode="replicate")  # it follows, also after a copy
            return
        new.end()
        new.start()
        self._proxy.write(new.address)

    def _move(self, old: RedisServer, new: RedisServer) -> dict[str, Any]:
        taken_over = has_the_copy if self.state.options.mode == "copy" else WasPromoted()
        killer = PrimaryKiller(old, new, taken_over) if self.state.options.kill else None
        try:
            if self.state.options.manual:
                return self._move_manually()
            return self._ask("switchover", **({"back": "1"} if self._goes_back and self._knows_way_back else {}))
        finally:
            if killer is not None:
                killer.end()
                old.end(signal.SIGKILL)

    def _wrong(self, report: dict[str, Any], new: RedisServer) -> list[str]:
        self.state.gone += any(text.startswith("the old server is gone") for text in report.get("warnings", []))
        closed = report.get("clients_closed")
        return [*([f"disconnected: it closed clients: {closed}"] if closed else []), *self._data.faults(new)]

    def _note_report(self, report: dict[str, Any], asked: float, name: str, new: RedisServer) -> None:
        """A move is done. @param asked: when it was asked for. @param new: the server in use now."""
        self.state.reports.append(report)
        self.state.timeline.add_steps(asked, name, report.get("steps", []))
        self.state.faults.extend(f"{name}: {each}" for each in self._wrong(report, new))

    def _move_manually(self) -> dict[str, Any]:
        """Do by hand what a switchover does: replicate, pause, catch up, promote, reload, unpause."""
        old, new = self._servers
        new.ask("REPLICAOF", "127.0.0.1", str(old.port))
        in_sync = "the new server is in sync"
        wait_until(lambda: new.replication().get("master_link_status") == "up", in_sync, ADMIN_S)
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

    def _ask(self, command: str, **fields: str) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self._proxy.admin_port, timeout=ADMIN_S)
        try:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request("POST", "/cmd/", urlencode({"cmd": command, **fields}), headers)
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer
        except (OSError, ValueError, http.client.HTTPException) as error:
            return {"ok": False, "error": f"the admin endpoint does not answer: {error}"}
        finally:
            connection.close()

    def end(self) -> None:
        """End every process."""
        if self._load is not None:
            self._load.end()
        self._proxy.end()
        for server in self._servers:
            server.end()
