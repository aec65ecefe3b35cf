"""The fence: a value of C{min-replicas-to-write} with which a server refuses writes, and which can be taken back.

It needs no other record than itself, so that it is recognised and undone after a crash. Pure.
"""

from __future__ import annotations

FENCE = 1_000_000_000
"""What the fence adds to C{min-replicas-to-write}: no server has as many replicas, and the value before can be told."""
LAG_WAS_OFF = 500_000_000
"""Added when C{min-replicas-max-lag} was 0, which would switch the fence off."""
MAX_REPLICAS = 1_000_000


def is_fence(min_replicas: int) -> bool:
    """Whether a C{min-replicas-to-write} is a fence of ours."""
    return min_replicas >= FENCE


def fence_value(min_replicas: int, max_lag: int | None) -> int:
    """The C{min-replicas-to-write} that fences a server and remembers what it was.

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
    """What puts up the fence."""
    lag = [("CONFIG", "SET", "min-replicas-max-lag", 10)] if max_lag == 0 else []
    return [*lag, ("CONFIG", "SET", "min-replicas-to-write", fence_value(min_replicas, max_lag))]


def unfence_commands(fenced: int) -> list[tuple[str, str, str, int]]:
    """What takes the fence back; `fenced` is the C{min-replicas-to-write} that is in force."""
    value, lag_was_off = before_fence(fenced)
    lag = [("CONFIG", "SET", "min-replicas-max-lag", 0)] if lag_was_off else []
    return [("CONFIG", "SET", "min-replicas-to-write", value), *lag]
