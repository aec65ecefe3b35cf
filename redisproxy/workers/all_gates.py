"""The gates of all workers as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, ensureDeferred, succeed

from redisproxy.dataplane.held_course import together
from redisproxy.dataplane.interface import OPERATOR, ClientInFlight, DataPlaneLost, GateStatus, Hold, Release

if TYPE_CHECKING:
    from redisproxy.dataplane.interface import DataPlane
    from redisproxy.workers.members import Members


class AllGates:
    """Implements C{interface.GateOrders}.

    @ivar unwatched: the data planes that are held, and none of whose clients has a WATCH.
    """

    def __init__(self, members: Members) -> None:
        self._members = members
        self._at_rest: set[DataPlane] = set()
        self.unwatched: set[DataPlane] = set()

    def state(self) -> Deferred[GateStatus]:
        return ensureDeferred(self._state())

    async def _state(self) -> GateStatus:
        return status_of(await self._members.each(lambda plane: plane.gate.state()))

    def hold(self, reason: str) -> Deferred[Hold]:
        return ensureDeferred(self._hold(reason))

    async def _hold(self, reason: str) -> Hold:
        members = self._members
        members.reasons.add(reason)
        members.unpaused = members.unpaused and reason != OPERATOR
        try:
            holds = await members.each(lambda plane: plane.gate.hold(reason).addCallback(self._held, plane))
        except Exception:
            await self._release(reason)
            raise
        return Hold(any(each.closed for each in holds), status_of([each.gate for each in holds]))

    def _held(self, hold: Hold, plane: DataPlane) -> Hold:
        # Also taken back: the answer to an earlier hold may have come after the gate was opened.
        (self._at_rest.add if hold.gate.state == "paused" else self._at_rest.discard)(plane)
        (self.unwatched.discard if hold.may_watch else self.unwatched.add)(plane)
        return hold

    def release(self, reason: str) -> Deferred[Release]:
        return ensureDeferred(self._release(reason))

    async def _release(self, reason: str) -> Release:
        members = self._members
        members.reasons.discard(reason)
        members.unpaused = members.unpaused or reason == OPERATOR
        self._at_rest.clear()
        self.unwatched.clear()
        try:
            released = await members.each(lambda plane: plane.gate.release(reason))
        except DataPlaneLost:
            released = []  # there is nobody who could wait
        finally:
            members.let_join()
        return released_together(released)

    def drained(self) -> Deferred[None]:
        return ensureDeferred(self._drained())

    async def _drained(self) -> None:
        # Those that had nothing in flight have said so: every order costs the clients time, with many workers.
        rest = self._at_rest if self._members.reasons else set()
        await self._members.each(lambda plane: succeed(None) if plane in rest else plane.gate.drained(), cut_short=True)

    def who_is_in_flight(self) -> Deferred[tuple[ClientInFlight, ...]]:
        return ensureDeferred(self._in_flight(drop=False))

    def drop_in_flight(self) -> Deferred[tuple[ClientInFlight, ...]]:
        return ensureDeferred(self._in_flight(drop=True))

    async def _in_flight(self, drop: bool) -> tuple[ClientInFlight, ...]:
        found = await self._members.each(
            lambda plane: plane.gate.drop_in_flight() if drop else plane.gate.who_is_in_flight()
        )
        # Those that have waited longest come first in each worker, and only some are shown.
        return tuple(client for clients in zip_longest(*found) for client in clients if client is not None)


def status_of(gates: Sequence[GateStatus]) -> GateStatus:
    """Several gates as one: it is paused when each is."""
    states = {gate.state for gate in gates}
    return GateStatus(
        state=states.pop() if len(states) == 1 else "pausing",
        reasons=tuple(sorted({reason for gate in gates for reason in gate.reasons})),
        in_flight=sum(gate.in_flight for gate in gates),
        held=sum(gate.held for gate in gates),
        busy=next((gate.busy for gate in gates if gate.busy), ""),
    )


def released_together(released: Sequence[Release]) -> Release:
    """What became of several as one."""
    closed = [each.closed_s for each in released if each.closed_s is not None]
    return Release(
        opened=any(each.opened for each in released),
        gate=status_of([each.gate for each in released]) if released else GateStatus("running"),
        closed_s=max(closed, default=None),
        held=sum(each.held for each in released),
        longest_wait_s=max((each.longest_wait_s for each in released), default=0.0),
        clients_closed=dict(sum((Counter(each.clients_closed) for each in released), Counter[str]())),
        held_course=together(each.held_course for each in released),
    )
