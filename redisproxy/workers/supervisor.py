"""Starts the workers, and replaces those that have ended, the sooner the longer they had run."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.dataplane.interface import SHUTDOWN, DataPlaneLost, Rejected
from redisproxy.remote.errors import DataPlaneFailed
from redisproxy.sentinel.backoff import Backoff
from redisproxy.workers.process import Beginning
from redisproxy.workers.processes import Child
from redisproxy.workers.worker import Worker

if TYPE_CHECKING:
    from redisproxy.workers.crew import Crew

MIN_S, MAX_S = 0.1, 10.0
log = Logger(namespace="redisproxy.workers")
START_S = 30.0
"""A worker that does not take orders after this time is ended."""
MOST_START_S = 240.0
"""The next one gets twice as long, up to this: on an overloaded machine starts that are given up cost the most."""
LOOK_S = 0.05
ENDING_S = 5.0
"""A worker that was told to end and has not, is ended."""


class Supervisor:
    """Keeps workers running. Implements L{all_moves.Numbers}.

    @ivar restarts: how often each was replaced, by number; those that there are to be.
    @ivar shared: what clients share in the beginning.
    """

    def __init__(self, crew: Crew, reactor: Any) -> None:
        self.restarts: dict[int, int] = {}
        self.shared = b""
        self._crew = crew
        self._reactor = reactor
        self._backoffs: dict[int, Backoff] = {}
        self._waiting: dict[int, IDelayedCall] = {}
        self._deadlines: dict[Worker, IDelayedCall] = {}
        self._start_s: dict[int, float] = {}
        self._stopping: Callable[[], None] | None = None
        crew.on_ended = self._ended

    # -- how many

    def keep(self, count: int) -> None:
        """Part of L{all_moves.Numbers}."""
        if self._over:
            return
        self.restarts = {number: self.restarts.get(number, 0) for number in range(1, count + 1)}
        for number in self._waiting.keys() - self.restarts.keys():
            self._waiting.pop(number).cancel()
        for number in sorted(self._crew.workers.keys() - self.restarts.keys()):
            self._part(self._crew.workers[number])
        for number in self.restarts.keys() - self._crew.workers.keys() - self._waiting.keys():
            self._begin(number)

    @property
    def _over(self) -> bool:
        """Whether none is to be started any more."""
        return self._stopping is not None or self._crew.superseded

    def _backoff(self, number: int) -> Backoff:
        return self._backoffs.setdefault(number, Backoff(MIN_S, MAX_S, random.uniform))

    def _part(self, worker: Worker) -> None:
        """There are to be fewer."""
        unused = isinstance(worker.process, Child) and not self._crew.members.has_used(worker)
        if worker in self._deadlines or unused:
            worker.end("it is not needed any more")
        else:
            self._crew.linger(worker)

    async def grow(self, count: int) -> None:
        """Part of L{all_moves.Numbers}."""
        if count <= len(self.restarts):
            return
        new = set(range(len(self.restarts) + 1, count + 1))
        self.keep(count)
        until = self._reactor.seconds() + START_S
        while missing := new - {member.number for member in self._crew.members.serving}:
            if self._reactor.seconds() >= until:
                raise Rejected(f"workers: worker {min(missing)} has not begun within {START_S:g} s; the log says why")
            await deferLater(self._reactor, LOOK_S, lambda: None)

    # -- one

    def _begin(self, number: int) -> None:
        self._waiting.pop(number, None)
        ensureDeferred(self._start(number)).addErrback(self._not_started, number)

    def _not_started(self, failure: Failure, number: int) -> None:
        """The system has no process or no file descriptor to give, or no run directory."""
        log.error("worker {number} can't be started: {error}", number=number, error=failure.getErrorMessage())
        self._begin_in(self._backoff(number).next_s(), number)

    def _begin_in(self, seconds: float, number: int) -> None:
        if not self._over and number in self.restarts:
            self._waiting[number] = self._reactor.callLater(seconds, self._begin, number)

    async def _start(self, number: int) -> None:
        shared = await self.tell_shared()
        crew = self._crew
        if self._over or number not in self.restarts or number in crew.workers:
            return
        crew.directory.make()  # somebody may have removed it
        worker = crew.worker(number)
        settings = worker.settings
        beginning = Beginning(number, worker.name, crew.directory.path, settings, crew.after, shared)
        worker.process = Child(beginning, self._reactor, lambda: self._up(worker), lambda how: crew.ended(worker, how))
        crew.workers[number] = worker
        limit_s = self._start_s.get(number, START_S)
        self._start_s[number] = min(MOST_START_S, 2 * limit_s)
        text = f"it has not begun within {limit_s:g} s"
        self._deadlines[worker] = self._reactor.callLater(limit_s, worker.end, text)

    async def tell_shared(self) -> bytes:
        """What the clients of a worker share; when none can say, what they have begun with."""
        for worker in self._crew.all:
            try:
                return await worker.shared()
            except (DataPlaneLost, DataPlaneFailed):
                continue
        return self.shared

    def _up(self, worker: Worker) -> None:
        """Its process is: speak to it. Before, the time limits of the links would count its imports."""
        ensureDeferred(self._greet(worker)).addErrback(self._not_begun, worker)

    async def _greet(self, worker: Worker) -> None:
        await worker.connect()
        self._in_time(worker)
        self._start_s.pop(worker.number, None)
        self._crew.members.join(worker)

    def _not_begun(self, failure: Failure, worker: Worker) -> None:
        worker.end(f"it has not begun: {failure.getErrorMessage()}")

    def _in_time(self, worker: Worker) -> None:
        deadline = self._deadlines.pop(worker, None)
        if deadline is not None and deadline.active():
            deadline.cancel()

    def _ended(self, worker: Worker, how: str) -> None:
        self._in_time(worker)
        if self._stopping is not None:
            self._stopping()
            return
        self._crew.count_as_gone(worker, worker.clients.now)
        lasted_s = self._reactor.seconds() - worker.began
        _tell(worker, how)
        number = worker.number
        if number in self.restarts and worker.serving and number not in self._crew.workers:
            self._backoff(number).lasted(lasted_s)
            self.restarts[number] += 1
            self._begin_in(self._backoff(number).next_s(), number)

    # -- the end

    async def stop(self) -> None:
        """End all, and start none again; those that do not end are ended."""
        all_ended: Deferred[None] = Deferred()

        def look() -> None:
            if not self._crew.all and not all_ended.called:
                all_ended.callback(None)

        self._stopping = look
        for waiting in self._waiting.values():
            waiting.cancel()
        self._waiting.clear()
        self._crew.lingering.stop()
        for worker in self._crew.all:
            ensureDeferred(self._tell_to_end(worker)).addErrback(self._not_told, worker)
        look()
        deadline = self._reactor.callLater(ENDING_S, self._end_all)
        await all_ended
        if deadline.active():
            deadline.cancel()

    async def _tell_to_end(self, worker: Worker) -> None:
        await worker.plane.gate.release(SHUTDOWN)  # its clients have gone
        await worker.stop()

    def _not_told(self, failure: Failure, worker: Worker) -> None:
        worker.end(failure.getErrorMessage())

    def _end_all(self) -> None:
        for worker in self._crew.all:
            worker.end("it has not ended in time")


def _tell(worker: Worker, how: str) -> None:
    if worker.stopping and not worker.serving and not worker.clients.now:
        log.info("{label} (process {pid}) has ended: it is not needed", label=worker.label, pid=worker.pid)
        return
    log.error(
        "{label} (process {pid}) has ended ({how}): its {clients} clients are disconnected. As it told last, they"
        " were: {present}",
        label=worker.label,
        pid=worker.pid,
        how=how,
        clients=worker.clients.now,
        present=str(worker.present),
    )
