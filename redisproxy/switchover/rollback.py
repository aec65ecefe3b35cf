"""Afterwards: tidies up, or undoes everything so that the clients go on at the old server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.net.deferreds import to_the_end
from redisproxy.net.errors import UplinkError

if TYPE_CHECKING:
    from redisproxy.switchover.context import Context

UNDO_RESTS_S = (0.0, 0.1, 0.2)
UNDO_RESTS_LATER_S = (0.5, 1.0, 2.0)
"""Before each try to undo something; the later ones are for when the clients go on already."""

Undo = Callable[[int], Awaitable[None]]
"""Undoes one thing; called with the number of the try, from 0 on."""


class Rollback:
    """The step finish, and rolling back."""

    log = Logger(namespace="redisproxy.switchover")

    def __init__(self, context: Context) -> None:
        self._servers = context.servers
        self._move = context.dataplane.move
        self._pause = context.pause
        self._journal = context.journal
        self._state = context.state
        self._clock = context.clock

    async def finish(self) -> None:
        """Tidy up; the clients are at work again, and nothing here can fail the switchover."""
        try:
            await self._servers.old.end_pause()
        except UplinkError as error:
            self._journal.warn([f"the old server is gone: {error}"])
        self._journal.warn(await self._state.following.restore(self._servers.new))

    async def run(self) -> bool:
        """Make the old server take writes again, then let the clients go on there, then tidy up the new one.

        False when nothing was undone, because the clients may go to the new server yet.
        """
        state = self._state
        if state.swapped:
            return True
        if (state.promoted or state.swap_ordered) and not await self._clients_stay():
            self._journal.confess(
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
            await to_the_end(_done(self._move.abandon()))
        except DataPlaneLost:
            return False
        return True

    async def _undo(self) -> None:
        state, confess = self._state, self._journal.confess
        fenced = state.fenced and not await self._insist(self._unfence, UNDO_RESTS_S, self._pause.may_last_until)
        await self._let_go_on()
        if fenced and not await self._insist(self._unfence, UNDO_RESTS_LATER_S):
            confess("the old server may still refuse writes: run redisproxy unfence")
        if state.promoted:
            if not await self._insist(self._demote, UNDO_RESTS_S):
                confess("the new server may have been promoted: make it a replica before you retry")
        elif state.follows and not await self._insist(self._stop_following, UNDO_RESTS_S):
            confess("the new server may still try to follow the old one")

    async def _let_go_on(self) -> None:
        try:
            self._journal.report.update(await to_the_end(self._pause.end()))
        except DataPlaneLost as error:
            self._journal.confess(f"the clients may still be held: {error}")

    async def _insist(self, undo: Undo, rests_s: tuple[float, ...], until: float | None = None) -> bool:
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

    async def _try(self, undo: Undo, attempt: int, rest_s: float) -> None:
        await deferLater(self._clock, rest_s, lambda: None)
        await undo(attempt)

    async def _unfence(self, attempt: int) -> None:
        old = await self._servers.reach_old(anew=bool(attempt) or not self._pause.lasts)
        state = await old.state()
        if state.fenced and not self._state.old.fenced:
            await old.unfence(state)
        else:
            await old.end_pause()

    async def _demote(self, attempt: int) -> None:
        new = await self._servers.reach_new(anew=bool(attempt))
        await new.follow(self._state.source.host, self._state.source.port)

    async def _stop_following(self, attempt: int) -> None:
        """A new server that is in sync stays a replica, for the next try; one that never got there is let go."""
        new = await self._servers.reach_new(anew=bool(attempt))
        state = await new.replication()
        if state.link_up:
            return
        if state.role == "slave":
            await new.ask("REPLICAOF", "NO", "ONE")
        self._journal.warn(await self._state.following.restore(new))


async def _done(order: Deferred[None]) -> None:
    await order
