"""Starts the workers, and replaces those that have ended, the sooner the longer they had run."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.dataplane.interface import SHUTDOWN, DataPlaneLost
from redisproxy.remote.errors import DataPlaneFailed
from redisproxy.sentinel.backoff import Backoff
from redisproxy.workers.all_clients import ID_STEP
from redisproxy.workers.process import Beginning
from redisproxy.workers.share import share_of
from redisproxy.workers.worker import Answers, Worker

if TYPE_CHECKING:
    from redisproxy.workers.all_figures import Gone
    from redisproxy.workers.members import Members

MIN_S, MAX_S = 0.1, 10.0
ENDING_S = 5.0
"""A worker that was told to end and has not, is ended."""


class Supervisor:
    """Keeps C{count} workers running.

    @ivar workers: those whose process runs, by number. @ivar restarts: how often each was replaced.
    @param gone: where the clients of one that has ended are counted.
    """

    log = Logger(namespace="redisproxy.workers")

    def __init__(self, count: int, members: Members, gone: Gone, answers: Answers, reactor: Any) -> None:
        self.workers: dict[int, Worker] = {}
        self.restarts = dict.fromkeys(range(1, count + 1), 0)
        self._backoffs = {number: Backoff(MIN_S, MAX_S, random.uniform) for number in self.restarts}
        self._waiting: dict[int, IDelayedCall] = {}
        self._members = members
        self._gone = gone
        self._answers = answers
        self._reactor = reactor
        self._given_before = 0
        self._stopping: Callable[[], None] | None = None

    @property
    def given(self) -> int:
        """How many clients all workers have been given, since the control process was started."""
        return self._given_before + sum(worker.clients.given for worker in self.workers.values())

    def start(self) -> None:
        """Start all."""
        for number in self.restarts:
            self._begin(number)

    def _begin(self, number: int) -> None:
        self._waiting.pop(number, None)
        ensureDeferred(self._start(number)).addErrback(self._not_started, number)

    def _not_started(self, failure: Failure, number: int) -> None:
        """The system has no process or no file descriptor to give."""
        self.log.error("worker {number} can't be started: {error}", number=number, error=failure.getErrorMessage())
        self._begin_in(self._backoffs[number].next_s(), number)

    def _begin_in(self, seconds: float, number: int) -> None:
        if self._stopping is None:
            self._waiting[number] = self._reactor.callLater(seconds, self._begin, number)

    async def _start(self, number: int) -> None:
        shared = await self._shared()
        if self._stopping is not None:
            return
        settings = self._members.settings
        # No worker has given a higher id: each of its clients was one of those that were given to all.
        beginning = Beginning(number, share_of(settings), self.given * ID_STEP + ID_STEP, shared)
        self.workers[number] = Worker(beginning, settings, self._answers, self._reactor, self._members, self._ended)

    async def _shared(self) -> bytes:
        """What the clients of another worker share; empty when no other one can say."""
        for member in self._members.in_use:
            try:
                return await self.workers[member.number].shared()
            except (DataPlaneLost, DataPlaneFailed, KeyError):
                continue
        return b""

    def _ended(self, worker: Worker, how: str) -> None:
        del self.workers[worker.number]
        self._given_before += worker.clients.given
        self._members.forget(worker)
        if self._stopping is not None:
            self._stopping()
            return
        backoff = self._backoffs[worker.number]
        backoff.lasted(self._reactor.seconds() - worker.began)
        again_s = backoff.next_s()
        self._gone.add(worker.last, worker.clients.now)
        self.restarts[worker.number] += 1
        self.log.error(
            "worker {number} (process {pid}) has ended ({how}): its {clients} clients are disconnected, and another one"
            " is started in {again_s} s. As it told last, they were: {present}",
            number=worker.number,
            pid=worker.pid,
            how=how,
            clients=worker.clients.now,
            again_s=round(again_s, 2),
            present=str(worker.present),
        )
        self._begin_in(again_s, worker.number)

    # -- the end

    async def stop(self) -> None:
        """End all, and start none again; those that do not end are ended."""
        all_ended: Deferred[None] = Deferred()

        def look() -> None:
            if not self.workers and not all_ended.called:
                all_ended.callback(None)

        self._stopping = look
        for waiting in self._waiting.values():
            waiting.cancel()
        self._waiting.clear()
        for worker in list(self.workers.values()):
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
        for worker in list(self.workers.values()):
            worker.end("it has not ended in time")
