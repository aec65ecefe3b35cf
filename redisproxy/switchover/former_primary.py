"""The primary that a failover has left: it follows the new one, and then its fence is lifted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime

from redisproxy.net.errors import UplinkError, UplinkUnavailable
from redisproxy.switchover.attempts import RETRY_DELAYS_S, attempt

if TYPE_CHECKING:
    from redisproxy.config import TcpAddress
    from redisproxy.switchover.report import SwitchoverReport
    from redisproxy.switchover.sentinel_group import SentinelGroup


class FormerPrimary:
    """Of one failover.

    The sentinels would make it a replica themselves, many seconds later.

    @ivar has_more: it has acknowledged what the new primary lacks, so nobody may overwrite what it has.
    """

    def __init__(self, group: SentinelGroup, report: SwitchoverReport, clock: IReactorTime) -> None:
        self._group = group
        self._report = report
        self._clock = clock
        self.has_more = False

    async def lift_fences_of_replicas(self) -> None:
        """A replica may bear a fence from a failover that was cut short; nobody could write to it as a primary.

        @raise UplinkError: one refuses, or does not answer.
        """
        for address in self._group.candidates:
            server = await self._group.at(address)
            state = await server.state()
            if state.fenced and state.role == "slave":
                await server.unfence(state)

    async def follow(self, new: TcpAddress) -> None:
        """Have it follow the new primary, which may need replicas before it takes writes; what fails is tried again."""
        if self.has_more:
            return
        try:
            await (await self._group.at(self._group.primary)).follow(new.host, new.port)
        except UplinkError as error:
            self._report.warn([f"{self._group.primary} does not follow yet: {error}"])

    async def finish(self, new: TcpAddress) -> None:
        """See that it follows, and lift its fence; what fails here becomes a warning."""
        if self.has_more:
            return
        primary = self._group.primary

        async def settle(number: int) -> None:
            await self._settle(new, anew=bool(number))

        if not await attempt(settle, RETRY_DELAYS_S, self._clock):
            self._report.warn(
                [
                    f"{primary} may still be fenced, and no replica of {new} yet: the sentinels make it one; afterwards"
                    " redisproxy failover lifts the fence, or CONFIG SET min-replicas-to-write there"
                ]
            )

    async def _settle(self, new: TcpAddress, anew: bool) -> None:
        server = await self._group.at(self._group.primary, anew)
        state = await server.state()
        if state.role != "slave":
            await server.follow(new.host, new.port)
            state = await server.state()
        if state.role != "slave":
            raise UplinkUnavailable(f"{server.name}: it is a primary still")
        await server.unfence(state) if state.fenced else await server.end_pause()
        # A sentinel may have had it write its configuration file with the fence in it; it may have no such file.
        await server.ask_all(("CONFIG", "REWRITE"))

    def loss(self, new: TcpAddress) -> str:
        """What has to be done about acknowledged writes that the new primary lacks."""
        return (
            f"the sentinels have promoted {new}, which lacks writes that {self._group.primary} has acknowledged: it was"
            f" not among the replicas that were waited for. {self._group.primary} still has them, and is fenced, until"
            " the sentinels make it a replica: save its data now, before anything else"
        )
