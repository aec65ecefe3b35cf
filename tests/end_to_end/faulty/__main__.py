"""C{redisproxy switch-test} with a fault between the clients and the proxy: its name, then the options."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redisproxy import cli
from redisproxy.switch_test import run
from redisproxy.switch_test.processes import Process, ProxyServer, free_port, listens, wait_until


class FaultyProxy(ProxyServer):
    """The proxy behind a relay; the clients know only the relay's port."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(folder, settings)
        self._inner = free_port()
        self._relay: Process | None = None
        self._where = folder

    def write(self, uplink: str | Mapping[str, Any], **switchover: Any) -> None:
        outer, self.port = self.port, self._inner
        super().write(uplink, **switchover)
        self.port = outer

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.end_to_end.faulty.relay", FAULT, str(self.port), str(self._inner)]
        self._relay = Process("relay", self._where, command)
        wait_until(lambda: listens(self.port), "the relay listens")
        super().start()
        wait_until(lambda: listens(self._inner), "the proxy listens")

    def end(self) -> None:
        if self._relay is not None:
            self._relay.end()
        super().end()


if __name__ == "__main__":
    FAULT = sys.argv.pop(1)
    os.environ["PYTHONPATH"] = str(Path.cwd())  # for the relay, which is started elsewhere
    run.ProxyServer = FaultyProxy  # type: ignore[attr-defined]
    cli.main(["switch-test", *sys.argv[1:]])
