"""How fast the copy goes on beside the load: small steps, and a rest after each that is longer on a busy server."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

FIRST_COUNT, LEAST_COUNT, MOST_COUNT = 50, 10, 1000
LEAST_PLACE_S = 0.000001
STEP_S = 0.002
"""How long one step may keep the old server busy, about: clients wait behind it."""
LOOK_S = 0.25
"""How often the latency of the old server is looked at."""
SAMPLES, LOOKS, STEPS = 9, 3, 30
SLOWER, MARGIN_S = 3.0, 0.001
"""A server is busy when it takes so many times as long as before, and this much longer."""
MOST_REST = 4.0
"""The longest rest, in lengths of the step before it."""


class Pace:
    """The pace of one pass over all keys.

    @ivar count: how many places of the hash table the next step covers.
    @param latency_s: measures how long the old server takes for an answer.
    """

    def __init__(self, latency_s: Callable[[], Awaitable[float]], clock: IReactorTime) -> None:
        self.count = FIRST_COUNT
        self._latency_s = latency_s
        self._clock = clock
        self._usual_s = 0.0
        self._place_s: deque[float] = deque(maxlen=STEPS)
        self._rest = 0.0
        self._looked_at = clock.seconds()

    @property
    def hurries(self) -> bool:
        """Whether the next step needs neither a rest nor a look before it."""
        return not self._rest and self._clock.seconds() - self._looked_at <= LOOK_S

    async def begin(self) -> None:
        """Measure how long the old server takes without this load.

        @raise UplinkError: it does not answer.
        """
        self._usual_s = sorted([await self._latency_s() for _ in range(SAMPLES)])[SAMPLES // 2]
        self.count = FIRST_COUNT
        self._place_s.clear()

    async def step_took(self, seconds: float) -> None:
        """A step is done: make the next one larger or smaller, and rest if clients have to wait.

        @raise UplinkError: the old server does not answer.
        """
        # The quickest of late: a step may take long for reasons of its own, such as another process.
        self._place_s.append(max(0.0, seconds - self._usual_s) / self.count)
        self.count = min(MOST_COUNT, max(LEAST_COUNT, round(STEP_S / max(min(self._place_s), LEAST_PLACE_S))))
        now = self._clock.seconds()
        if now - self._looked_at > LOOK_S:
            self._look(min([await self._latency_s() for _ in range(LOOKS)]))
            self._looked_at = now
        if self._rest:
            await self._sleep(seconds * self._rest)

    def _look(self, latency_s: float) -> None:
        if latency_s > self._usual_s * SLOWER + MARGIN_S:
            self._rest = min(MOST_REST, max(0.25, self._rest * 2))
        else:
            self._rest = self._rest / 2 if self._rest > 0.1 else 0.0

    def _sleep(self, seconds: float) -> Deferred[None]:
        return deferLater(self._clock, seconds, lambda: None)
