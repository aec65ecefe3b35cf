"""A peer's part in an operation that another proxy leads: nothing else begins here until it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred

from redisproxy.dataplane.interface import Rejected
from redisproxy.net.deferreds import carried_out

if TYPE_CHECKING:
    from redisproxy.control.answers import Answer
    from redisproxy.control.exclusion import Exclusion
    from redisproxy.remote.link import Link


class Participation:
    """In one operation.

    @param what: the operation, and who leads it. @param link: on which the leader gives its orders.
    """

    def __init__(self, exclusion: Exclusion, what: str, link: Link) -> None:
        self._exclusion = exclusion
        self._what = what
        self._link = link
        self._over = False
        self._waiting: list[Deferred[None]] = []

    def begin(self) -> None:
        """Take part from now on, and begin nothing else meanwhile.

        @raise Rejected: something runs here already, or the proxy shuts down.
        """
        refused: list[str] = []
        running = self._exclusion.run(self._what, self._run)
        running.addErrback(lambda failure: refused.append(failure.getErrorMessage()))
        if refused:
            raise Rejected(refused[0])

    async def _run(self) -> Answer:
        try:
            await self._until_over()
        except CancelledError:
            self._link.abort()  # it ends as if the leader had gone
            await carried_out(self._until_over())
            raise
        return {}

    async def _until_over(self) -> None:
        if not self._over:
            waiting: Deferred[None] = Deferred(self._waiting.remove)
            self._waiting.append(waiting)
            await waiting

    def finish(self) -> None:
        """It is over."""
        self._over = True
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)
