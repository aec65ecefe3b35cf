"""How long to wait before the next attempt: doubling, bounded, with jitter."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """One series of attempts.

    @param jitter: a number between two others; what is waited is multiplied with it.
    """

    def __init__(self, min_s: float, max_s: float, jitter: Callable[[float, float], float]) -> None:
        self._min_s = min_s
        self._max_s = max_s
        self._jitter = jitter
        self._failures = 0

    def next_s(self) -> float:
        """After one more failure."""
        delay_s = min(self._max_s, self._min_s * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return delay_s * self._jitter(0.5, 1.0)

    def lasted(self, seconds: float) -> None:
        """Begin again when what had been reached lasted longer than the longest wait."""
        if seconds > self._max_s:
            self.reset()

    def reset(self) -> None:
        """It worked."""
        self._failures = 0
