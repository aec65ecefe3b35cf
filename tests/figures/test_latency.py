"""Percentiles that are read off histograms."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from random import Random

import pytest

from redisproxy.figures.latency import BOUNDS_NS, SHOWN, percentile_ms


def buckets(times_ns: list[float]) -> list[tuple[int, int]]:
    return sorted(Counter(bisect_left(BOUNDS_NS, time) for time in times_ns).items())


def test_nothing_measured_has_no_percentile() -> None:
    assert percentile_ms([], 0.5) is None and percentile_ms([(3, 0)], 0.99) is None


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("typical_ns", [50e3, 1e6, 20e6, 3e9])
def test_a_percentile_is_right_within_ten_percent(share: float, typical_ns: float) -> None:
    chance = Random(7)
    times = sorted(chance.lognormvariate(0, 0.7) * typical_ns for _ in range(20000))
    found = percentile_ms(buckets(times), share)
    assert found == pytest.approx(times[int(share * len(times))] / 1e6, rel=0.1)


def test_what_takes_longer_than_any_bucket_counts_as_the_largest_bound() -> None:
    assert percentile_ms(buckets([200e9]), 0.5) == 80_000


def test_prometheus_gets_the_usual_bounds() -> None:
    shown = [BOUNDS_NS[number] / 1e9 for number in SHOWN]
    assert shown[:6] == [1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4] and shown[-1] == 50
    assert list(BOUNDS_NS) == sorted(BOUNDS_NS)
