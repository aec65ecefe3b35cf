"""The notes of all workers as one. What a worker had noted that is lost nobody knows, so it counts as everything."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, ensureDeferred

from redisproxy.dataplane.interface import DataPlaneLost, Noted, WrongOrder

if TYPE_CHECKING:
    from redisproxy.workers.members import Members


class AllNotes:
    """Implements C{interface.NoteOrders}."""

    def __init__(self, members: Members) -> None:
        self._members = members

    def begin(self, limit_s: float) -> Deferred[None]:
        return ensureDeferred(self._begin(limit_s))

    async def _begin(self, limit_s: float) -> None:
        members = self._members
        members.noting, members.lost_while_noting = True, False
        try:
            await members.each(lambda plane: plane.notes.begin(limit_s), cut_short=True)
        except BaseException:
            await self._end()
            raise

    def take(self) -> Deferred[Noted]:
        return ensureDeferred(self._take())

    async def _take(self) -> Noted:
        members = self._members
        if not members.noting:
            raise WrongOrder("nothing is noted: begin first")
        each = await members.each(lambda plane: plane.notes.take())
        lost, members.lost_while_noting = members.lost_while_noting, False
        return together(each, lost)

    def end(self) -> Deferred[None]:
        return ensureDeferred(self._end())

    async def _end(self) -> None:
        members = self._members
        members.noting = False
        with suppress(DataPlaneLost):  # then there is nobody who notes
            await members.each(lambda plane: plane.notes.end())


def together(each: Sequence[Noted], lost: bool) -> Noted:
    """All notes as one. @param lost: some are missing."""
    return Noted(
        keys=tuple({key for noted in each for key in noted.keys}),
        perhaps=tuple({key for noted in each for key in noted.perhaps}),
        functions=any(noted.functions for noted in each),
        everything=lost or any(noted.everything for noted in each),
        flushed=any(noted.flushed for noted in each),
    )
