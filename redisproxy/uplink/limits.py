"""What bounds the connections to one Redis server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UplinkLimits:
    """What bounds a set; times in seconds. With C{ping_interval_s} 0 there are no pings."""

    connect_timeout_s: float = 5.0
    wait_limit_s: float = 10.0
    backoff_min_s: float = 0.05
    backoff_max_s: float = 2.0
    max_pinned: int = 10000
    ping_interval_s: float = 0.0
    ping_timeout_s: float = 5.0
