"""A move of all workers as one: each prepares it, or none does, and those that swap are the only ones left.

With another number of workers, further ones are there before it begins, and those that are too many leave after it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Set
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, ensureDeferred, succeed

from redisproxy.dataplane.interface import DataPlaneLost, WrongOrder
from redisproxy.workers.share import for_listeners_of

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.dataplane.interface import DataPlane
    from redisproxy.workers.members import Members

BACK_S = 5.0
"""For a worker that goes on by itself to be driven again."""
SWAP_S = 2.0
"""A worker that does not swap within this time is lost: the clients of all others are held meanwhile."""


class Numbers(Protocol):
    """How many workers there are."""

    async def grow(self, count: int) -> None:
        """Have at least so many.

        @raise Rejected: they do not start.
        """

    def keep(self, count: int) -> None:
        """Have so many from now on: start those that are missing, and part with the others."""


class FixedNumber:
    """Implements L{Numbers}: there are as many as there are."""

    async def grow(self, count: int) -> None: ...

    def keep(self, count: int) -> None: ...


class AllMoves:
    """Implements C{interface.MoveOrders}.

    @param quiet: has nobody given from one to another any more, and fires when nobody is on the way.
    @param unwatched: the data planes that are held, and have no WATCH to prove.
    """

    def __init__(
        self,
        members: Members,
        numbers: Numbers | None = None,
        quiet: Callable[[], Coroutine[Deferred[Any], Any, None]] | None = None,
        unwatched: Set[DataPlane] = frozenset(),
    ) -> None:
        self._members = members
        self._numbers = numbers or FixedNumber()
        self._quiet = quiet
        self._unwatched = unwatched
        self._preparing = False

    def prepare(self, settings: Settings, same_listeners: bool = False) -> Deferred[None]:
        return ensureDeferred(self._prepare(settings, same_listeners))

    async def _prepare(self, settings: Settings, same_listeners: bool) -> None:
        if self._members.prepared is not None or self._preparing:
            raise WrongOrder("a move is prepared already: abandon it first")
        self._preparing = True
        try:
            await self._numbers.grow(settings.worker_count)
            await self._members.all_back(BACK_S)
            await self._prepare_all(settings, same_listeners)
        except BaseException:
            await self._abandon()
            raise
        finally:
            self._preparing = False

    async def _prepare_all(self, settings: Settings, same_listeners: bool) -> None:
        members = self._members
        members.prepared = settings  # from here on nobody is given away
        if self._quiet is not None:
            await self._quiet()
        own = {member.plane: for_listeners_of(member, settings) for member in members.in_use}
        await members.each(lambda plane: plane.move.prepare(own.get(plane, settings), same_listeners))
        for member in members.away:
            raise DataPlaneLost(f"{member.label} was out of reach for a moment, and nothing has changed: try again")

    def connect(self) -> Deferred[None]:
        return ensureDeferred(self._work(lambda plane: plane.move.connect()))

    def prove_watches(self) -> Deferred[None]:
        return ensureDeferred(self._work(lambda plane: plane.move.prove_watches(), self._unwatched))

    def bring(self) -> Deferred[None]:
        return ensureDeferred(self._work(lambda plane: plane.move.bring()))

    async def _work(self, order: Callable[[DataPlane], Deferred[None]], done: Set[DataPlane] = frozenset()) -> None:
        self._prepared()
        rest = done if self._members.reasons else ()
        await self._members.each(lambda plane: succeed(None) if plane in rest else order(plane), cut_short=True)

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
        self._numbers.keep(members.settings.worker_count)

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
            self._numbers.keep(members.settings.worker_count)
