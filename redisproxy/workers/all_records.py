"""What all workers keep of what has passed, as one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from redisproxy.dataplane.interface import DataPlane, NotSupported
from redisproxy.figures.hot_keys import Hot
from redisproxy.figures.hot_keys import together as hot_of_all
from redisproxy.figures.seconds import KEPT, Second, together
from redisproxy.figures.slow_log import SlowCommand
from redisproxy.workers.all_clients import ANSWER_S

if TYPE_CHECKING:
    from redisproxy.workers.members import Members

T = TypeVar("T")
STEP = 100
"""More than there are workers: by it the ids of their slow commands are told apart."""
LATE_S = 2
"""A worker that has told nothing of a second that is over for so long tells nothing of it any more."""


class AllRecords:
    """Implements C{interface.RecordOrders}.

    What is known already is not asked for again, and outlives the worker that it comes from.
    """

    def __init__(self, members: Members, clock: IReactorTime) -> None:
        self._members = members
        self._clock = clock
        self._seconds: deque[Second] = deque(maxlen=KEPT)

    def seconds(self, after: int) -> Deferred[tuple[Second, ...]]:
        return ensureDeferred(self._read_seconds(after))

    async def _read_seconds(self, after: int) -> tuple[Second, ...]:
        if self._last > self._clock.seconds() + LATE_S:
            self._seconds.clear()  # the clock was put back
        known = self._last
        told = await self._ask(lambda plane: plane.records.seconds(known))
        for second in whole([seconds for _, seconds in told]):
            if second.time > self._last:  # somebody else may have asked meanwhile
                self._seconds.append(second)
        return tuple(second for second in self._seconds if second.time > after)

    @property
    def _last(self) -> int:
        return self._seconds[-1].time if self._seconds else 0

    def slow_commands(self) -> Deferred[tuple[SlowCommand, ...]]:
        return ensureDeferred(self._read_slow_commands())

    async def _read_slow_commands(self) -> tuple[SlowCommand, ...]:
        told = await self._ask(lambda plane: plane.records.slow_commands())
        each = [replace(slow, id=slow.id * STEP + number) for number, commands in told for slow in commands]
        newest = sorted(each, key=lambda slow: slow.time, reverse=True)
        return tuple(newest[: self._members.settings.slowlog.max_entries])

    def hot_keys(self) -> Deferred[Hot]:
        return ensureDeferred(self._read_hot_keys())

    async def _read_hot_keys(self) -> Hot:
        told = await self._ask(lambda plane: plane.records.hot_keys())
        return hot_of_all([hot for _, hot in told], self._members.settings.hot_keys.kept)

    async def _ask(self, order: Callable[[DataPlane], Deferred[T]]) -> list[tuple[int, T]]:
        """The answers of those that answer in time, each with the worker's number."""
        answers = await self._members.each_in_time(lambda plane: order(plane).addErrback(_nothing), ANSWER_S)
        return [(member.number, answer) for member, answer in answers if answer is not None]


def whole(told: Iterable[tuple[Second, ...]]) -> list[Second]:
    """The seconds of all workers, without the last ones of which not all have told yet."""
    each = [seconds for seconds in told if seconds]
    newest = max((seconds[-1].time for seconds in each), default=0)
    last = min((seconds[-1].time for seconds in each if seconds[-1].time > newest - LATE_S), default=0)
    by_time: dict[int, list[Second]] = {}
    for seconds in each:
        for second in seconds:
            by_time.setdefault(second.time, []).append(second)
    return [together(by_time[time]) for time in sorted(by_time) if time <= last]


def _nothing(failure: Failure) -> None:
    """A data plane of an older program."""
    failure.trap(NotSupported)
