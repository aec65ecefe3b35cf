"""Going to other settings without taking the data along: what a reload and a failover have in common."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime

from redisproxy.control.answers import Answer, gate_answer
from redisproxy.control.drain import drain
from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.net.deferreds import carried_out, shielded

if TYPE_CHECKING:
    from redisproxy.control.configuration import Candidate, Configuration
    from redisproxy.control.holding import Holding
    from redisproxy.dataplane.interface import DataPlane, Release


class Move:
    """Carries a candidate to the data plane, and puts it in force."""

    def __init__(
        self, dataplane: DataPlane, configuration: Configuration, holding: Holding, clock: IReactorTime
    ) -> None:
        self._dataplane = dataplane
        self._configuration = configuration
        self._holding = holding
        self._clock = clock

    async def prepare(self, candidate: Candidate) -> None:
        """Have the data plane build it; nothing changes, and on failure nothing is left.

        @raise Rejected: certificates can't be used.
        """
        try:
            await self._dataplane.move.prepare(candidate.settings, candidate.same_listeners)
        except CancelledError:
            await self.abandon()  # the order is carried out all the same
            raise

    async def connect(self, candidate: Candidate) -> None:
        """Prepare it and log in at its server; nothing changes, and on failure nothing is left.

        @raise Rejected: certificates can't be used. @raise UplinkError: the server can't be used.
        """
        await self.prepare(candidate)
        try:
            await self._dataplane.move.connect()
        except BaseException:
            await self.abandon()
            raise

    async def abandon(self) -> None:
        """Leave nothing of what is prepared. A data plane that is lost sees to that by itself."""
        with suppress(DataPlaneLost):
            await self._dataplane.move.abandon()

    async def carry_out(self, candidate: Candidate, reason: str) -> Answer:
        """Hold, drain, bring, swap, release; L{connect} has gone before. Whatever fails, nothing is left of it."""
        started = self._clock.seconds()
        try:
            before, dropped = await self._take(candidate, reason)
        except BaseException:
            with suppress(DataPlaneLost):
                await shielded(self._release(reason))
            raise
        release = await shielded(self._released(reason))
        pause_ms = round((self._clock.seconds() - started) * 1000, 1)
        told = {"changed": list(candidate.changed), "pause_ms": pause_ms, "dropped": dropped}
        return {**before, **gate_answer(release.gate), **told}

    async def _released(self, reason: str) -> Release:
        try:
            return await self._release(reason)
        except DataPlaneLost as error:
            text = f"{error}: the new configuration is in force, and the data plane lets the clients go on by itself"
            raise DataPlaneLost(text) from error

    async def _release(self, reason: str) -> Release:
        return await self._holding.release(reason)

    async def _take(self, candidate: Candidate, reason: str) -> tuple[Answer, list[Answer]]:
        gate, move, limit_s = self._dataplane.gate, self._dataplane.move, self._configuration.drain_limit_s
        try:
            before = gate_answer(await gate.state())
            await self._holding.hold(reason)
            dropped = await drain(gate, self._clock, limit_s)
            await move.bring()
            await carried_out(self.swap(candidate))
        except BaseException:
            await self.abandon()
            raise
        return before, dropped

    async def swap(self, candidate: Candidate) -> None:
        """Put it in force. The gate is closed and nothing is in flight.

        @raise DataPlaneLost: it may be in force or not.
        """
        try:
            await self._dataplane.move.swap()
        except DataPlaneLost as error:
            raise DataPlaneLost(f"{error}: whether the new configuration is in force is unknown") from error
        self._configuration.take(candidate)
