"""The pause of a switchover: when it has begun, and how much of its budget is left."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime

if TYPE_CHECKING:
    from redisproxy.switchover.cut import Cut
    from redisproxy.switchover.report import Report

T = TypeVar("T")
ROLLBACK_SHARE = 0.2
"""The part of the pause budget that is kept for rolling back."""
HOLD_S = 1.0


class Pause:
    """Holds the clients once, and lets them go on once.

    @param budget_s: how long it may last.
    """

    def __init__(self, cut: Cut, budget_s: float, clock: IReactorTime) -> None:
        self._cut = cut
        self._budget_s = budget_s
        self._clock = clock
        self._began: float | None = None

    @property
    def lasts(self) -> bool:
        """Whether the clients are held."""
        return self._began is not None

    async def begin(self) -> None:
        """Hold the clients. Whether or not that fails, L{end} is called."""
        self._began = self._clock.seconds()
        await self._cut.hold()

    async def end(self) -> Report:
        """Let the clients go on, if they are held; what is to be told of the pause."""
        if self._began is None:
            return {}
        self._began = None
        return await self._cut.release()

    async def within(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        """Wait for `work`, at most for what is left of the budget.

        @raise TimeoutError: it was not enough.
        """
        assert self._began is not None
        left = self._began + self._budget_s * (1 - ROLLBACK_SHARE) - self._clock.seconds()
        working: Deferred[T] = ensureDeferred(work)
        return await working.addTimeout(max(0.0, left), self._clock)

    @property
    def may_last_until(self) -> float | None:
        """How long to hold the clients for the fence's sake: behind it they would get errors. None without a pause."""
        if self._began is None:
            return None
        return max(self._began + self._budget_s, self._clock.seconds() + HOLD_S)
