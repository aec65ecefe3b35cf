"""Failover: go where the sentinels say that the primary is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from redisproxy.control.errors import WrongState
from redisproxy.dataplane.interface import FAILOVER, DataPlaneLost, Rejected
from redisproxy.net.errors import UplinkError

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from redisproxy.config import TcpAddress
    from redisproxy.control.answers import Answer
    from redisproxy.control.configuration import Candidate, Configuration
    from redisproxy.control.exclusion import Exclusion
    from redisproxy.control.move import Move


class Failover:
    """The operation; L{redisproxy.control.sentinel_follower} says when."""

    log = Logger(namespace="redisproxy.control")

    def __init__(self, configuration: Configuration, move: Move, exclusion: Exclusion) -> None:
        self._configuration = configuration
        self._move = move
        self._exclusion = exclusion

    def go_to(self, address: TcpAddress) -> Deferred[Answer]:
        """Go to the primary there, as a reload goes to a new uplink; refused while another move runs."""
        return self._exclusion.run(FAILOVER, lambda: self._go_to(address))

    async def _go_to(self, address: TcpAddress) -> Answer:
        candidate = self._configuration.of_primary_at(address)
        try:
            await self._connect(candidate)
            answer = await self._move.carry_out(candidate, FAILOVER)
        except (Rejected, UplinkError, DataPlaneLost) as error:
            raise WrongState(str(error)) from error
        self.log.info("the uplink is {address} now", address=address)
        return answer

    async def _connect(self, candidate: Candidate) -> None:
        try:
            await self._move.connect(candidate)
        except Rejected as error:
            raise Rejected(f"uplink.{error}") from error
