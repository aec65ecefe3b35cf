"""The fence: a value of C{min-replicas-to-write} so high that a server refuses writes. Pure.

The value says itself what was there before, so that the fence is recognised and lifted after a crash, too.
"""

from __future__ import annotations

FENCE = 1_000_000_000
"""Added to C{min-replicas-to-write}: no server has as many replicas, and the value before can be read off."""
LAG_WAS_OFF = 500_000_000
"""Added as well when C{min-replicas-max-lag} was 0, with which the fence would have no effect."""
MAX_REPLICAS = 1_000_000


def is_fence(min_replicas: int) -> bool:
    """Whether this C{min-replicas-to-write} is a fence of the proxy."""
    return min_replicas >= FENCE


def fence_value(min_replicas: int, max_lag: int | None) -> int:
    """The C{min-replicas-to-write} that fences a server and tells what it was before.

    @param max_lag: the server's C{min-replicas-max-lag}; None when it does not tell.
    """
    return FENCE + min(min_replicas, MAX_REPLICAS) + (LAG_WAS_OFF if max_lag == 0 else 0)


def before_fence(value: int) -> tuple[int, bool]:
    """What C{min-replicas-to-write} was before the fence, and whether C{min-replicas-max-lag} was 0."""
    if value < FENCE:
        return value, False
    left = value - FENCE
    return left % LAG_WAS_OFF, left >= LAG_WAS_OFF


def fence_commands(min_replicas: int, max_lag: int | None) -> list[tuple[str, str, str, int]]:
    """The commands that put up the fence."""
    lag = [("CONFIG", "SET", "min-replicas-max-lag", 10)] if max_lag == 0 else []
    return [*lag, ("CONFIG", "SET", "min-replicas-to-write", fence_value(min_replicas, max_lag))]


def unfence_commands(fenced: int) -> list[tuple[str, str, str, int]]:
    """The commands that lift the fence; `fenced` is the C{min-replicas-to-write} that is in force."""
    value, lag_was_off = before_fence(fenced)
    lag = [("CONFIG", "SET", "min-replicas-max-lag", 0)] if lag_was_off else []
    return [("CONFIG", "SET", "min-replicas-to-write", value), *lag]
