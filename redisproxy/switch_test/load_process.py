"""The load seen from the test: starts the process, reads its figures, and ends it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from redisproxy.switch_test.options import Options
from redisproxy.switch_test.processes import CouldNotRun

END_S = 120.0
KEPT_WAITS = 20_000
"""The longest waits of some minutes."""


class LoadProcess:
    """The process of the load; C{state} is what it printed last."""

    def __init__(self, options: Options, port: int, folder: Path) -> None:
        command = [sys.executable, "-m", "redisproxy.switch_test.load", json.dumps(asdict(options)), str(port)]
        self._log = folder / "load.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
            )
        self.state: dict[str, Any] = {"done": 0, "delivered": 0, "faults": [], "fault_count": 0}
        self._waits: deque[tuple[float, float]] = deque(maxlen=KEPT_WAITS)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            state = json.loads(line)
            self._waits.extend((began, ended) for began, ended in state["waits"].pop("recent"))
            self.state = state

    def waits(self) -> Iterator[tuple[float, float]]:
        """The longest waits that the load has told since this was asked last: begin and end."""
        while self._waits:
            yield self._waits.popleft()

    def alive(self) -> None:
        """Check that it still runs.

        @raise CouldNotRun: it has ended by itself.
        """
        if self._process.poll() is not None:
            raise CouldNotRun(f"the load ended by itself: {self._log.read_text()[-500:]}")

    def working(self) -> bool:
        """Whether clients have begun to get replies."""
        self.alive()
        return bool(self.state["done"] or self.state["fault_count"])

    def finish(self, server_port: int) -> None:
        """Stop the clients, and have them compare everything with the server at this port."""
        self.alive()
        assert self._process.stdin is not None
        self._process.stdin.write(f"stop {server_port}\n")
        self._process.stdin.flush()
        self._reader.join(END_S)
        if not self.state.get("final"):
            raise CouldNotRun(f"the load gave no result: {self._log.read_text()[-500:]}")

    def end(self) -> None:
        """Kill the process if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
