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
    UPGRADE = "upgrade"
    FLEET = "fleet"
    FAILOVER = "failover"

    @property
    def many(self) -> bool:
        """Whether there are workers."""
        return self not in (Mode.ONE_PROCESS, Mode.BOUNDARY)
