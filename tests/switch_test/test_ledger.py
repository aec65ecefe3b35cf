"""What clients were promised, compared with what there is."""

from __future__ import annotations

from collections import Counter

import pytest

from redisproxy.switch_test.connection import Broken
from redisproxy.switch_test.ledger import Ledger, expect_count, expect_elements


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
