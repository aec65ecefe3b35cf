"""Keeps the log readable and the disk free where whoever can connect decides how often something happens."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

MOST = 200
WITHIN_S = 60.0
SELDOM_S = 10.0
"""For what is one thing that lasts."""


class FewLines:
    """Lets so many lines of one kind into the log as somebody reads.

    @param seconds: the time. @param most: that many lines are let through C{within_s} seconds.
    """

    def __init__(self, seconds: Callable[[], float] = monotonic, most: int = MOST, within_s: float = WITHIN_S) -> None:
        self._seconds = seconds
        self._most = most
        self._within_s = within_s
        self._began = -within_s
        self._told = 0
        self._left_out = 0

    def another(self) -> str | None:
        """Ask for one more line.

        @return: what to end it with, which says how many were left out before it; None when it is left out itself.
        """
        now = self._seconds()
        if now - self._began >= self._within_s:
            self._began, self._told = now, 0
        if self._told == self._most:
            self._left_out += 1
            return None
        self._told += 1
        left_out, self._left_out = self._left_out, 0
        return f" (and {left_out} more like it before)" if left_out else ""
