"""Reload: take the configuration file as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from redisproxy.control.errors import WrongState
from redisproxy.dataplane.interface import RELOAD, Rejected
from redisproxy.net.errors import UplinkError

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from redisproxy.control.answers import Answer
    from redisproxy.control.configuration import Configuration
    from redisproxy.control.exclusion import Exclusion
    from redisproxy.control.left_server import LeftServer
    from redisproxy.control.move import Move
    from redisproxy.control.results import Results
    from redisproxy.control.unfinished_switchover import UnfinishedSwitchover


class Reload:
    """The operation. It always goes to the server anew, because its name may stand for another address by now."""

    log = Logger(namespace="redisproxy.control")

    def __init__(
        self,
        configuration: Configuration,
        move: Move,
        exclusion: Exclusion,
        results: Results,
        unfinished: UnfinishedSwitchover,
        left: LeftServer,
    ) -> None:
        self._left = left
        self._configuration = configuration
        self._unfinished = unfinished
        self._move = move
        self._exclusion = exclusion
        self._results = results

    def reload(self) -> Deferred[Answer]:
        """Do it; refused while another move runs."""
        return self._exclusion.run(RELOAD, self._reload)

    def on_signal(self) -> Deferred[None]:
        """Do it for a SIGHUP; one that comes while another move runs is carried out after it.

        @return: fires when it is over, however; the log has the result.
        """
        self.log.info("SIGHUP: the configuration is to be reloaded")
        return self._exclusion.run_next(RELOAD, lambda: self.reload().addErrback(self._not_begun))

    def _not_begun(self, failure: Failure) -> None:
        if failure.check(WrongState):
            self.log.warn("the SIGHUP is not carried out: {error}", error=failure.getErrorMessage())

    async def _reload(self) -> Answer:
        candidate = await self._configuration.of_the_file()
        try:
            await self._left.refuse(candidate)
            await self._unfinished.refuse(candidate)
            await self._move.connect(candidate)
        except UplinkError as error:
            where, why = str(candidate.settings.uplink.place), str(error)
            raise Rejected(f"uplink: {why}" if where in why else f"uplink: {where}: {why}") from error
        answer = await self._move.carry_out(candidate, RELOAD)
        self._results.reloaded(answer)
        return answer
