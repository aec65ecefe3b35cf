"""Data planes that get no clients any more: their clients go to others, and with the last one they end.

Who can't go (a client with TLS, a raw connection) stays and is served, also in a move. Those that asked for maintenance
notifications are told to connect again. After C{upgrade.linger_ms} all are disconnected; that counts from the moment
in which the first control process had the data plane end, not the one of the moment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.client.session_value import InvalidState
from redisproxy.dataplane.interface import SHUTDOWN, DataPlaneLost, HandoverRefused, NotSupported
from redisproxy.remote.errors import DataPlaneFailed
from redisproxy.workers.handovers import Handovers

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.workers.members import Members
    from redisproxy.workers.worker import Worker

LOOK_S = 0.5
TELL_AFTER_S = 4.0
"""Who is here still then can't go to others; before, somebody may only have something under way."""
SELDOM_S = 5.0
"""Those that could not go are tried again so much later."""


class Lingering:
    """Ends each of them.

    @param settings: gives those in force.
    @ivar workers: those that there are.
    """

    log = Logger(namespace="redisproxy.workers")

    def __init__(
        self, members: Members, handovers: Handovers, settings: Callable[[], Settings], clock: IReactorTime
    ) -> None:
        self.workers: list[Worker] = []
        self._members = members
        self._handovers = handovers
        self._settings = settings
        self._clock = clock
        self._lives: dict[Worker, Deferred[None]] = {}

    def begin(self, worker: Worker) -> None:
        """This one gets no clients any more."""
        worker.serving = False
        self.workers.append(worker)
        self._members.changed()
        life = self._lives[worker] = ensureDeferred(self._life(worker))
        life.addErrback(self._failed, worker)

    def ended(self, worker: Worker) -> None:
        """Its process has."""
        if worker in self.workers:
            self.workers.remove(worker)
            self._lives.pop(worker).cancel()

    def stop(self) -> None:
        """The control process ends: look after none of them."""
        for life in self._lives.values():
            life.cancel()

    def _failed(self, failure: Failure, worker: Worker) -> None:
        if failure.check(CancelledError):
            return  # nobody looks after it any more
        if failure.check(DataPlaneLost, DataPlaneFailed) and worker in self.workers:
            worker.failed(failure.getErrorMessage())
        elif worker in self.workers and not failure.check(DataPlaneLost):
            self.log.failure("looking after {label} failed", failure=failure, label=worker.label)

    async def _life(self, worker: Worker) -> None:
        began, wait_s, told = self._clock.seconds() - worker.retired_for_s(), LOOK_S, False
        seen = self._clock.seconds()
        while True:
            if worker in self._members:
                taken = await self._emptied(worker)
                left = await self._left(worker)
                if not left:
                    break
                if not told and not taken and self._clock.seconds() - seen >= TELL_AFTER_S:
                    told = True
                    self._tell(worker, left, began)
                wait_s = LOOK_S if taken else min(SELDOM_S, 2 * wait_s)
                if self._clock.seconds() - began >= self._limit_s and not self._members.moving:
                    await self._close(worker, left)
                    break
            await deferLater(self._clock, min(wait_s, self._rest_s(began)), lambda: None)
        await self._pass_scripts_on(worker)
        await worker.stop()

    async def _pass_scripts_on(self, worker: Worker) -> None:
        try:
            await self._members.scripts.heard(await worker.shared(), worker)
        except (DataPlaneFailed, NotSupported, InvalidState) as error:
            self.log.warn("the scripts of {label} stay unknown to others: {e}", label=worker.label, e=str(error))

    @property
    def _limit_s(self) -> float:
        return self._settings().upgrade.linger_ms / 1000

    def _rest_s(self, began: float) -> float:
        return max(LOOK_S, began + self._limit_s - self._clock.seconds())

    async def _emptied(self, worker: Worker) -> int:
        try:
            return (await self._handovers.empty(worker)).taken
        except (HandoverRefused, NotSupported) as error:
            self.log.warn("the clients of {label} stay for now: {error}", label=worker.label, error=str(error))
            return 0

    async def _left(self, worker: Worker) -> int:
        worker.last = figures = await worker.plane.figures()
        return figures.clients_open + figures.raw_connections

    def _tell(self, worker: Worker, left: int, began: float) -> None:
        within_s = max(1.0, began + self._limit_s - self._clock.seconds())
        text = "{count} clients of {label} can't go to others (TLS, raw): they are served there for up to {s:.0f} s"
        self.log.info(text, count=left, label=worker.label, s=within_s)
        told = worker.plane.clients.give_notice(within_s, 0.0)
        told.addErrback(lambda failure: failure.trap(DataPlaneLost, DataPlaneFailed))

    async def _close(self, worker: Worker, left: int) -> None:
        text = "{label}: upgrade.linger_ms is over: its last {count} clients are disconnected"
        self.log.warn(text, label=worker.label, count=left)
        settings, gate = self._settings(), worker.plane.gate
        await gate.hold(SHUTDOWN)
        try:
            await gate.drained().addTimeout(settings.shutdown.drain_deadline_ms / 1000, self._clock)
        except TimeoutError:
            await gate.drop_in_flight()
        await worker.plane.clients.close_all()
        worker.last = await worker.plane.figures()
