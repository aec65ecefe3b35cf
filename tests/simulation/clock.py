"""The simulated reactor: a heap of what is to happen, and time that jumps from one to the next."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

if TYPE_CHECKING:
    from tests.simulation.processes import Process

BEGIN_S = 1000.0


def process_of(call: DelayedCall) -> Process | None:
    """Whose timer this is; None for one of the world."""
    process: Process | None = getattr(call, "process", None)
    return process


@implementer(IReactorTime)
class SimClock:
    """C{IReactorTime} for the code that is tested, and L{at} for the simulated world, whose events are not counted.

    @ivar graves: what processes that have ended would have done: let go of, their coroutines would clean up.
    """

    def __init__(self) -> None:
        self._now = BEGIN_S
        self._number = count()
        self._heap: list[tuple[float, int, Any, Any]] = []
        self.events = 0
        self.graves: list[object] = []

    def seconds(self) -> float:
        return self._now

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> DelayedCall:
        assert delay >= 0
        call = DelayedCall(self._now + delay, callable, args, kw, lambda _: None, self._moved, self.seconds)
        heapq.heappush(self._heap, (call.time, next(self._number), call, None))
        return call

    def _moved(self, call: DelayedCall) -> None:
        heapq.heappush(self._heap, (call.getTime(), next(self._number), call, None))

    def getDelayedCalls(self) -> list[DelayedCall]:
        calls = [call for _, _, call, args in self._heap if args is None and call.active()]
        return [call for call in calls if (process := process_of(call)) is None or process.alive]

    def at(self, delay: float, function: Callable[..., object], *args: object) -> None:
        """Have the world do something `delay` seconds from now."""
        heapq.heappush(self._heap, (self._now + delay, next(self._number), function, args))

    def run_until(self, end: float, done: Callable[[], bool] | None = None) -> bool:
        """Let everything happen that is due before `end`, or until `done()`; True when that was the reason."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= end:
            if done is not None and done():
                return True
            when, _, what, args = pop(heap)
            if args is not None:
                self._now = when
                self.events += 1
                what(*args)
                continue
            if what.cancelled or what.called:
                continue
            process = process_of(what)
            if process is not None and not process.alive:
                self.graves.append(what)
                continue
            if process is not None and process.stopped_until > when:
                heapq.heappush(heap, (process.stopped_until, next(self._number), what, None))
                continue
            if what.getTime() > when:
                what.activate_delay()
                heapq.heappush(heap, (what.time, next(self._number), what, None))
                continue
            self._now = when
            self.events += 1
            what.called = 1
            what.func(*what.args, **what.kw)
        self._now = max(self._now, end) if done is None else self._now
        return done is not None and done()
