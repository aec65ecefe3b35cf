"""Undoing a failover: before a replica is promoted the primary takes writes again; afterwards it never does."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.net.errors import UplinkError
from redisproxy.sentinel.failing_over import take_back
from redisproxy.servers.state import ServerState
from redisproxy.switchover.attempts import LATE_RETRY_DELAYS_S, RETRY_DELAYS_S, attempt

if TYPE_CHECKING:
    from redisproxy.config import TcpAddress
    from redisproxy.switchover.control_plane import FailoverControlPlane
    from redisproxy.switchover.pause import Pause
    from redisproxy.switchover.report import SwitchoverReport
    from redisproxy.switchover.sentinel_group import SentinelGroup

ON_ITS_WAY_S = 0.2
"""What a sentinel has sent to a replica before it has forgotten the failover has arrived after so long."""


class Undoing:
    """Of one failover.

    @ivar order_taken_back: the sentinel that had the order promotes nobody for it any more.
    """

    def __init__(
        self,
        group: SentinelGroup,
        control_plane: FailoverControlPlane,
        pause: Pause,
        report: SwitchoverReport,
        clock: IReactorTime,
    ) -> None:
        self._group = group
        self._control_plane = control_plane
        self._pause = pause
        self._report = report
        self._clock = clock
        self.order_taken_back = False

    async def take_back_order(self) -> TcpAddress | None:
        """Have the sentinel forget the failover; whom it has promoted nevertheless.

        Clients are held for some seconds more if it does not answer: nothing else is safe. A sentinel closes its
        connections to the replicas when it forgets: what it had sent before counts still.
        """
        group = self._group
        await attempt(self._take_back, (*RETRY_DELAYS_S, *LATE_RETRY_DELAYS_S), self._clock)
        if self.order_taken_back:
            self._report.warn([f"{group.watched.sentinel.line.name} was told to forget it (SENTINEL RESET)"])
            await deferLater(self._clock, ON_ITS_WAY_S)
        return await self._whom_they_promoted()

    async def _whom_they_promoted(self) -> TcpAddress | None:
        """Who is a primary after all. Without an answer of every replica, every sentinel has to say that nobody is."""
        states = await self._group.states()
        unheard = self.order_taken_back and await self._group.every_sentinel_stays()
        for address, state in states.items():
            if isinstance(state, ServerState) and state.role == "master":
                return None if unheard and await self._made_replica_again(address) else address
        if not unheard and any(isinstance(state, UplinkError) for state in states.values()):
            self.order_taken_back = False
        return None

    async def _made_replica_again(self, promoted: TcpAddress) -> bool:
        """Have a replica follow again that was promoted in the moment when the sentinel forgot; whether it does.

        No sentinel knows of that promotion, so nobody has been sent there, and the primary has all that it has.
        """

        async def follow(number: int) -> None:
            server, primary = await self._group.at(promoted, anew=bool(number)), self._group.primary
            await server.follow(primary.host, primary.port)

        return await attempt(follow, RETRY_DELAYS_S, self._clock)

    async def _take_back(self, _: int) -> None:
        if await self._group.promoted() is None:
            await take_back(self._group.watched, self._group.name)
            self.order_taken_back = True

    async def stay(self, fenced: bool) -> None:
        """Nobody was promoted, and nobody will be: the primary takes writes again, then clients go on there."""
        with suppress(DataPlaneLost):
            await self._control_plane.abandon()
        lifted_by = self._pause.fence_lifted_by
        unreached = fenced and not await attempt(self._unfence, RETRY_DELAYS_S, self._clock, lifted_by)
        lifted = unreached and await self._control_plane.others_lift_fence()
        await self._let_go_on()
        if unreached and not await attempt(self._unfence, LATE_RETRY_DELAYS_S, self._clock) and not lifted:
            self._report.not_undone("the primary may still refuse writes: run redisproxy unfence")

    async def _unfence(self, number: int) -> None:
        server = await self._group.at(self._group.primary, anew=bool(number))
        state = await server.state()
        await server.unfence(state) if state.fenced else await server.end_pause()

    async def leave_to_follower(self, new: TcpAddress | None) -> None:
        """A replica was promoted, or may be yet: whoever follows the sentinels takes the clients there.

        The primary stays fenced: what it acknowledged now would be lost.
        """
        with suppress(DataPlaneLost):
            await self._control_plane.abandon()
        await self._control_plane.leave_to_follower()
        await self._let_go_on()
        if new is not None:
            self._report.not_undone(f"the sentinels have promoted {new}, and the proxy follows them there")
        else:
            self._report.not_undone(
                f"the sentinels may promote a replica yet, so {self._group.primary} stays fenced, and the proxy follows"
                f" them. If SENTINEL MASTER {self._group.name} shows no failover_in_progress, and no replica was"
                " promoted: redisproxy unfence"
            )

    async def leave_unknown(self, new: TcpAddress | None) -> None:
        """The data plane was lost in the swap."""
        await self._control_plane.leave_to_follower()
        await self._let_go_on()
        self._report.not_undone(f"the data plane was lost in the move to {new}; the proxy follows the sentinels there")

    async def _let_go_on(self) -> None:
        try:
            await self._pause.end()
        except DataPlaneLost as error:
            self._report.not_undone(f"{error}: it lets the clients go on by itself")
