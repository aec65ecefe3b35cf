"""What the switch-test makes of what it has seen."""

from __future__ import annotations

from collections import Counter

from redisproxy.switch_test.clients import Ledger
from redisproxy.switch_test.run import distribution


def test_a_job_that_was_delivered_or_is_still_queued_is_no_fault() -> None:
    ledger = Ledger()
    ledger.pushed = {b"a", b"b"}
    ledger.delivered = Counter([b"a"])
    assert list(ledger.faults(Counter([b"b"]))) == []


def test_lost_doubled_and_unknown_jobs_are_named() -> None:
    ledger = Ledger()
    ledger.pushed = {b"lost-one", b"twice"}
    ledger.delivered = Counter([b"twice", b"twice", b"stranger"])
    faults = {text.split(":")[0]: text for text in ledger.faults(Counter())}
    assert faults.keys() == {"lost", "doubled", "unknown"}
    assert "lost-one" in faults["lost"] and "twice" in faults["doubled"] and "stranger" in faults["unknown"]


def test_pauses_are_summed_up() -> None:
    pauses = [float(each) for each in range(1, 101)]
    assert distribution(pauses) == {"min": 1.0, "median": 50.5, "p99": 99.0, "max": 100.0}
    assert distribution([]) == {}
