"""Counts the time in which this process runs; L{Supervision} measures with it how long others do not answer.

A process that was stopped, or got no processor, has answers waiting that it has not read yet. It is not the server that
was silent.
"""

from __future__ import annotations

STEP_S = 0.5
"""Of the time between two looks no more than this counts; they come ten times a second."""


class RunningTime:
    """To be asked regularly."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._stood_still_s = 0.0

    def at(self, now: float) -> float:
        """The time in seconds, on a clock that stands still with this process. @param now: on the one that does not."""
        if self._last is not None:
            self._stood_still_s += max(0.0, now - self._last - STEP_S)
        self._last = now
        return now - self._stood_still_s
