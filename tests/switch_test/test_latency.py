"""How long clients waited."""

from __future__ import annotations

from redisproxy.switch_test.latency import Latency


def test_the_longest_waits_are_kept_and_quantiles_are_near() -> None:
    waits = Latency()
    observe = waits.observer("counts")
    for ms in range(1, 1001):
        observe(10.0, 10.0 + ms / 1000, "INCR")
    told = waits.told()
    assert [each["ms"] for each in told["longest"][:2]] == [1000.0, 999.0]
    assert told["longest"][0]["load"] == "counts" and told["longest"][0]["command"] == "INCR"
    assert 500 <= told["quantiles_ms"]["median"] <= 530 and 990 <= told["quantiles_ms"]["p99"] <= 1050


def test_of_each_moment_the_longest_wait_is_told_once() -> None:
    waits = Latency()
    observe = waits.observer("counts")
    observe(9.9, 10.0, "INCR")
    observe(9.5, 10.001, "INCR")
    observe(11.0, 11.5, "INCR")
    assert waits.told()["recent"] == [(9.5, 10.001), (11.0, 11.5)]
    assert waits.told()["recent"] == []
