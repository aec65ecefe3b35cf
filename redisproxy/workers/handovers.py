"""Has data planes give clients to each other: those that are to end give all, the others what makes them equal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.dataplane.interface import DataPlaneLost, HandedOver, HandoverRefused, NotSupported, Taker
from redisproxy.remote.errors import DataPlaneFailed
from redisproxy.workers import balance

if TYPE_CHECKING:
    from redisproxy.workers.members import Member, Members

LIMIT_S = 2.0
"""How long a client may take to have nothing under way."""
SOON_S = 1.0
NOBODY = HandedOver(0)
FAILURES = (DataPlaneLost, DataPlaneFailed, HandoverRefused, NotSupported)


class Handovers:
    """Between the members. None begins while a move is under way."""

    log = Logger(namespace="redisproxy.workers")

    def __init__(self, members: Members, clock: IReactorTime) -> None:
        self._members = members
        self._clock = clock
        self._soon: IDelayedCall | None = None
        self._closed = False

    async def empty(self, member: Member) -> HandedOver:
        """Give the clients of `member` to all that serve; what became of it.

        @raise DataPlaneLost: it is lost.
        """
        serving = {each: each.load for each in self._members.serving if each is not member}
        if self._members.moving or member not in self._members or not serving:
            return NOBODY
        return await self._give(member, balance.room(serving, member.load))

    async def _give(self, member: Member, to: Mapping[Member, int]) -> HandedOver:
        takers = tuple(Taker(each.door, count) for each, count in to.items())
        done = await member.plane.handover.hand_over(takers, LIMIT_S)
        if done.taken:
            text = "{count} clients went from {label} to others"
            self.log.info(text, count=done.taken, label=member.label)
        return done

    # -- those that serve

    def soon(self) -> None:
        """Make them equal, a little later: several may come one after the other."""
        if self._soon is None and not self._closed:
            self._soon = self._clock.callLater(SOON_S, self._now)

    def _now(self) -> None:
        self._soon = None
        if self._members.moving:
            self.soon()
        else:
            ensureDeferred(self.even_out()).addErrback(self._failed)

    async def even_out(self) -> None:
        """Make them equal."""
        for member, to in balance.moves({each: each.load for each in self._members.serving}):
            if not self._members.moving and member in self._members:
                await self._give(member, {each: count for each, count in to.items() if each in self._members})

    def _failed(self, failure: Failure) -> None:
        failure.trap(*FAILURES)
        self.log.warn("clients stay where they are: {error}", error=failure.getErrorMessage())

    # -- the end

    async def stop(self) -> None:
        """Have nobody given away any more, and wait for those who are on their way. A move is about to begin."""
        await self._members.each(lambda plane: plane.handover.stop())

    def close(self) -> None:
        """The process ends."""
        self._closed = True
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
