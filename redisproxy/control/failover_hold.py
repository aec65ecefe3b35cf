"""Holds the clients, for a bounded time, while the sentinels change the primary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.dataplane.interface import FAILOVER, DataPlaneLost

if TYPE_CHECKING:
    from redisproxy.control.holding import Holding


LATE_S = 0.5
LOOK_S = 1.0
"""For so long a process that stood still waits for news of the primary; again if it stands still in that time, too."""


class FailoverHold:
    """The old primary still takes writes between a promotion and the first news of it, and they would be lost.

    @ivar suspended: somebody else holds the clients for this failover.
    """

    log = Logger(namespace="redisproxy.sentinel")

    def __init__(self, holding: Holding, clock: IReactorTime) -> None:
        self._holding = holding
        self._clock = clock
        self._timer: IDelayedCall | None = None
        self._since = self._missed_until = 0.0
        self.suspended = False

    @property
    def ms(self) -> float | None:
        """How long it has lasted; None when nobody is held."""
        return None if self._timer is None else round((self._clock.seconds() - self._since) * 1000, 1)

    def begin(self, limit_s: float) -> None:
        """Hold them, for `limit_s` at the most. One that has begun is not made longer."""
        if self.suspended:
            self._missed_until = self._clock.seconds() + limit_s
        elif self._timer is None and limit_s:
            self._since = self._clock.seconds()
            self._holding.hold(FAILOVER).addErrback(self._failed)
            self._timer = self._clock.callLater(limit_s, self._over, self._since + limit_s)

    def suspend(self) -> None:
        """Hold nobody from now on: somebody else does."""
        self.suspended, self._missed_until = True, 0.0

    def resume(self) -> None:
        """Whoever held them has done nothing about the failover: hold them for one that was told of meanwhile."""
        left_s = self._missed_until - self._clock.seconds() if self.suspended else 0.0
        self.suspended = False
        if left_s > 0:
            self.begin(left_s)

    def _over(self, due: float) -> None:
        """The time is over; who stood still has not heard what there was to hear, and reads would be stale."""
        now = self._clock.seconds()
        if now - due >= LATE_S:
            self._timer = self._clock.callLater(LOOK_S, self._over, now + LOOK_S)
        else:
            self.end()

    def end(self) -> None:
        """Let them go on, if they are held."""
        timer, self._timer, self._missed_until = self._timer, None, 0.0
        if timer is None:
            return
        if timer.active():
            timer.cancel()
        self._holding.release(FAILOVER).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        if failure.check(DataPlaneLost):
            self.log.warn("the clients are not held for a failover: {error}", error=failure.getErrorMessage())
        else:
            self.log.failure("holding the clients for a failover failed", failure=failure)
