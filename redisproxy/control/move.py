"""Going to other settings without taking the data along: what a reload and a failover have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime

from redisproxy.control.answers import Answer, gate_answer
from redisproxy.control.drain import drain
from redisproxy.net.deferreds import shielded

if TYPE_CHECKING:
    from redisproxy.control.configuration import Candidate, Configuration
    from redisproxy.control.holding import Holding
    from redisproxy.dataplane.interface import DataPlane


class Move:
    """Carries a candidate to the data plane, and puts it in force."""

    def __init__(
        self, dataplane: DataPlane, configuration: Configuration, holding: Holding, clock: IReactorTime
    ) -> None:
        self._dataplane = dataplane
        self._configuration = configuration
        self._holding = holding
        self._clock = clock

    async def connect(self, candidate: Candidate) -> None:
        """Prepare it and log in at its server; nothing changes, and on failure nothing is left.

        @raise Rejected: certificates can't be used. @raise UplinkError: the server can't be used.
        """
        move = self._dataplane.move
        await move.prepare(candidate.settings, candidate.same_listeners)
        try:
            await move.connect()
        except BaseException:
            await move.abandon()
            raise

    async def carry_out(self, candidate: Candidate, reason: str) -> Answer:
        """Hold, drain, bring, swap, release; L{connect} has gone before. Whatever fails, nothing is left of it."""
        started, before = self._clock.seconds(), gate_answer(await self._dataplane.gate.state())
        try:
            dropped = await self._take(candidate, reason)
        finally:
            release = await self._holding.release(reason)
        pause_ms = round((self._clock.seconds() - started) * 1000, 1)
        told = {"changed": list(candidate.changed), "pause_ms": pause_ms, "dropped": dropped}
        return {**before, **gate_answer(release.gate), **told}

    async def _take(self, candidate: Candidate, reason: str) -> list[Answer]:
        move, limit_s = self._dataplane.move, self._configuration.drain_limit_s
        try:
            await self._holding.hold(reason)
            dropped = await drain(self._dataplane.gate, self._clock, limit_s)
            await move.bring()
            await shielded(self.swap(candidate))
        except BaseException:
            await move.abandon()
            raise
        return dropped

    async def swap(self, candidate: Candidate) -> None:
        """Put it in force. The gate is closed and nothing is in flight."""
        await self._dataplane.move.swap()
        self._configuration.take(candidate)
