"""The wait between two attempts to connect, longer after each failure."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from redisproxy.uplink.limits import UplinkLimits


class Backoff:
    """Exponential backoff with jitter.

    @param jitter: a number between two others; the wait before the next attempt is multiplied with it.
    @param again: called when it is time for the next attempt.
    """

    def __init__(
        self,
        clock: IReactorTime,
        limits: UplinkLimits,
        jitter: Callable[[float, float], float],
        again: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._limits = limits
        self._jitter = jitter
        self._again = again
        self._failures = 0
        self._retry: IDelayedCall | None = None

    @property
    def waiting(self) -> bool:
        """Whether the next attempt has to wait."""
        return self._retry is not None

    def failed(self) -> None:
        """An attempt has failed; those that were under way with it count no more than it does."""
        if self._retry is None:
            limits = self._limits
            delay_s = min(limits.backoff_max_s, limits.backoff_min_s * 2 ** min(self._failures, 16))
            self._failures += 1
            self._retry = self._clock.callLater(delay_s * self._jitter(0.5, 1.0), self._over)

    def _over(self) -> None:
        self._retry = None
        self._again()

    def succeeded(self) -> None:
        """An attempt has succeeded: nothing has to wait, and the next failure is the first one."""
        self._failures = 0
        self.cancel()

    def cancel(self) -> None:
        """Wait no more, and do not call."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
