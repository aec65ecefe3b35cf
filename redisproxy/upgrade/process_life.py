"""Whether another process lives, and its end: by a descriptor of it, so that its number can't mean another one."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress


class ProcessLife:
    """A process that need not be a child of this one. Linux has a descriptor for each (pidfd_open(2))."""

    def __init__(self, pid: int) -> None:
        try:
            self._descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            self._descriptor = -1

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        if self._descriptor < 0:
            return True
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(0))

    def kill(self) -> None:
        """End it at once."""
        if self._descriptor >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def forget(self) -> None:
        """Look after it no more."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
