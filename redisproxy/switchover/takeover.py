"""The new server takes over from the old one: the steps fence, verify and promote, and afterwards finish.

The order makes sure that no acknowledged write is lost: the old server acknowledges writes only before the fence, its
offset is sampled behind the fence, and the new server is promoted only when it has applied that offset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from redisproxy.net.errors import UplinkError, UplinkUnavailable
from redisproxy.switchover.failure import SwitchoverFailed
from redisproxy.switchover.promotion_by_hook import PromotionByHook

if TYPE_CHECKING:
    from redisproxy.switchover.both_servers import BothServers
    from redisproxy.switchover.effects import Effects
    from redisproxy.switchover.hooks import Hooks
    from redisproxy.switchover.inspection import Findings
    from redisproxy.switchover.report import SwitchoverReport

FIRST_POLL_S, LAST_POLL_S = 0.001, 0.02


class Takeover:
    """The takeover of one switchover.

    @param history: the id of the history that both servers have when they have caught up; empty when the new one does
        not tell.
    """

    def __init__(
        self,
        servers: BothServers,
        findings: Findings,
        history: str,
        effects: Effects,
        hooks: Hooks,
        report: SwitchoverReport,
        clock: IReactorTime,
    ) -> None:
        self._servers = servers
        self._findings = findings
        self._history = history
        self._effects = effects
        self._hooks = hooks
        self._report = report
        self._clock = clock

    async def fence(self, pause_ms: int) -> None:
        """Make the old server refuse writes, and take its offset.

        @param pause_ms: for how long writes of scripts are paused, too.
        @raise SwitchoverFailed: it is not the primary that it was.
        """
        self._effects.fenced = True
        state = await self._servers.at_old.fence(self._findings.old, pause_ms)
        self._report.fields["old_offset"] = state.offset
        if state.role != "master" or (self._history and state.replication_id != self._history):
            raise SwitchoverFailed("the old server has changed its role during the switchover")

    async def verify(self) -> None:
        """Wait until the new server has applied everything that the old one ever acknowledged.

        One that does not tell is left to the promote hook.

        @raise SwitchoverFailed: it does not follow any more.
        """
        if not self._history:
            return
        fields, delay_s = self._report.fields, FIRST_POLL_S
        while True:
            state = await self._servers.at_new.replica()
            fields["new_offset"] = state.offset
            self._report.progress = {"bytes_left": max(0, fields["old_offset"] - state.offset)}
            if state.role != "slave" or state.replication_id != self._history:
                raise SwitchoverFailed("the new server does not follow the old one any more")
            self._findings.require_no_errors(state)
            if state.offset >= fields["old_offset"]:
                return
            await deferLater(self._clock, delay_s)
            delay_s = min(delay_s * 2, LAST_POLL_S)

    async def promote(self) -> None:
        """Make the new server a primary that takes writes."""
        await self._servers.watchers.forget()
        self._effects.promoted = True
        if self._hooks.promotes:
            await PromotionByHook(self._servers, self._hooks, self._history, self._clock).carry_out()
            return
        lift = self._findings.new if self._findings.new.fenced else None
        try:
            await self._servers.at_new.promote(lift)
        except UplinkUnavailable:
            # The answer is lost, so ask again: promoting twice is the same as once.
            await (await self._servers.reach_new()).promote(lift)

    async def finish(self) -> None:
        """Tidy up when clients are at work again; what fails here becomes a warning."""
        try:
            await self._servers.at_old.end_pause()
        except UplinkError as error:
            self._report.warn([f"the old server is gone: {error}"])
        self._report.warn(await self._findings.setup.restore(self._servers.at_new))
        await self._servers.watchers.watch_new(self._report)
        self._report.warn(await self._hooks.done())
