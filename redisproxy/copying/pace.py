"""How fast the copy goes on beside the load: small steps, and a rest after each that is longer on a busy server.

Where somebody else uses the old server, too, the steps are shorter still, and none begins before the one before it is
over: clients wait behind one at the most.
"""

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
STEP_S, SHORT_STEP_S = 0.002, 0.0003
"""How long one step may keep the old server busy, about: clients wait behind it. The second is for servers in use."""
LOOK_S = 0.25
"""How often the latency of the old server is looked at."""
SAMPLES, LOOKS, STEPS = 9, 3, 30
SLOWER, MARGIN_S = 3.0, 0.001
"""A server is busy when it takes so many times as long as before, and this much longer."""
SHORT_REST, MOST_REST = 1.0, 4.0
"""The rest on a server in use, and the longest one, in lengths of the step before it."""
FIRST_QUIET_S, QUIET_S = 0.01, 0.003
"""So long nothing is asked at the beginning, and at each look, to see whether others ask for something."""
QUIETS = 20
"""Of so many looks what others asked for is counted."""
USED_PER_S = 30.0
"""A server is in use when others send it more commands than this: proxies and replicas send a few, too."""


class Pace:
    """The pace of one pass over all keys.

    @ivar count: how many places of the hash table the next step covers.
    @param latency_s: measures how long the old server takes for an answer.
    @param commands: how many commands it has carried out, the one that asks for that not counted; None if it does not
        tell.
    """

    def __init__(
        self,
        latency_s: Callable[[], Awaitable[float]],
        commands: Callable[[], Awaitable[int | None]],
        clock: IReactorTime,
    ) -> None:
        self.count = FIRST_COUNT
        self._latency_s = latency_s
        self._commands = commands
        self._clock = clock
        self._quiet: deque[tuple[int, float]] = deque(maxlen=QUIETS)
        self._is_in_use = False
        self._usual_s = 0.0
        self._place_s: deque[float] = deque(maxlen=STEPS)
        self._rest = 0.0
        self._looked_at = clock.seconds()

    @property
    def hurries(self) -> bool:
        """Whether the next step needs neither a rest nor a look before it."""
        return not self._least_rest and not self.is_look_due

    @property
    def is_look_due(self) -> bool:
        """Whether it is time for L{look}."""
        return self._clock.seconds() - self._looked_at > LOOK_S

    @property
    def _least_rest(self) -> float:
        return max(self._rest, SHORT_REST) if self._is_in_use else self._rest

    async def begin(self) -> None:
        """Measure how long the old server takes without this load.

        @raise UplinkError: it does not answer.
        """
        self._usual_s = sorted([await self._latency_s() for _ in range(SAMPLES)])[SAMPLES // 2]
        self.count = FIRST_COUNT
        self._place_s.clear()
        self._quiet.clear()
        await self._see_whether_in_use(FIRST_QUIET_S)
        self._looked_at = self._clock.seconds()

    async def step_took(self, seconds: float) -> None:
        """A step is done: make the next one larger or smaller, and rest if clients have to wait."""
        # The quickest of late: a step may take long for reasons of its own, such as another process.
        self._place_s.append(max(0.0, seconds - self._usual_s) / self.count)
        step_s = SHORT_STEP_S if self._is_in_use else STEP_S
        self.count = min(MOST_COUNT, max(LEAST_COUNT, round(step_s / max(min(self._place_s), LEAST_PLACE_S))))
        if self._least_rest:
            await self._sleep(seconds * self._least_rest)

    async def look(self) -> None:
        """Look how busy the old server is. Nothing of the copy's own may be asked there meanwhile.

        @raise UplinkError: it does not answer.
        """
        latency_s = min([await self._latency_s() for _ in range(LOOKS)])
        if latency_s > self._usual_s * SLOWER + MARGIN_S:
            self._rest = min(MOST_REST, max(0.25, self._rest * 2))
        else:
            self._rest = self._rest / 2 if self._rest > 0.1 else 0.0
        await self._see_whether_in_use(QUIET_S)
        self._looked_at = self._clock.seconds()

    async def _see_whether_in_use(self, seconds: float) -> None:
        before, began = await self._commands(), self._clock.seconds()
        if before is None:
            self._is_in_use = True
            return
        await self._sleep(seconds)
        after = await self._commands()
        others = 0 if after is None else max(0, after - before - 1)
        self._quiet.append((others, self._clock.seconds() - began))
        self._is_in_use = sum(count for count, _ in self._quiet) > USED_PER_S * sum(took for _, took in self._quiet)

    def _sleep(self, seconds: float) -> Deferred[None]:
        return deferLater(self._clock, seconds, lambda: None)
