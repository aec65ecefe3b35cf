"""How long clients have waited: a histogram that is filled with all that were let go at the same time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the buckets, inclusive; one more is for longer waits."""


class Waits:
    """How many waits there were in each bucket.

    @ivar counts: by bucket. @ivar total_us: of all of them together.
    """

    __slots__ = ("counts", "total_us")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.total_us = 0

    def add(self, seconds: float) -> None:
        """Somebody has waited for so long."""
        seconds = max(seconds, 0.0)
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.total_us += round(seconds * 1e6)

    def add_all(self, since: Sequence[float], now: float) -> None:
        """These have waited until now; in order, so that no step is needed for each.

        @param since: when each began to wait, ascending.
        """
        right = len(since)
        for number, bound in enumerate(BOUNDS_S):
            left = bisect_left(since, now - bound, 0, right)
            self.counts[number] += right - left
            right = left
        self.counts[-1] += right
        self.total_us += max(round((now * len(since) - sum(since)) * 1e6), 0)
