"""Waiting for several things: each has its own outcome, and a cancelled wait is cancelled."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, fail

from redisproxy.together import together


def test_each_outcome_is_told() -> None:
    late: Deferred[int] = Deferred()
    outcomes: list[Any] = []
    ensureDeferred(together([fail(ValueError("x")), late])).addCallback(outcomes.extend)
    assert not outcomes
    late.callback(7)
    assert not outcomes[0][0] and outcomes[0][1].check(ValueError) and outcomes[1] == (True, 7)


def test_a_wait_that_is_cancelled_is_not_over_as_if_nothing_had_happened() -> None:
    works: list[Deferred[int]] = [Deferred(), Deferred()]
    failed: list[Any] = []
    waiting = ensureDeferred(together(works)).addErrback(failed.append)
    waiting.cancel()
    assert failed[0].check(CancelledError) and all(work.called for work in works)
