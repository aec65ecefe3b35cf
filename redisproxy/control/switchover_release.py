"""What the report of a switchover or a failover says of the clients that were held."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redisproxy.control.answers import Answer
    from redisproxy.dataplane.interface import Release


def released(release: Release, before: Mapping[str, int]) -> Answer:
    """How long clients were held, how many had to wait, and how many were closed.

    @param before: how many had been closed before, by reason.
    """
    closed = {why: count - before.get(why, 0) for why, count in release.clients_closed.items()}
    return {
        "pause_ms": round((release.closed_s or 0.0) * 1000, 2),
        "held": release.held,
        "longest_wait_ms": round(release.longest_wait_s * 1000, 2),
        "clients_closed": {why: count for why, count in closed.items() if count > 0},
        "held_course": [[round(at_s * 1000, 2), held] for at_s, held in release.held_course],
    }
