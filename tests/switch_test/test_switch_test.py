"""What the switch-test makes of what it has seen."""

from __future__ import annotations

from collections import Counter

import pytest

from redisproxy.switch_test.connection import Broken
from redisproxy.switch_test.latency import Latency
from redisproxy.switch_test.ledger import Ledger, expect_count, expect_elements
from redisproxy.switch_test.options import Options
from redisproxy.switch_test.result import distribution, repeat
from redisproxy.switch_test.timeline import Timeline, in_words


def test_a_job_that_was_delivered_or_is_still_queued_is_no_fault() -> None:
    ledger = Ledger()
    ledger.pushed = {b"a", b"b"}
    ledger.delivered = Counter([b"a"])
    assert list(ledger.faults([b"b"])) == []


def test_lost_doubled_and_unknown_jobs_are_named() -> None:
    ledger = Ledger()
    ledger.pushed = {b"lost-one", b"twice"}
    ledger.delivered = Counter([b"twice", b"twice", b"stranger"])
    faults = {text.split(":")[0]: text for text in ledger.faults([])}
    assert faults.keys() == {"lost", "doubled", "unknown"}
    assert "lost-one" in faults["lost"] and "twice" in faults["doubled"] and "stranger" in faults["unknown"]


def test_two_transactions_that_wrote_the_same_version_are_a_fault() -> None:
    ledger = Ledger()
    ledger.commit(1, 7)
    ledger.commit(2, 7)
    with pytest.raises(Broken, match="version 7 of register:1") as found:
        ledger.commit(1, 7)
    assert found.value.kind == "watch"


@pytest.mark.parametrize(("got", "kind"), [(4, "lost"), (6, "doubled"), (None, "wrong"), (b"5", "wrong")])
def test_a_count_that_is_not_what_was_acknowledged_is_named(got: object, kind: str) -> None:
    expect_count(5, 5, "a count")
    with pytest.raises(Broken) as found:
        expect_count(got, 5, "a count")
    assert found.value.kind == kind


@pytest.mark.parametrize(
    ("got", "kind"),
    [([b"a"], "lost"), ([b"a", b"b", b"b"], "doubled"), ([b"b", b"a"], "misordered"), ([b"a", b"b", b"x"], "wrong")],
)
def test_a_list_that_is_not_what_was_acknowledged_is_named(got: list[bytes], kind: str) -> None:
    expect_elements([b"a", b"b"], [b"a", b"b"], "a list")
    with pytest.raises(Broken) as found:
        expect_elements(got, [b"a", b"b"], "a list")
    assert found.value.kind == kind


def test_pauses_are_summed_up() -> None:
    pauses = [float(each) for each in range(1, 101)]
    assert distribution(pauses) == {"min": 1.0, "median": 50.5, "p99": 99.0, "max": 100.0}
    assert distribution([]) == {}


def test_the_longest_waits_are_kept_and_quantiles_are_near() -> None:
    waits = Latency()
    observe = waits.observer("counts")
    for ms in range(1, 1001):
        observe(10.0, 10.0 + ms / 1000, "INCR")
    told = waits.told()
    assert [each["ms"] for each in told["longest"][:2]] == [1000.0, 999.0]
    assert told["longest"][0]["load"] == "counts" and told["longest"][0]["command"] == "INCR"
    assert 500 <= told["quantiles_ms"]["median"] <= 530 and 990 <= told["quantiles_ms"]["p99"] <= 1050


def test_a_wait_is_told_with_what_went_on_meanwhile() -> None:
    timeline = Timeline()
    timeline.add_steps(10.0, 3, [{"name": "drain", "ms": 20}, {"name": "swap", "ms": 5}])
    wait = {"began": 10.01, "ended": 10.125, "ms": 115.0, "load": "watches", "command": "EXEC"}
    late = [{"began": 10.05, "ended": 10.08}, {"began": 11.0, "ended": 11.5}]
    told = timeline.explain(wait, late)
    assert told["switchover"] == 3 and told["load_late_ms"] == 30.0
    assert told["during"] == {"between switchovers": 100.0, "drain": 10.0, "swap": 5.0}
    words = "EXEC of watches, switchover 3: between switchovers 100 ms, drain 10 ms, swap 5 ms"
    assert in_words(told) == f"{words}; the load itself was late by 30 ms"


def test_a_run_is_told_how_to_repeat_it() -> None:
    assert repeat(Options(seed=4, busy=7, kill=True)) == "redisproxy switch-test --seed 4 --kill --busy 7"
