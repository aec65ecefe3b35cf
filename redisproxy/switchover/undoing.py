"""Afterwards: tidies up, or undoes everything so that the clients go on at the old server."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, TimeoutError, ensureDeferred

from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.net.errors import UplinkError
from redisproxy.switchover.base import Base

HOLD_S = 1.0
UNDO_RESTS_S = (0.0, 0.1, 0.2)
UNDO_RESTS_LATER_S = (0.5, 1.0, 2.0)
"""Before each try to undo something; the later ones are for when the clients go on already."""


class Undoing(Base):
    """The step finish, and rolling back."""

    async def _finish(self) -> None:
        """Tidy up; the clients are at work again, and nothing here can fail the switchover."""
        assert self._old is not None and self._new is not None
        try:
            await self._old.end_pause()
        except UplinkError as error:
            self._warn(iter([f"the old server is gone: {error}"]))
        self._warn(iter(await self._following.restore(self._new)))

    async def _roll_back(self) -> bool:
        """Make the old server take writes again, then let the clients go on there, then tidy up the new one.

        False when nothing was undone, because the clients may go to the new server yet.
        """
        if self._swapped:
            return True
        if (self._promoted or self._swap_ordered) and not await self._clients_stay():
            self._confess(
                "the data plane was lost when the new server was promoted, or may have been. It asks both servers and"
                " goes where the data is; nothing was undone, and the old server may still refuse writes. See where the"
                " clients are, and have the configuration name that server"
            )
            return False
        await self._undo()
        return True

    async def _clients_stay(self) -> bool:
        """See to it that the data plane does not go to the new server any more; False when that is not certain.

        One that has lost its control plane goes where a promoted server and a fenced one show it.
        """
        try:
            await self._dataplane.move.abandon()
        except DataPlaneLost:
            return False
        return True

    async def _undo(self) -> None:
        fenced = self._fenced and not await self._insist(self._unfence, UNDO_RESTS_S, self._hold_until)
        try:
            await self._let_go_on()
        except DataPlaneLost as error:
            self._confess(f"{error}: it lets the clients go on by itself when the old server takes writes")
        if fenced and not await self._insist(self._unfence, UNDO_RESTS_LATER_S):
            self._confess("the old server may still refuse writes: run redisproxy unfence")
        if self._promoted:
            if not await self._insist(self._demote, UNDO_RESTS_S):
                self._confess("the new server may have been promoted: make it a replica before you retry")
        elif self._follows and not await self._insist(self._stop_following, UNDO_RESTS_S):
            self._confess("the new server may still try to follow the old one")

    @property
    def _hold_until(self) -> float | None:
        """How long to hold the clients for the fence's sake: behind it they would get errors. None without a pause."""
        if self._paused_at is None:
            return None
        budget_ends = self._paused_at + self._settings.pause_budget_ms / 1000
        return max(budget_ends, self._clock.seconds() + HOLD_S)

    async def _insist(self, undo: Any, rests_s: tuple[float, ...], until: float | None = None) -> bool:
        """Undo one thing, more than once if need be; whether it could be done.

        @param until: no longer than that, on the clock.
        """
        for attempt, rest_s in enumerate(rests_s):
            trying = ensureDeferred(self._try(undo, attempt, rest_s))
            try:
                if until is not None:
                    trying.addTimeout(max(0.0, until - self._clock.seconds()), self._clock)
                await trying
                return True
            except (UplinkError, CancelledError, TimeoutError) as error:
                self.log.warn("switchover: rolling back: {error}", error=str(error) or type(error).__name__)
        return False

    async def _try(self, undo: Any, attempt: int, rest_s: float) -> None:
        await self._sleep(rest_s)
        await undo(attempt)

    def _confess(self, text: str) -> None:
        """Say what could not be undone."""
        self.report["error"] += f"\n{text}"
        self.log.error("switchover: {text}", text=text)

    async def _unfence(self, attempt: int) -> None:
        old = self._old
        if old is None or attempt or self._paused_at is None:
            old = await self._reach_old()
        state = await old.state()
        if state.fenced and not self._old_state.fenced:
            await old.unfence(state)
        else:
            await old.end_pause()

    async def _demote(self, attempt: int) -> None:
        new = await self._reach_new() if self._new is None or attempt else self._new
        await new.follow(self._source.host, self._source.port)

    async def _stop_following(self, attempt: int) -> None:
        """A new server that is in sync stays a replica, for the next try; one that never got there is let go."""
        new = await self._reach_new() if self._new is None or attempt else self._new
        state = await new.replication()
        if state.link_up:
            return
        if state.role == "slave":
            await new.ask("REPLICAOF", "NO", "ONE")
        self._warn(iter(await self._following.restore(new)))
