"""The end: accept nobody, let clients leave, let what is in flight finish, all within bounds; then close everything.

Behind a load balancer clients leave by themselves once it sends new ones elsewhere. Those that asked for maintenance
notifications are told to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from redisproxy.control.drain import drain
from redisproxy.dataplane.interface import SHUTDOWN, GateReopened

if TYPE_CHECKING:
    from redisproxy.config import ShutdownSettings
    from redisproxy.dataplane.interface import DataPlane

MARGIN_S = 15.0
"""For what has no setting: a move that is undone, and last replies on their way."""


class Shutdown:
    """Parts with every client, in two steps.

    @param settings: gives those that are in force.
    @ivar begun: the process is about to end.
    """

    log = Logger(namespace="redisproxy")

    def __init__(self, dataplane: DataPlane, settings: Callable[[], ShutdownSettings], clock: IReactorTime) -> None:
        self._dataplane = dataplane
        self._settings = settings
        self._clock = clock
        self.begun = False
        self._deadline = 0.0
        self._hurried = False
        self._waiting: Deferred[None] | None = None

    @property
    def longest_s(self) -> float:
        """How long the whole end takes at the most."""
        settings = self._settings()
        return (settings.leaving_ms + settings.drain_deadline_ms) / 1000 + MARGIN_S

    @property
    def left_s(self) -> float:
        """How long clients are still waited for, at the most."""
        return 0.0 if self._hurried else max(0.0, self._deadline - self._clock.seconds())

    def begin(self) -> None:
        """Say from now on that the process ends."""
        self.begun = True
        self._deadline = self._clock.seconds() + self._settings().leaving_ms / 1000

    def hurry(self) -> None:
        """Wait no longer, nor begin to, for clients to leave; what is in flight is waited for all the same."""
        self._hurried = True
        if self._waiting is not None:
            self.log.warn("a second signal: clients that have not left are not waited for any longer")
            self._waiting.cancel()

    async def let_clients_leave(self) -> None:
        """Accept nobody, tell who wants to know, and go on serving until all have left or their time is over."""
        settings, clients = self._settings(), self._dataplane.clients
        await clients.stop_listening()
        within_s = (settings.notice_ms or settings.wait_for_clients_ms or settings.drain_deadline_ms) / 1000
        await self._unless_hurried(
            clients.give_notice(within_s, min(settings.notice_ms / 1000, self.left_s), settings.moving_to or "")
        )
        if settings.wait_for_clients_ms and self.left_s:
            await self._wait_for_all()

    async def _wait_for_all(self) -> None:
        before = await self._count()
        if before:
            text = "waiting for {count} clients to leave, {s} s at the most; SIGTERM or SIGINT ends the wait"
            self.log.info(text, count=before, s=round(self.left_s, 1))
            await self._unless_hurried(self._dataplane.clients.all_left().addTimeout(self.left_s, self._clock))
        self.log.info("clients have had their time to leave, {count} have stayed", count=await self._count())

    async def _count(self) -> int:
        figures = await self._dataplane.figures()
        return figures.clients_open + figures.raw_connections

    async def _unless_hurried(self, work: Deferred[None]) -> None:
        self._waiting = work
        if self._hurried:
            work.cancel()
        try:
            await work
        except (CancelledError, TimedOut):
            pass
        finally:
            self._waiting = None

    async def close_clients(self) -> None:
        """Part with every client that is left. No move runs any more."""
        clients, gate = self._dataplane.clients, self._dataplane.gate
        await gate.hold(SHUTDOWN)
        try:
            dropped = await drain(gate, self._clock, self._settings().drain_deadline_ms / 1000)
        except GateReopened:
            dropped = []
        if dropped:
            self.log.warn("{count} clients were still waiting for replies", count=len(dropped))
        await clients.close_all()
