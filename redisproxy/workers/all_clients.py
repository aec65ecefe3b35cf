"""The clients of all workers.

The last two digits of a client's id are the number of the worker that it came to; it may be with another one by now.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred

from redisproxy.dataplane.client_rows import ClientQuery, ClientTable, together
from redisproxy.dataplane.interface import ClientFilter, ClientLine, DataPlaneLost, NotSupported

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from twisted.python.failure import Failure

    from redisproxy.dataplane.interface import DataPlane
    from redisproxy.workers.members import Member, Members

ID_STEP = 100
ANSWER_S = 1.0


class AllClients:
    """Implements C{interface.ClientOrders}.

    @param stop_listening: accept no more clients.
    """

    def __init__(self, members: Members, stop_listening: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._members = members
        self._stop_listening = stop_listening

    def list(self, which: ClientFilter) -> Deferred[tuple[ClientLine, ...]]:
        return ensureDeferred(self._list(which))

    async def _list(self, which: ClientFilter) -> tuple[ClientLine, ...]:
        away = self._members.away.copy()
        answers = await self._members.each_in_time(lambda plane: plane.clients.list(which), ANSWER_S)
        self._all_answered(answers, away)
        # Whoever goes from one to another in this moment is with both.
        by_id = {line.id: line for _, lines in answers for line in lines or ()}
        return tuple(by_id[number] for number in sorted(by_id))

    def _all_answered(
        self, answers: builtins.list[tuple[Member, tuple[ClientLine, ...] | None]], away: builtins.list[Member]
    ) -> None:
        """
        @param away: those that could not be asked.
        @raise DataPlaneLost: one that is alive has not answered: what the others say is not the whole.
        """
        alive = [member for member, lines in answers if lines is None and member in self._members]
        for member in (*alive, *away, *self._members.away):
            raise DataPlaneLost(f"{member.label} has not answered within {ANSWER_S:g} s; try again")

    def table(self, which: ClientQuery) -> Deferred[ClientTable]:
        return ensureDeferred(_table(self._members, which))

    def kill(self, ids: frozenset[int]) -> Deferred[int]:
        return ensureDeferred(self._kill(ids))

    async def _kill(self, ids: frozenset[int]) -> int:
        answers = await self._members.each_in_time(lambda plane: plane.clients.kill(ids), ANSWER_S)
        return min(len(ids), sum(count or 0 for _, count in answers))

    def unblock(self, client_id: int, error: bool = False) -> Deferred[bool]:
        return ensureDeferred(self._unblock(client_id, error))

    async def _unblock(self, client_id: int, error: bool) -> bool:
        away = self._members.away.copy()
        answers = await self._members.each_in_time(lambda plane: plane.clients.unblock(client_id, error), ANSWER_S)
        done = any(done for _, done in answers)
        if away and not done:
            raise DataPlaneLost(f"{away[0].label} can't be asked for a moment; try again")
        return done

    def highest_db(self) -> Deferred[int]:
        return ensureDeferred(self._highest_db())

    async def _highest_db(self) -> int:
        return max(await self._members.each(lambda plane: plane.clients.highest_db()))

    def terminate_raw(self) -> Deferred[int]:
        return ensureDeferred(self._terminate_raw())

    async def _terminate_raw(self) -> int:
        return sum(await self._members.each(lambda plane: plane.clients.terminate_raw()))

    # -- the end

    def stop_listening(self) -> Deferred[None]:
        return ensureDeferred(self._stop_listening())

    def give_notice(self, within_s: float, wait_s: float, endpoint: str = "") -> Deferred[None]:
        return ensureDeferred(self._give_notice(within_s, wait_s, endpoint))

    async def _give_notice(self, within_s: float, wait_s: float, endpoint: str) -> None:
        await self._members.each(lambda plane: plane.clients.give_notice(within_s, wait_s, endpoint))

    def all_left(self) -> Deferred[None]:
        return ensureDeferred(self._all_left())

    async def _all_left(self) -> None:
        await self._members.each(lambda plane: plane.clients.all_left())

    def close_all(self) -> Deferred[None]:
        return ensureDeferred(self._close_all())

    async def _close_all(self) -> None:
        await self._members.each(lambda plane: plane.clients.close_all())


async def _table(members: Members, which: ClientQuery) -> ClientTable:
    def ask(plane: DataPlane) -> Deferred[ClientTable | None]:
        return plane.clients.table(which).addErrback(_not_supported)

    away = members.away.copy()
    answers = await members.each_in_time(ask, ANSWER_S)
    told = [(member.number, table) for member, table in answers if table is not None]
    missing = [member.label for member, table in answers if table is None and member in members]
    return together(told, (*missing, *(member.label for member in away)), which)


def _not_supported(failure: Failure) -> None:
    failure.trap(NotSupported)
