"""The result of a run: pauses summed up, and how to repeat it."""

from __future__ import annotations

from redisproxy.switch_test.options import Options
from redisproxy.switch_test.result import distribution, repeat


def test_pauses_are_summed_up() -> None:
    pauses = [float(each) for each in range(1, 101)]
    assert distribution(pauses) == {"min": 1.0, "median": 50.5, "p99": 99.0, "max": 100.0}
    assert distribution([]) == {}


def test_a_run_is_told_how_to_repeat_it() -> None:
    assert repeat(Options(seed=4, busy=7, kill=True)) == "redisproxy switch-test --seed 4 --kill --busy 7"
