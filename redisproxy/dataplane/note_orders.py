"""The orders that note what clients change silently, carried out in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from redisproxy.dataplane.interface import Noted, WrongOrder
from redisproxy.handlers.blocking import Blocking
from redisproxy.net.errors import ServerBusy

if TYPE_CHECKING:
    from redisproxy.dataplane.in_force import InForce
    from redisproxy.forwarding.twins import Entry
    from redisproxy.shared.notes import Notes
    from redisproxy.uplink.connection import UplinkConnection

POLL_S = 0.01
NOT_ON = "nothing is noted: begin first"
_UNANSWERED = "commands that were sent before have not been answered within {limit_s:g} s"


class LocalNotes:
    """Implements C{interface.NoteOrders}."""

    def __init__(self, notes: Notes, in_force: InForce, clock: IReactorTime) -> None:
        self._notes = notes
        self._in_force = in_force
        self._clock = clock

    def begin(self, limit_s: float) -> Deferred[None]:
        return ensureDeferred(self._begin(limit_s))

    async def _begin(self, limit_s: float) -> None:
        self._notes.begin()
        self._in_force.note(True)
        try:
            await self._answered(limit_s)
        except BaseException:
            self._end()
            raise

    async def _answered(self, limit_s: float) -> None:
        """Wait for what was sent before; of that nothing is noted."""
        sent, until = self._in_flight(), self._clock.seconds() + limit_s
        while sent := _still(sent):
            if self._clock.seconds() >= until:
                raise ServerBusy(_UNANSWERED.format(limit_s=limit_s))
            await deferLater(self._clock, POLL_S, lambda: None)

    def _in_flight(self) -> dict[UplinkConnection, list[Entry]]:
        """Commands of clients that were sent and not answered, but for those that note by themselves."""
        return {
            connection: [
                entry for entry in connection.queue.entries() if entry.counted and not isinstance(entry.sink, Blocking)
            ]
            for connection in self._in_force.uplinks.registry
        }

    def take(self) -> Deferred[Noted]:
        return maybeDeferred(self._take)

    def _take(self) -> Noted:
        if not self._notes.on:
            raise WrongOrder(NOT_ON)
        return self._notes.take()

    def end(self) -> Deferred[None]:
        return maybeDeferred(self._end)

    def _end(self) -> None:
        if self._notes.on:
            self._notes.end()
            self._in_force.note(False)


def _still(sent: dict[UplinkConnection, list[Entry]]) -> dict[UplinkConnection, list[Entry]]:
    """Of these commands, those that are not answered yet."""
    left = {}
    for connection, entries in sent.items():
        waiting = set(map(id, connection.queue.entries()))
        still = [entry for entry in entries if id(entry) in waiting]
        if still:
            left[connection] = still
    return left
