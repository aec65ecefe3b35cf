"""What is simulated besides one proxy in one process."""

from __future__ import annotations

from enum import Enum


class Mode(Enum):
    """How the proxy is spread over processes."""

    ONE_PROCESS = ""
    BOUNDARY = "boundary"
    WORKERS = "workers"
    HANDOVER = "handover"
    RESTART = "restart"

    @property
    def many(self) -> bool:
        """Whether there are workers."""
        return self in (Mode.WORKERS, Mode.HANDOVER, Mode.RESTART)
