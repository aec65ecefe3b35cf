"""Notices that this process did not run for a while: stopped by a signal, or starved by others."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import LoopingCall

TICK_S = 0.5
STALLED_S = 2.5
"""Half of what makes the other side of a link give it up."""
RECENTLY_S = 5.0


class Stalls:
    """Looks at the clock all the time."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._last: float = clock.seconds()
        self._stalled: float | None = None
        self._loop = LoopingCall(self._tick)
        self._loop.clock = clock

    def start(self) -> None:
        """Begin to look."""
        self._last = self._clock.seconds()
        self._loop.start(TICK_S, now=False)

    def stop(self) -> None:
        """Look no more."""
        if self._loop.running:
            self._loop.stop()

    def _tick(self) -> None:
        now = self._clock.seconds()
        if now - self._last >= STALLED_S:
            self._stalled = now
        self._last = now

    @property
    def recent(self) -> bool:
        """Whether others may have given this process up a moment ago."""
        now: float = self._clock.seconds()
        before = self._stalled is not None and now - self._stalled < RECENTLY_S
        return before or now - self._last >= STALLED_S
