"""Waiting for several things: each has its own outcome, and a cancelled wait is cancelled."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, FirstError, ensureDeferred, fail, gatherResults
from twisted.python.failure import Failure

from redisproxy.net.deferreds import all_settled, carried_out, first_cause, shielded


def test_each_outcome_is_told() -> None:
    late: Deferred[int] = Deferred()
    outcomes: list[Any] = []
    ensureDeferred(all_settled([fail(ValueError("x")), late])).addCallback(outcomes.extend)
    assert not outcomes
    late.callback(7)
    assert not outcomes[0][0] and outcomes[0][1].check(ValueError) and outcomes[1] == (True, 7)


def test_a_wait_that_is_cancelled_is_not_over_as_if_nothing_had_happened() -> None:
    works: list[Deferred[int]] = [Deferred(), Deferred()]
    failed: list[Any] = []
    waiting = ensureDeferred(all_settled(works)).addErrback(failed.append)
    waiting.cancel()
    assert failed[0].check(CancelledError) and all(work.called for work in works)


def test_a_wait_that_is_cancelled_ends_with_works_that_are_carried_out_all_the_same() -> None:
    work: Deferred[int] = Deferred()

    async def working() -> int:
        return await work

    failed: list[Any] = []
    waiting = ensureDeferred(all_settled([ensureDeferred(shielded(working()))])).addErrback(failed.append)
    waiting.cancel()
    assert not failed
    work.callback(7)
    assert failed[0].check(CancelledError)


def _first_error(gathered: Deferred[Any]) -> FirstError:
    failed: list[Failure] = []
    gathered.addErrback(failed.append)
    gathered.cancel()
    assert isinstance(failed[0].value, FirstError)
    return failed[0].value


def test_what_made_one_of_several_fail_is_told() -> None:
    assert first_cause(_first_error(gatherResults([fail(ValueError("x"))], consumeErrors=True))) == "x"


def test_several_that_are_cancelled_have_not_failed() -> None:
    works: list[Deferred[int]] = [Deferred(), Deferred()]
    with pytest.raises(CancelledError):
        first_cause(_first_error(gatherResults(works, consumeErrors=True)))


async def _wait_for(work: Deferred[int]) -> int:
    return await work + 1


def test_what_must_be_done_is_done_although_the_wait_for_it_is_cancelled() -> None:
    work: Deferred[int] = Deferred()
    results: list[Any] = []
    waiting = ensureDeferred(shielded(_wait_for(work))).addBoth(results.append)
    waiting.cancel()
    assert not work.called and not results
    work.callback(7)
    assert results == [8]


def test_a_second_cancelling_reaches_it() -> None:
    work: Deferred[int] = Deferred()
    results: list[Any] = []
    waiting = ensureDeferred(shielded(_wait_for(work))).addBoth(results.append)
    waiting.cancel()
    waiting.cancel()
    assert work.called and results[0].check(CancelledError)


def test_its_failure_is_told() -> None:
    work: Deferred[int] = Deferred()
    results: list[Any] = []
    ensureDeferred(shielded(_wait_for(work))).addBoth(results.append)
    work.errback(ValueError("x"))
    assert results[0].check(ValueError)


@pytest.mark.parametrize("times", [0, 1, 2, 5])
@pytest.mark.parametrize("good", [True, False])
def test_what_is_carried_out_is_waited_for_however_often_it_is_cancelled(times: int, good: bool) -> None:
    work: Deferred[int] = Deferred()

    async def working() -> int:
        return await work

    outcome: list[Any] = []
    waiting = ensureDeferred(carried_out(working())).addBoth(outcome.append)
    for _ in range(times):
        waiting.cancel()
    assert not outcome and not work.called
    work.callback(7) if good else work.errback(Failure(ValueError("x")))
    assert outcome == [7] if good else outcome[0].check(ValueError)
