"""The pause: drain, fence, verify, promote and swap; in external mode somebody else moves the data."""

from __future__ import annotations

from twisted.internet.defer import Deferred, TimeoutError

from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.net.deferreds import to_the_end
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.switchover.base import SLOW_POLL_S, Base, T
from redisproxy.switchover.report import SwitchoverFailed

QUICK_POLL_S = 0.001


class Moving(Base):
    """The steps from drain to swap."""

    async def _move(self) -> None:
        await self._pause()
        with self._step("drain"):
            await self._drain()
        with self._step("fence"):
            await self._within(self._fence())
            await self._within(_wait(self._dataplane.move.prove_watches()))
        with self._step("verify"):
            await self._within(self._verify())
        with self._step("promote"):
            await self._within(self._promote())
            await self._within(_wait(self._dataplane.move.bring()))
        await self._resume_on_the_new()

    async def _pause(self) -> None:
        self._paused_at = self._clock.seconds()
        await self._cut.hold()

    async def _drain(self) -> None:
        try:
            await self._within(_wait(self._dataplane.gate.drained()))
        except TimeoutError:
            self._stuck = await self._dataplane.gate.who_is_in_flight()
            raise

    async def _resume_on_the_new(self) -> None:
        with self._step("swap"):
            # Ordered is done: there is no way back from here, and who gives up would not know where the clients are.
            await to_the_end(self._swap())

    async def _swap(self) -> None:
        self._swap_ordered = True
        await self._cut.swap()
        self._swapped = True
        try:
            await self._let_go_on()
        except DataPlaneLost as error:
            self.report["clients_closed"] = {}
            self._warn(iter([f"{error}: it lets the clients go on by itself"]))

    async def _fence(self) -> None:
        assert self._old is not None
        self._fenced = True  # from here on its outcome may be unknown, and undoing it does no harm
        state = await self._old.fence(self._old_state, self._settings.pause_budget_ms)
        self.report["old_offset"] = state.offset
        if state.role != "master" or state.replication_id != self._history:
            raise SwitchoverFailed("the old server has changed its role during the switchover")

    async def _verify(self) -> None:
        """Wait until the new server has applied everything that the old one ever acknowledged."""
        assert self._new is not None
        delay = QUICK_POLL_S
        while True:
            state = await self._new.replication()
            self.report["new_offset"] = state.offset
            self.progress = {"bytes_left": max(0, self.report["old_offset"] - state.offset)}
            if state.role != "slave" or state.replication_id != self._history:
                raise SwitchoverFailed("the new server does not follow the old one any more")
            if state.offset >= self.report["old_offset"]:
                return
            await self._sleep(delay)
            delay = min(delay * 2, SLOW_POLL_S)

    async def _promote(self) -> None:
        assert self._new is not None
        self._promoted = True  # its outcome may be unknown from here on
        lift = self._new_state if self._new_state.fenced else None
        try:
            await self._new.promote(lift)
        except UplinkUnavailable:
            # The answer is lost, so ask again: promoting twice is the same as once.
            await (await self._reach_new()).promote(lift)

    # -- external mode: somebody else moves the data

    async def _move_external(self) -> None:
        await self._pause()
        with self._step("drain"):
            await self._drain()
        with self._step("wait for the operator"):
            limit_s = self._settings.external_deadline_ms / 1000
            try:
                await self._cut.told_to_go_on().addTimeout(limit_s, self._clock)
            except TimeoutError:
                raise SwitchoverFailed("nobody said go on within switchover.external_deadline_ms", late=True) from None
        with self._step("verify"):
            assert self._new is not None
            if (await self._new.replication()).role != "master":
                raise SwitchoverFailed("the new server is a replica still")
            await self._new.probe_write()
            await self._dataplane.move.bring()
        await self._resume_on_the_new()


async def _wait(deferred: Deferred[T]) -> T:
    return await deferred
