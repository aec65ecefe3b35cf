"""After a switchover whose leader was lost: looks at both servers for some time, and follows a late promotion.

A leader that stood still may have fenced the old server after this proxy has let its clients go on there, because it
was not fenced then. They could not write there any more, and the new server has all that they have written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.control.errors import OperationError
from redisproxy.dataplane.interface import SWITCHOVER
from redisproxy.net.deferreds import carried_out
from redisproxy.remote.interrupted import Arbiter, Verdict

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.control.answers import Answer
    from redisproxy.control.configuration import Candidate
    from redisproxy.fleet.here import Here

LOOK_S = 0.25
LASTS_S = 60.0
NAME = "move to the server that was promoted"


class Vigil:
    """At most one at a time: the last switchover's."""

    log = Logger(namespace="redisproxy.fleet")

    def __init__(self, here: Here) -> None:
        self._here = here
        self._arbiter = Arbiter(here.network, here.clock)
        self._keeping: Deferred[None] | None = None

    def begin(self, old: Settings, new: Candidate) -> None:
        """Look at the servers of a switchover from one to the other, for as long as the old one stays in use."""
        self.stop()
        if self._here.configuration.settings is old and old.switchover.mode != "external":
            self._keeping = ensureDeferred(self._keep(old, new))
            self._keeping.addErrback(self._ended)

    def _ended(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self.log.failure("looking at the servers failed", failure=failure)

    def stop(self) -> None:
        """Look no more."""
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.cancel()

    async def _keep(self, old: Settings, new: Candidate) -> None:
        configuration, clock = self._here.configuration, self._here.clock
        ends = clock.seconds() + LASTS_S
        while clock.seconds() < ends and configuration.settings is old:
            await deferLater(clock, LOOK_S)
            if await self._arbiter.look(old, new.settings) is Verdict.GO:
                await carried_out(self._follow(old, new))

    async def _follow(self, old: Settings, new: Candidate) -> None:
        server = str(new.settings.uplink.address)
        self.log.warn("{server} was promoted after the leader was lost: the clients go there", server=server)
        try:
            await self._here.control.exclusion.run(NAME, lambda: self._go(old, new))
        except OperationError as error:
            self.log.warn("the clients can't go to {server} yet: {error}", server=server, error=error)

    async def _go(self, old: Settings, new: Candidate) -> Answer:
        move = self._here.control.move
        if self._here.configuration.settings is not old:
            return {}
        await move.connect(new)
        return await move.carry_out(new, SWITCHOVER)
