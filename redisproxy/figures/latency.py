"""How long commands take: the buckets of the histograms, and what can be read off them.

The bounds are ten a decade (the series R10 of ISO 3), from 10 us to 80 s, so that a percentile is right within 10 %.
Those at 1, 2.5 and 5 of each decade are the usual ones of Prometheus, which gets only them.
"""

from __future__ import annotations

from collections.abc import Iterable

_SERIES = (100, 125, 160, 200, 250, 315, 400, 500, 630, 800)
_SHOWN = (100, 250, 500)
BOUNDS_NS = tuple(step * int(10**power) for power in range(2, 9) for step in _SERIES)
"""Upper bounds, inclusive; one more bucket is for what took longer."""
SHOWN = tuple(number for number, bound in enumerate(BOUNDS_NS) if int(str(bound)[:3]) in _SHOWN)
"""The numbers of the buckets whose bounds Prometheus gets."""
MS = 1_000_000


def percentile_ms(buckets: Iterable[tuple[int, int]], share: float) -> float | None:
    """The time within which this share of the commands was answered; None without any.

    Within a bucket the commands count as spread evenly.

    @param buckets: numbers of buckets in order, each with how many are in it. @param share: from 0 to 1.
    """
    counted = [(number, count) for number, count in buckets if count]
    left = share * sum(count for _, count in counted)
    for number, count in counted:
        if left <= count:
            return round(_between(number, left / count) / MS, 4)
        left -= count
    return round(_between(counted[-1][0], 1.0) / MS, 4) if counted else None


def _between(number: int, share: float) -> float:
    lower = BOUNDS_NS[number - 1] if number else 0
    upper = BOUNDS_NS[min(number, len(BOUNDS_NS) - 1)]
    return float(lower + (upper - lower) * share)
