"""Undoing something at a server that may not answer: several attempts, each on the clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.defer import CancelledError, TimeoutError, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from redisproxy.net.errors import UplinkError

RETRY_DELAYS_S = (0.0, 0.1, 0.2)
"""Before each attempt to undo something."""
LATE_RETRY_DELAYS_S = (0.5, 1.0, 2.0)
"""Before further attempts, when clients go on already."""
Undo = Callable[[int], Awaitable[None]]

_log = Logger(namespace="redisproxy.switchover")


async def attempt(undo: Undo, delays_s: tuple[float, ...], clock: IReactorTime, until: float | None = None) -> bool:
    """Undo one thing, in several attempts if need be; whether that succeeded.

    @param undo: gets the number of the attempt.
    @param until: the deadline of all attempts, on the clock, for what is undone at the old server while clients wait.
    """
    for number, delay_s in enumerate(delays_s):
        trying = ensureDeferred(_after(clock, delay_s, undo, number))
        left_s = 0.0 if until is None else max(0.0, until - clock.seconds())
        try:
            if until is not None:
                trying.addTimeout(left_s, clock)
            await trying
            return True
        except (UplinkError, CancelledError, TimeoutError) as error:
            attempts = f"attempt {number + 1} of {len(delays_s)}"
            _log.warn("switchover: rolling back, {attempts}: {error}", attempts=attempts, error=_why(error, left_s))
    return False


def _why(error: Exception, left_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"the old server has not answered within {left_s:.1f} s" if left_s else "no time is left to hold clients"
    return "given up" if isinstance(error, CancelledError) else str(error) or type(error).__name__


async def _after(clock: IReactorTime, delay_s: float, undo: Undo, number: int) -> None:
    await deferLater(clock, delay_s)
    await undo(number)
