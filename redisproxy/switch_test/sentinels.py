"""The sentinels of a switch-test, with the primary and the replicas that they watch."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redisproxy.switch_test.processes import Process, RedisServer, free_port, listens, wait_until

NAME = "switch-test"
COUNT, QUORUM = 3, 2
DOWN_AFTER_MS = 10_000
"""Nobody is to fail over but by order, also when the machine is busy."""
FAILOVER_TIMEOUT_MS = 4000


class Sentinel:
    """One of them. @param program: that of a server, which is a sentinel when it is told so."""

    def __init__(self, number: int, folder: Path, program: str) -> None:
        self.port = free_port()
        self._name, self._folder, self._program = f"sentinel-{number}", folder, program
        self._process: Process | None = None

    def start(self, primary: RedisServer) -> None:
        """Start it, and have it watch this primary."""
        data = self._folder / self._name
        data.mkdir()
        watched = {"down-after-milliseconds": DOWN_AFTER_MS, "failover-timeout": FAILOVER_TIMEOUT_MS}
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {data}"]
        lines.append(f"sentinel monitor {NAME} 127.0.0.1 {primary.port} {QUORUM}")
        lines += [f"sentinel {key} {NAME} {value}" for key, value in {**watched, "parallel-syncs": 2}.items()]
        path = data / "sentinel.conf"
        path.write_text("\n".join(lines))
        self._process = Process(self._name, self._folder, [self._program, str(path), "--sentinel"])
        wait_until(self._answers, f"{self._name} answers")

    def _answers(self) -> bool:
        assert self._process is not None
        return self._process.alive() and listens(self.port)

    def end(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.end(signal.SIGKILL)


def _follows(replica: RedisServer) -> bool:
    return replica.replication().get("master_link_status") == "up"


class Sentinels:
    """All of them."""

    def __init__(self, folder: Path, program: str) -> None:
        self._all = [Sentinel(number, folder, program) for number in range(1, COUNT + 1)]

    def start(self, servers: Sequence[RedisServer]) -> None:
        """Have all servers but the first follow it, and watch them."""
        primary, *replicas = servers
        for each in replicas:
            each.ask("REPLICAOF", "127.0.0.1", str(primary.port))
        wait_until(lambda: all(map(_follows, replicas)), "the replicas follow")
        for sentinel in self._all:
            sentinel.start(primary)

    @property
    def uplink(self) -> dict[str, Any]:
        """The section of that name for a proxy that follows them."""
        return {"sentinels": [f"127.0.0.1:{each.port}" for each in self._all], "master_name": NAME}

    def end(self) -> None:
        """End them."""
        for each in self._all:
            each.end()
