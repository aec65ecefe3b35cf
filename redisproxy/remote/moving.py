"""A data plane's moves, with a record of what is begun, so that it can be ended when its control plane is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.dataplane.interface import OPERATOR, SWITCHOVER, WrongOrder
from redisproxy.remote.standing import Begun, Brought

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime

    from redisproxy.config import Settings
    from redisproxy.dataplane.interface import DataPlane, Hold, Release


class Moves:
    """Carries out the orders that begin and end something.

    @ivar begun: what is begun and not ended.
    """

    def __init__(self, plane: DataPlane, settings: Settings, clock: IReactorTime) -> None:
        self._plane = plane
        self._clock = clock
        self.begun = Begun(settings)
        self._bringing: Deferred[None] | None = None

    @property
    def bringing(self) -> bool:
        """Whether C{bring} is being carried out now."""
        return self._bringing is not None

    async def prepare(self, settings: Settings, same_listeners: bool) -> None:
        """See L{interface.MoveOrders}; so are the others."""
        await self._plane.move.prepare(settings, same_listeners)
        begun = self.begun
        begun.prepared, begun.same_listeners, begun.brought = settings, same_listeners, Brought.NOTHING
        begun.withdrawn = False

    async def bring(self) -> None:
        """Once for a prepared move: what was cut short in the middle can't be continued."""
        self.begun.brought = Brought.PART
        self._bringing = self._plane.move.bring()
        try:
            await self._bringing
        finally:
            self._bringing = None
        self.begun.brought = Brought.ALL

    async def swap(self) -> None:
        """Put the prepared settings in force."""
        begun = self.begun
        await self._plane.move.swap()
        assert begun.prepared is not None
        begun.settings, begun.prepared = begun.prepared, None

    async def abandon(self) -> None:
        """Leave no trace of what is prepared."""
        if self._bringing is not None:
            self._bringing.cancel()
        await self._plane.move.abandon()
        self.begun.prepared = None

    async def withdraw(self) -> None:
        """Do not go to the new server any more, unless the control plane is lost before it has undone the move.

        @raise WrongOrder: nothing is prepared, perhaps because it has gone there.
        """
        if self.begun.prepared is None:
            raise WrongOrder("no move is prepared")
        self.begun.withdrawn = True

    async def prepare_again(self) -> None:
        """Prepare the same anew, because a part of it can't be used."""
        settings, same_listeners = self.begun.prepared, self.begun.same_listeners
        assert settings is not None
        await self._plane.move.abandon()
        await self.prepare(settings, same_listeners)
        self.begun.brought = Brought.PART
        await self._plane.move.connect()
        self.begun.brought = Brought.NOTHING

    async def hold(self, reason: str) -> Hold:
        """Close the gate. The operator's own pause is nothing that the control plane has to end."""
        if reason != OPERATOR:
            self.begun.holds.add(reason)
        if reason == SWITCHOVER:
            self.begun.held_at = self._clock.seconds()
        return await self._plane.gate.hold(reason)

    async def release(self, reason: str) -> Release:
        """Take `reason` back."""
        self.begun.holds.discard(reason)
        return await self._plane.gate.release(reason)
