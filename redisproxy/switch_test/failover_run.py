"""One run of the switch-test in which sentinels are told to fail over, again and again, instead of switchovers."""

from __future__ import annotations

import time
from pathlib import Path

from redisproxy.switch_test.options import Options
from redisproxy.switch_test.processes import RedisServer, wait_until
from redisproxy.switch_test.run import START_S, Run
from redisproxy.switch_test.sentinels import Sentinels

NAMES = ("redis-a", "redis-b", "redis-c")


class FailoverRun(Run):
    """One run, which owns its processes; the first of its servers is the primary."""

    def __init__(self, options: Options, folder: Path) -> None:
        super().__init__(options, folder)
        self._servers = [RedisServer(name, folder, options.program_a) for name in NAMES]
        self._sentinels = Sentinels(folder, self._servers[0].program)

    def _start_servers(self) -> None:
        for server in self._servers:
            server.start()
        self._data.fill(self._servers[0])
        self._sentinels.start(self._servers)
        self._name_server()

    def _name_server(self) -> None:
        self._proxy.write(self._sentinels.uplink)

    def _move_once(self) -> None:
        name, waiting = f"failover {len(self.state.reports) + 1}", time.monotonic()
        wait_until(lambda: bool(self._ask("failover", dry_run="1").get("ok")), "a failover is possible", START_S)
        asked = time.monotonic()
        self.state.timeline.add(waiting, asked, name, "waiting until the sentinels have settled")
        answer = self._ask("failover")
        if not answer.get("ok"):
            self.state.faults.append(f"{name}: {answer.get('error')}")
            return
        new = next(each for each in self._servers if each.address == answer["report"]["to"])
        self._servers.sort(key=lambda each: each is not new)
        self._note_report(answer["report"], asked, name, new)

    def end(self) -> None:
        """End every process."""
        super().end()
        self._sentinels.end()
