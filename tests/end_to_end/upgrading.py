"""A proxy that is upgraded in tests: its processes come one after the other, and only the first is this one's child."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Any

from tests.end_to_end.harness import Proxy, wait_until


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and that nobody has asked about does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Upgraded(Proxy):
    """A real twistd with the proxy.

    @ivar pid: of the process in charge. @ivar pids: of all so far.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.pid = self.process.pid
        self.pids = [self.pid]

    def upgrade(self) -> dict[str, Any]:
        """Upgrade; the answer. The process before has ended then, unless clients have stayed there."""
        old, answer = self.pid, self.do("upgrade")
        self.pid = int(answer["pid"])
        self.pids.append(self.pid)
        assert self.pid != old and alive(self.pid)
        if not answer["stayed"]:
            self.wait_for_the_end_of(old)
        return answer

    def wait_for_the_end_of(self, pid: int) -> None:
        """Wait; the exit code of the first process has to be 0."""
        wait_until(lambda: not alive(pid), f"process {pid} ends")
        if pid == self.process.pid:
            assert self.process.wait(10) == 0

    def stop(self, how: int = signal.SIGTERM) -> int:
        """End the one in charge and all others that are left."""
        for pid in reversed(self.pids):
            if alive(pid):
                os.kill(pid, how)
                with suppress(AssertionError):
                    wait_until(lambda pid=pid: not alive(pid), "it ends")
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        code = super().stop(how)
        assert "Traceback" not in self.log and "Unhandled" not in self.log, self.log
        return code
