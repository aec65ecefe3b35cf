"""The pause: drain, fence, verify, promote and swap; in external mode somebody else moves the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.task import deferLater

from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.net.deferreds import to_the_end
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.switchover.catching_up import SLOW_POLL_S
from redisproxy.switchover.report import SwitchoverFailed

if TYPE_CHECKING:
    from redisproxy.dataplane.interface import ClientInFlight
    from redisproxy.switchover.context import Context

QUICK_POLL_S = 0.001


class Changeover:
    """The steps from drain to swap.

    @ivar stuck: the clients whose commands kept the drain from its end.
    """

    def __init__(self, context: Context) -> None:
        self._servers = context.servers
        self._dataplane = context.dataplane
        self._cut = context.cut
        self._pause = context.pause
        self._settings = context.settings
        self._journal = context.journal
        self._state = context.state
        self._clock = context.clock
        self.stuck: tuple[ClientInFlight, ...] = ()

    async def run(self) -> None:
        """Move the clients.

        @raise SwitchoverFailed, UplinkError, TimeoutError: they are held still, and something has to be undone.
        """
        move, within, step = self._dataplane.move, self._pause.within, self._journal.step
        await self._pause.begin()
        with step("drain"):
            await self._drain()
        with step("fence"):
            await within(self._fence())
            await within(_wait(move.prove_watches()))
        with step("verify"):
            await within(self._verify())
        with step("promote"):
            await within(self._promote())
            await within(_wait(move.bring()))
        await self._resume_on_the_new()

    async def _drain(self) -> None:
        try:
            await self._pause.within(_wait(self._dataplane.gate.drained()))
        except TimeoutError:
            self.stuck = await self._dataplane.gate.who_is_in_flight()
            raise

    async def _fence(self) -> None:
        state = self._state
        state.fenced = True  # from here on its outcome may be unknown, and undoing it does no harm
        fenced = await self._servers.old.fence(state.old, self._settings.pause_budget_ms)
        self._journal.report["old_offset"] = fenced.offset
        if fenced.role != "master" or fenced.replication_id != state.history:
            raise SwitchoverFailed("the old server has changed its role during the switchover")

    async def _verify(self) -> None:
        """Wait until the new server has applied everything that the old one ever acknowledged."""
        report, delay = self._journal.report, QUICK_POLL_S
        while True:
            state = await self._servers.new.replication()
            report["new_offset"] = state.offset
            self._journal.progress = {"bytes_left": max(0, report["old_offset"] - state.offset)}
            if state.role != "slave" or state.replication_id != self._state.history:
                raise SwitchoverFailed("the new server does not follow the old one any more")
            if state.offset >= report["old_offset"]:
                return
            await deferLater(self._clock, delay, lambda: None)
            delay = min(delay * 2, SLOW_POLL_S)

    async def _promote(self) -> None:
        self._state.promoted = True  # its outcome may be unknown from here on
        lift = self._state.new if self._state.new.fenced else None
        try:
            await self._servers.new.promote(lift)
        except UplinkUnavailable:
            # The answer is lost, so ask again: promoting twice is the same as once.
            await (await self._servers.reach_new()).promote(lift)

    async def _resume_on_the_new(self) -> None:
        with self._journal.step("swap"):
            # Ordered is done: there is no way back from here, and who gives up would not know where the clients are.
            await to_the_end(self._swap())

    async def _swap(self) -> None:
        self._state.swap_ordered = True
        await self._cut.swap()
        self._state.swapped = True
        try:
            self._journal.report.update(await self._pause.end())
        except DataPlaneLost as error:
            self._journal.report["clients_closed"] = {}
            self._journal.warn([f"{error}: it lets the clients go on by itself"])

    # -- external mode: somebody else moves the data

    async def run_external(self) -> None:
        """Move the clients when an operator says so.

        @raise SwitchoverFailed, UplinkError, TimeoutError: they are held still.
        """
        await self._pause.begin()
        with self._journal.step("drain"):
            await self._drain()
        with self._journal.step("wait for the operator"):
            await self._told_to_go_on()
        with self._journal.step("verify"):
            if (await self._servers.new.replication()).role != "master":
                raise SwitchoverFailed("the new server is a replica still")
            await self._servers.new.probe_write()
            await self._dataplane.move.bring()
        await self._resume_on_the_new()

    async def _told_to_go_on(self) -> None:
        limit_s = self._settings.external_deadline_ms / 1000
        try:
            await self._cut.told_to_go_on().addTimeout(limit_s, self._clock)
        except TimeoutError:
            raise SwitchoverFailed("nobody said go on within switchover.external_deadline_ms", late=True) from None


async def _wait(order: Deferred[None]) -> None:
    await order
