"""Afterwards: tidies up, or undoes everything so that the clients go on at the old server."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError

from redisproxy.errors import UplinkError
from redisproxy.switchover.base import Base

UNDO_TRIES = 3


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

    async def _roll_back(self) -> None:
        """Make the old server take writes again, then let the clients go on there, then tidy up the new one."""
        if self._swapped:
            return
        if self._fenced:
            await self._insist(self._unfence, "the old server may still refuse writes: run redisproxy unfence")
        self._open_gate()
        if self._promoted:
            await self._insist(
                self._demote, "the new server may have been promoted: make it a replica before you retry"
            )
        elif self._follows:
            await self._insist(self._stop_following, "the new server may still try to follow the old one")

    async def _insist(self, undo: Any, otherwise: str) -> None:
        """Undo one thing, more than once if need be; say so when it can't be done."""
        for attempt in range(UNDO_TRIES):
            try:
                await undo(attempt)
                return
            except (UplinkError, CancelledError) as error:
                self.log.warn("switchover: rolling back: {error}", error=str(error) or "cancelled")
        self.report["error"] += f"\n{otherwise}"
        self.log.error("switchover: {text}", text=otherwise)

    async def _unfence(self, attempt: int) -> None:
        if self._old is None or attempt:
            self._old = await self._world.open_old()
        state = await self._old.state()
        if state.fenced and not self._old_state.fenced:
            await self._old.unfence(state)
        else:
            await self._old.end_pause()

    async def _demote(self, attempt: int) -> None:
        if self._new is None or attempt:
            self._new = await self._world.open_new()
        await self._new.follow(self._source.host, self._source.port)

    async def _stop_following(self, attempt: int) -> None:
        """A new server that is in sync stays a replica, for the next try; one that never got there is let go."""
        if self._new is None or attempt:
            self._new = await self._world.open_new()
        state = await self._new.replication()
        if state.link_up:
            return
        if state.role == "slave":
            await self._new.ask("REPLICAOF", "NO", "ONE")
        self._warn(iter(await self._following.restore(self._new)))
