"""Waits for several things at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, DeferredList

T = TypeVar("T")


async def together(works: Sequence[Deferred[T]]) -> list[tuple[bool, Any]]:
    """Wait until each has come to its end; what came of each: whether it is good, and the result or C{Failure}.

    @raise CancelledError: the wait was cancelled. C{DeferredList} alone makes failures like any other of that, and who
        waits would go on as if nothing had happened.
    """
    results: list[tuple[bool, Any]] = await DeferredList(works, consumeErrors=True)
    if any(not good and value.check(CancelledError) for good, value in results):
        raise CancelledError
    return results
