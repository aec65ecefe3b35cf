"""Waits: for several things at once, and for one that is not to be cut short."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, DeferredList, FirstError, ensureDeferred
from twisted.python.failure import Failure

T = TypeVar("T")


async def all_settled(works: Sequence[Deferred[T]]) -> list[tuple[bool, Any]]:
    """Wait until each has come to its end; what came of each: whether it is good, and the result or C{Failure}.

    @raise CancelledError: the wait was cancelled. C{DeferredList} alone makes failures like any other of that, and who
        waits would go on as if nothing had happened.
    """
    settling = DeferredList(works, consumeErrors=True)
    waits: list[Deferred[list[tuple[bool, Any]]]] = [Deferred(), Deferred()]
    settling.addCallback(lambda results: waits[-1].callback(results))
    try:
        results = await waits[-1]
    except CancelledError:
        waits.pop()
        settling.cancel()
        await waits[-1]  # a work that is carried out all the same does not tell that it was cancelled
        raise
    if any(not good and value.check(CancelledError) for good, value in results):
        raise CancelledError
    return results


def first_cause(error: FirstError) -> str:
    """What made C{gatherResults} fail.

    @raise CancelledError: it was cancelled, which is a failure like any other to it, and none to who waits.
    """
    if error.subFailure.check(CancelledError):
        raise CancelledError from None
    return error.subFailure.getErrorMessage()


async def shielded(work: Coroutine[Deferred[Any], Any, T]) -> T:
    """Wait for `work` also when the wait is cancelled; only a second time that reaches it."""
    working = ensureDeferred(work)
    waits: list[Deferred[T]] = [Deferred(lambda _: working.cancel()), Deferred()]

    def over(result: T | Failure) -> None:
        waits[-1].callback(result)

    working.addBoth(over)
    try:
        return await waits[-1]
    except CancelledError:
        if working.called:
            raise
        waits.pop()
    return await waits[-1]


async def carried_out(work: Coroutine[Deferred[Any], Any, T]) -> T:
    """Wait for `work`, however often the wait is cancelled: for what can't be taken back, and ends by itself."""
    working = ensureDeferred(work)
    waits: list[Deferred[T]] = [Deferred()]
    working.addBoth(lambda result: waits[-1].callback(result))
    while True:
        try:
            return await waits[-1]
        except CancelledError:
            if working.called:
                raise
            waits.append(Deferred())
