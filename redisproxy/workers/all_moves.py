"""A move of all workers as one: each prepares it, or none does, and those that swap are the only ones left."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, ensureDeferred

from redisproxy.dataplane.interface import DataPlaneLost, WrongOrder
from redisproxy.workers.share import share_of

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.dataplane.interface import MoveOrders
    from redisproxy.workers.members import Members

SWAP_S = 2.0
"""A worker that does not swap within this time is lost: the clients of all others are held meanwhile."""


class AllMoves:
    """Implements C{interface.MoveOrders}."""

    def __init__(self, members: Members) -> None:
        self._members = members

    def prepare(self, settings: Settings, same_listeners: bool = False) -> Deferred[None]:
        return ensureDeferred(self._prepare(settings, same_listeners))

    async def _prepare(self, settings: Settings, same_listeners: bool) -> None:
        members = self._members
        if members.prepared is not None:
            raise WrongOrder("a move is prepared already: abandon it first")
        members.prepared = settings
        try:
            await members.each(lambda plane: plane.move.prepare(share_of(settings), same_listeners))
        except BaseException:
            await self._abandon()
            raise

    def connect(self) -> Deferred[None]:
        return ensureDeferred(self._work(lambda move: move.connect()))

    def prove_watches(self) -> Deferred[None]:
        return ensureDeferred(self._work(lambda move: move.prove_watches()))

    def bring(self) -> Deferred[None]:
        return ensureDeferred(self._work(lambda move: move.bring()))

    async def _work(self, order: Callable[[MoveOrders], Deferred[None]]) -> None:
        self._prepared()
        await self._members.each(lambda plane: order(plane.move), cut_short=True)

    def _prepared(self) -> Settings:
        if self._members.prepared is None:
            raise WrongOrder("no move is prepared")
        return self._members.prepared

    def swap(self) -> Deferred[None]:
        return ensureDeferred(self._swap())

    async def _swap(self) -> None:
        members = self._members
        # In force from here on, whatever happens: who does not swap is lost, and replaced with these.
        members.settings, members.prepared = self._prepared(), None
        await members.each_or_lose(lambda plane: plane.move.swap(), SWAP_S)
        members.let_join()

    def abandon(self) -> Deferred[None]:
        return ensureDeferred(self._abandon())

    async def _abandon(self) -> None:
        members = self._members
        members.prepared = None
        try:
            await members.each(lambda plane: plane.move.abandon())
        except DataPlaneLost:
            pass  # nobody is left who has prepared anything
        finally:
            members.let_join()
