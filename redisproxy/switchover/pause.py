"""The pause of a switchover: the clients are held, and everything that happens meanwhile has to fit the budget."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred
from twisted.internet.interfaces import IReactorTime

from redisproxy.dataplane.interface import DataPlaneLost

if TYPE_CHECKING:
    from redisproxy.dataplane.interface import ClientInFlight, GateOrders
    from redisproxy.switchover.control_plane import Gatekeeper
    from redisproxy.switchover.report import SwitchoverReport

T = TypeVar("T")
ROLLBACK_SHARE = 0.2
"""The part of the pause budget that is kept for rolling back."""
HOLD_S = 1.0
"""How long clients are held for lifting the fence, if the pause budget is used up."""


class Pause:
    """The pause of one switchover.

    @param budget_ms: the setting C{switchover.pause_budget_ms}.
    @ivar stuck: the clients that had commands in flight when the drain took too long.
    """

    def __init__(
        self, control_plane: Gatekeeper, report: SwitchoverReport, budget_ms: int, clock: IReactorTime
    ) -> None:
        self.budget_ms = budget_ms
        self._control_plane = control_plane
        self._report = report
        self._clock = clock
        self._began: float | None = None
        self.stuck: tuple[ClientInFlight, ...] = ()

    @property
    def budget_ends(self) -> float | None:
        """When the budget is used up, on the clock; None while clients are not held."""
        return None if self._began is None else self._began + self.budget_ms / 1000

    @property
    def fence_lifted_by(self) -> float | None:
        """Until when to hold the clients for lifting the fence, behind which they would get errors, on the clock.

        None while they are not held.
        """
        ends = self.budget_ends
        return None if ends is None else max(ends, self._clock.seconds() + HOLD_S)

    async def begin(self) -> None:
        """Hold the clients."""
        self._began = self._clock.seconds()
        await self._control_plane.hold()

    async def drain(self, gate: GateOrders) -> None:
        """Wait until nothing is in flight.

        @raise TimeoutError: the budget was not enough; C{stuck} says for whom.
        """
        try:
            await self.within(gate.drained())
        except TimeoutError:
            self.stuck = await gate.who_is_in_flight()
            raise

    async def end_at_the_new(self) -> None:
        """Let the clients go on at the new server; a data plane that is lost does so by itself."""
        try:
            await self.end()
        except DataPlaneLost as error:
            self._report.fields["clients_closed"] = {}
            self._report.warn([f"{error}: it lets the clients go on by itself"])

    async def end(self) -> None:
        """Let the clients go on, and report how long they waited; nothing happens if they are not held."""
        if self._began is None:
            return
        self._began = None
        self._report.fields.update(await self._control_plane.release())

    async def within(self, work: Coroutine[Deferred[Any], Any, T] | Deferred[T]) -> T:
        """Wait for `work`, at most for what is left of the budget without the part for rolling back.

        When nothing is left, as after this process stood still, a coroutine is not begun at all: other proxies may have
        gone on by then, and would meet a fence.

        @raise TimeoutError: the budget was not enough.
        """
        assert self._began is not None
        left_s = self._began + self.budget_ms / 1000 * (1 - ROLLBACK_SHARE) - self._clock.seconds()
        if left_s <= 0 and isinstance(work, Coroutine):
            work.close()
            raise TimeoutError
        working: Deferred[T] = ensureDeferred(work)
        return await working.addTimeout(max(0.0, left_s), self._clock)
