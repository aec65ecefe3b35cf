"""The proxy whose processes are killed and take each other's place: which there are, and which one is in charge."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.end_to_end.harness import Proxy, wait_until
from tests.end_to_end.upgrading import alive

START_S = 60.0


class Replaced(Proxy):
    """A real twistd with the proxy, started again and again with the same plugin."""

    def begin_with(self, plugin: str, environment: dict[str, str]) -> None:
        """What it is started with from now on."""
        self._plugin, self._environment = plugin, environment

    @property
    def pid(self) -> int:
        """The process in charge."""
        with suppress(OSError, ValueError):
            if alive(pid := int(self.pidfile.read_text())):
                return pid
        return self.process.pid

    def processes(self) -> list[int]:
        """All that run with its configuration, but workers, the oldest first."""
        found = []
        for each in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if str(self.path).encode() in each.read_bytes() and b"twistd" in each.read_bytes():
                    found.append(int(each.parent.name))
        return sorted(pid for pid in found if alive(pid))

    def end(self, pid: int, how: int = signal.SIGKILL) -> None:
        """Signal one, and wait until it has ended."""
        with suppress(ProcessLookupError):
            os.kill(pid, how)
        if pid == self.process.pid:
            self.process.wait()
        wait_until(lambda: not alive(pid), f"process {pid} ends", START_S)

    def again(self) -> None:
        """Wait until a process is in charge; start it as a service manager does whenever none is left."""
        wait_until(self._serves, "a process is in charge", START_S)

    def _serves(self) -> bool:
        if not self.processes():
            self.pidfile.unlink(missing_ok=True)
            self.process = self._start(self._plugin, self._environment)
        with suppress(OSError):
            return self.get("/readyz")[0] == 200 and alive(int(self.pidfile.read_text()))
        return False

    def rss(self) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def stop(self, how: int = signal.SIGTERM) -> int:
        """End it; 0 if that took a moment only."""
        code = 0
        for pid in reversed(self.processes()):
            try:
                os.kill(pid, how)
                wait_until(lambda pid=pid: not alive(pid), "it ends", 30)
            except (AssertionError, ProcessLookupError):
                code = 1
        for pid in self.processes():
            self.end(pid)
        with suppress(subprocess.TimeoutExpired):
            own = self.process.wait(1)
            code = code or (0 if own == -signal.SIGKILL else own)
        return code
