"""Passes on to what copies what the data plane has noted: changes of clients of which the old server tells nothing."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, DeferredLock, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from redisproxy.dataplane.interface import DataPlaneLost, WrongOrder

if TYPE_CHECKING:
    from redisproxy.copying.interface import Copying
    from redisproxy.dataplane.interface import NoteOrders

BEGIN_S = 30.0
"""How long commands that were sent before may take, at the beginning."""
EVERY_S = 0.2


class PassedNotes:
    """From before the first key is read until the last one was."""

    def __init__(self, notes: NoteOrders, copying: Copying, clock: IReactorTime) -> None:
        self._notes = notes
        self._copying = copying
        self._lock = DeferredLock()
        self._failure: Failure | None = None
        self._again = LoopingCall(self._pass_on_later)
        self._again.clock = clock

    async def begin(self) -> None:
        """Have the data plane note, and pass that on again and again.

        @raise ServerBusy: commands that were sent before are not answered. @raise DataPlaneLost: it is gone.
        """
        await self._notes.begin(BEGIN_S)
        self._again.start(EVERY_S, now=False).addErrback(self._failed)

    def _pass_on_later(self) -> Deferred[None]:
        return ensureDeferred(self._pass_on())

    def _failed(self, failure: Failure) -> None:
        self._failure = failure

    async def pass_on_now(self) -> None:
        """Pass on what was noted until now; it goes on.

        @raise DataPlaneLost: notes may be lost. @raise UplinkError: what copies has failed.
        """
        await self._pass_on()

    async def pass_on(self) -> None:
        """Pass on all that was noted, once nothing is in flight.

        @raise DataPlaneLost: notes may be lost. @raise UplinkError: what copies has failed.
        """
        if self._again.running:
            self._again.stop()
        await self._pass_on()
        if self._failure is not None:
            self._failure.raiseException()

    async def _pass_on(self) -> None:
        await self._lock.acquire()
        try:
            noted = await self._notes.take()
            if noted.keys or noted.perhaps or noted.everything or noted.flushed:
                names = tuple({name for _, name in noted.keys})
                await self._copying.note(names, noted.perhaps, noted.everything, noted.flushed)
        finally:
            self._lock.release()

    async def end(self) -> None:
        """Have the data plane note no more. At any time."""
        if self._again.running:
            self._again.stop()
        with suppress(DataPlaneLost, WrongOrder):
            await self._notes.end()
