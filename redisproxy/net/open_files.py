"""How many files this process may have open: a client takes one, and another one while it is blocked or subscribed."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redisproxy.config import Settings

OTHERS = 100
"""Ports, logs, shared connections, admin pages."""


def raise_limit() -> int:
    """Raise the soft limit to the hard one, as Redis does; the limit now."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def shortage(settings: Settings, limit: int) -> str:
    """What an operator should know of a `limit` that is too low for the settings; empty when it is not."""
    limits = settings.limits
    pinned = min(settings.uplink.max_pinned, limits.max_clients)
    raw = 2 * limits.max_raw_connections if settings.listen_raw else 0
    needed = limits.max_clients + pinned + raw + OTHERS
    if limit in (-1, resource.RLIM_INFINITY) or limit >= needed:
        return ""
    return (
        f"only {limit} files may be open (ulimit -n, LimitNOFILE=), and limits.max_clients with uplink.max_pinned may"
        f" take {needed}: past that, clients wait"
    )
