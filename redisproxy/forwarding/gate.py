"""The gate: what every command passes before it is sent.

On a command's path it stands between the session and the uplink connection. It counts what is in flight, closes on a
pause, and tells when nothing is in flight any more. It knows no sockets: whoever stops at a closed gate leaves itself
here and is called when the gate opens.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from redisproxy.forwarding.twins import Flow
from redisproxy.forwarding.waits import Waits

OPERATOR = "operator"
RELOAD = "reload"
SWITCHOVER = "switchover"
FAILOVER = "failover"
SHUTDOWN = "shutdown"
DEMOTED = "demoted"


class GateState(Enum):
    """Where the gate is; the values are what the admin pages show."""

    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"


class GateReopened(Exception):
    """The gate was opened before everything in flight had drained."""


class GateClosed(Exception):
    """Something was admitted through a closed gate: a bug in the caller."""


class Holder(Protocol):
    """Whoever waits at the closed gate."""

    def gate_opened(self) -> None:
        """Called once, in the order of arrival, after the gate has opened."""


class Gate:
    """Admission and the count of what is in flight.

    The gate is closed for named reasons and open when there are none, so that the end of a reload does not open what
    the operator has paused.

    @param flow: where the counts are; the straight way of a plain command admits itself there when it is open.
    @ivar waits: how long those have waited at it that were let in.
    @ivar closed_at: when it was closed, on the clock. @ivar held_since: when the first one had to wait at it.
    """

    def __init__(self, clock: IReactorTime, flow: Flow | None = None) -> None:
        self.flow = Flow() if flow is None else flow
        self.waits = Waits()
        self.closed_at: float | None = None
        self.held_since: float | None = None
        self._clock = clock
        self._reasons: set[str] = set()
        self._held: dict[Holder, float] = {}
        self._waiting: list[Deferred[None]] = []
        self._wake_scheduled = False

    @property
    def open(self) -> bool:
        """Whether commands may pass."""
        return self.flow.open

    @property
    def in_flight(self) -> int:
        """Commands that were admitted and not released."""
        return self.flow.in_flight

    @property
    def state(self) -> GateState:
        """RUNNING when open; PAUSING while closed with commands in flight; PAUSED when they have drained."""
        if self.open:
            return GateState.RUNNING
        return GateState.PAUSING if self.in_flight else GateState.PAUSED

    @property
    def reasons(self) -> frozenset[str]:
        """Why the gate is closed; empty when it is open."""
        return frozenset(self._reasons)

    @property
    def held(self) -> int:
        """How many wait at the closed gate."""
        return len(self._held)

    def admit(self, count: int) -> None:
        """Count `count` commands as in flight; each is to be released exactly once.

        @raise GateClosed: the gate is closed; the caller did not look at `open`.
        """
        if not self.open:
            raise GateClosed("a command was admitted through the closed gate")
        self.flow.in_flight += count

    def release(self, count: int) -> None:
        """Take `count` commands out of flight: their replies are complete, or their connection is gone."""
        flow = self.flow
        flow.in_flight -= count
        if flow.in_flight < 0:
            raise ValueError("more commands were released than admitted")
        if not flow.open and not flow.in_flight:
            self._schedule_wake()

    def close(self, reason: str) -> None:
        """Close the gate for `reason`; closing twice for one reason is the same as once."""
        if self.open:
            self.closed_at = self._clock.seconds()
        self._reasons.add(reason)
        self.flow.open = False

    def reopen(self, reason: str) -> None:
        """Take `reason` back. When it was the last one, let everybody in who waits, in order of arrival."""
        self._reasons.discard(reason)
        if self._reasons or self.open:
            return
        self.flow.reopen()
        self.closed_at = self.held_since = None
        self._fail_waiting()
        held, self._held = self._held, {}
        let_in = 0
        for holder, since in held.items():
            if self.open:
                holder.gate_opened()
                let_in += 1
            else:
                self._held[holder] = since
        self.waits.add_all(list(held.values())[:let_in], self._clock.seconds())

    def hold(self, holder: Holder) -> None:
        """Remember `holder` until the gate opens; it is asked once however often it comes."""
        if holder not in self._held:
            self._held[holder] = now = self._clock.seconds()
            if self.held_since is None:
                self.held_since = now

    @property
    def held_times(self) -> list[float]:
        """Since when each that waits has waited, on the clock, in order of arrival."""
        return list(self._held.values())

    def unhold(self, holder: Holder) -> None:
        """Forget `holder`, which has gone away."""
        self._held.pop(holder, None)

    def drained(self) -> Deferred[None]:
        """Fire when the gate is closed and nothing is in flight; never within the call that released the last one.

        The Deferred can be cancelled. It fails with L{GateReopened} when the gate opens first, and at once when the
        gate is open now.
        """
        waiting: Deferred[None] = Deferred(self._forget)
        if self.open:
            waiting.errback(Failure(GateReopened("the gate is open")))
            return waiting
        self._waiting.append(waiting)
        if not self.in_flight:
            self._schedule_wake()
        return waiting

    def _forget(self, waiting: Deferred[None]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
        waiting.errback(Failure(CancelledError()))

    def _schedule_wake(self) -> None:
        # A later turn: the last reply must be on its way to its client before anybody closes connections.
        if self._waiting and not self._wake_scheduled:
            self._wake_scheduled = True
            self._clock.callLater(0, self._wake)

    def _wake(self) -> None:
        self._wake_scheduled = False
        if self.open or self.in_flight:
            return
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def _fail_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.errback(Failure(GateReopened("unpaused before every client was suspended")))
