"""The operator's pause: hold the clients, wait until they are suspended, and take it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.control.answers import Answer, gate_answer
from redisproxy.control.drain import drain
from redisproxy.control.errors import SHUTTING_DOWN, WrongState
from redisproxy.dataplane.interface import OPERATOR, DataPlaneLost, GateReopened

if TYPE_CHECKING:
    from redisproxy.control.configuration import Configuration
    from redisproxy.control.holding import Holding
    from redisproxy.control.shutdown import Shutdown
    from redisproxy.dataplane.interface import GateOrders

UNPAUSED = "unpaused before every client was suspended"


class Pause:
    """One reason among others to hold clients: a reload while paused takes its settings and leaves the proxy paused."""

    log = Logger(namespace="redisproxy.control")

    def __init__(
        self,
        gate: GateOrders,
        holding: Holding,
        configuration: Configuration,
        shutdown: Shutdown,
        clock: IReactorTime,
    ) -> None:
        self._gate = gate
        self._holding = holding
        self._configuration = configuration
        self._shutdown = shutdown
        self._clock = clock
        self._waiting: list[Deferred[Answer]] = []

    def pause(self) -> Deferred[Answer]:
        """Close the gate and answer at once; what runs longer than the drain deadline is dropped later.

        Refused while the proxy shuts down, because clients that are to leave could not end what they have begun.
        """
        if self._shutdown.begun:
            return fail(WrongState(SHUTTING_DOWN))
        return ensureDeferred(self._pause())

    async def _pause(self) -> Answer:
        status = await self._holding.hold(OPERATOR)
        draining = ensureDeferred(drain(self._gate, self._clock, self._configuration.drain_limit_s))
        draining.addErrback(lambda failure: failure.trap(GateReopened, DataPlaneLost, CancelledError))
        draining.addErrback(self._log_failure)
        return gate_answer(status)

    def _log_failure(self, failure: Failure) -> None:
        self.log.failure("draining failed", failure=failure)

    def pause_and_wait(self, timeout_ms: int | None) -> Deferred[Answer]:
        """Close the gate; fire when every client is suspended, after dropping what runs longer than the limit."""
        if self._shutdown.begun:
            return fail(WrongState(SHUTTING_DOWN))
        limit_s = self._configuration.drain_limit_s if timeout_ms is None else timeout_ms / 1000
        answer: Deferred[Answer] = Deferred(lambda _: suspending.cancel())
        suspending = ensureDeferred(self._suspend(limit_s))
        self._waiting.append(answer)
        suspending.addErrback(_explain).addBoth(self._settle, answer)
        return answer

    async def _suspend(self, limit_s: float) -> Answer:
        await self._holding.hold(OPERATOR)
        dropped = await drain(self._gate, self._clock, limit_s)
        return {**gate_answer(await self._gate.state()), "dropped": dropped}

    def _settle(self, result: Answer | Failure, answer: Deferred[Answer]) -> None:
        if answer in self._waiting:
            self._waiting.remove(answer)
        if not answer.called:
            answer.callback(result)

    def unpause(self) -> Deferred[Answer]:
        """Take the operator's pause back. Unpausing when running is no error."""
        waiting, self._waiting = self._waiting, []
        released = self._holding.release(OPERATOR)
        for answer in (each for each in waiting if not each.called):
            answer.errback(Failure(WrongState(UNPAUSED)))
        return released.addCallback(lambda release: gate_answer(release.gate))


def _explain(failure: Failure) -> Failure:
    return Failure(WrongState(UNPAUSED)) if failure.check(GateReopened) else failure
