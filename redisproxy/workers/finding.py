"""What an earlier control process has left: a new one finds its workers in the run directory, and goes on with them.

They keep their numbers and the settings that they have; what the file says is brought in force by a reload, unless that
would lead to another server. Those for which there is no place linger: of a number that there is no more, of another
program, with other listeners.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

import redisproxy
from redisproxy import config
from redisproxy.dataplane.interface import OPERATOR, DataPlaneLost
from redisproxy.net.deferreds import all_settled
from redisproxy.remote.errors import DataPlaneFailed, VersionRefused
from redisproxy.workers.crew import AGAIN_S, Crew
from redisproxy.workers.newcomers import without_newcomers
from redisproxy.workers.processes import Found, LogReader

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from redisproxy.workers.orders import Introduction
    from redisproxy.workers.worker import Worker

TRIES = 3
TRY_AGAIN_S = 0.5
FAILURES = (DataPlaneLost, DataPlaneFailed, VersionRefused, TimeoutError, OSError)


class Finding:
    """Looks once, when the control process starts.

    @param settings: what the file says.
    """

    log = Logger(namespace="redisproxy.workers")

    def __init__(self, crew: Crew, settings: config.Settings, reactor: Any) -> None:
        self._crew = crew
        self._settings = settings
        self._reactor = reactor
        self._ended: set[Worker] = set()
        self._works: list[Deferred[Any]] = []
        self._given_up = False
        self._waiting: list[Deferred[None]] = []

    async def finish(self, limit_s: float) -> None:
        """The process is to end: have all found that are to end, too. Who can't be driven in this time is killed."""
        over: Deferred[None] = Deferred()
        self._waiting.append(over)
        if not self._works:
            ensureDeferred(self.find(only_to_end=True)).addErrback(self._failed)
        limit = self._reactor.callLater(limit_s, self._give_up)
        await over
        if limit.active():
            limit.cancel()

    def _give_up(self) -> None:
        self._given_up = True
        for work in list(self._works):
            work.cancel()

    def _failed(self, failure: Failure) -> None:
        self.log.failure("looking for workers failed", failure=failure)

    async def find(self, only_to_end: bool = False) -> bool:
        """Take over all that there are.

        @param only_to_end: none of them is to serve, beside those that this process drives already.
        @return: whether the settings of the file have to be brought in force.
        """
        try:
            return await self._find(only_to_end)
        finally:
            self._works = []
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)

    async def _find(self, only_to_end: bool) -> bool:
        driven = await without_newcomers(await self._all_driven())
        found = [each for each in driven if each[0] not in self._ended]
        if self._crew.superseded:
            return False
        found.sort(key=lambda each: each[1].age_s)  # of two with one number the later one serves
        self._take_pause([worker for worker, introduction in found if introduction.pausing], only_to_end)
        if not only_to_end:
            self._use([worker for worker, introduction in found if self._serves(worker, introduction)])
        for worker, _ in found:
            if worker not in self._crew.workers.values():
                self._linger(worker, only_to_end)
            worker.links.tell_if_lost()
        return self._file_is_to_be_taken([worker.links.found for worker, _ in found if worker.links.found is not None])

    def _take_pause(self, pausing: list[Worker], only_to_end: bool) -> None:
        """An operator's pause outlives the control process; but one that has served since knows whether it is over, and
        it may have been taken back while they were looked for."""
        reasons = self._crew.members.reasons
        if pausing and not only_to_end and not self._crew.members.unpaused:
            reasons.add(OPERATOR)
        for worker in pausing if OPERATOR not in reasons else ():
            worker.plane.gate.release(OPERATOR).addErrback(lambda failure: failure.trap(*FAILURES))

    async def _all_driven(self) -> list[tuple[Worker, Introduction]]:
        """All at a time: one that is stopped would keep the others waiting."""
        known = {worker.name for worker in self._crew.all}
        names = [name for name in self._crew.directory.living() if name not in known]
        workers = [self._crew.worker(0, name) for name in names]
        self._works = [ensureDeferred(self._driven(worker)) for worker in workers]
        try:
            settled = await all_settled(self._works)
        except CancelledError:
            self._let_go(workers)
            raise
        found: list[tuple[Worker, Introduction]] = []
        for name, (good, value) in zip(names, settled, strict=True):
            if not good:
                self.log.failure("{name} can't be driven", failure=value, name=name)
            elif value is not None:
                found.append(value)
        return found

    def _let_go(self, workers: list[Worker]) -> None:
        """They are not used: whoever looks again would cut off its own links."""
        for worker in workers:
            worker.let_go()

    def _file_is_to_be_taken(self, found: list[config.Settings]) -> bool:
        """Whether a reload has to follow. Not to another server: the file may name that of a switchover that was
        interrupted, which has a part of the data, or none."""
        file, others = self._settings.uplink, [each for each in found if each != self._settings]
        if not others or file.sentinels or self._settings.worker_count == 1:
            return bool(others)
        if any(each.uplink.address == file.address for each in found):
            return True
        text = (
            "the configuration file names the server {file}, and the workers that were found are on {server}: they stay"
            " there, and nothing of the file is taken. Have it name {server}; or run redisproxy switchover, or"
            " redisproxy reload to go to {file} without the data"
        )
        self.log.error(text, file=str(file.address), server=str(found[0].uplink.address))
        return False

    async def _driven(self, worker: Worker) -> tuple[Worker, Introduction] | None:
        """Connect to one; None if that can't be."""
        try:
            return await ensureDeferred(self._drive(worker)).addTimeout(AGAIN_S, self._reactor)
        except FAILURES as error:
            self._not_driven(worker, error)
            return None
        except CancelledError:
            worker.let_go()
            if self._given_up:
                self._kill(worker)
            return None  # who has cancelled the search knows it without

    async def _drive(self, worker: Worker) -> tuple[Worker, Introduction]:
        introduction = await self._connected(worker)
        worker.process = Found(introduction.pid, self._reactor, lambda how: self._has_ended(worker, how))
        worker.number = introduction.number
        self._crew.no_id_up_to(introduction.last_id)
        log = LogReader(worker.label, self._reactor)
        worker.log_to(log.far).addErrback(lambda failure: failure.trap(*FAILURES))
        text = "{label} (process {pid}, version {version}) was found and is driven from now on"
        self.log.info(text, label=worker.label, pid=introduction.pid, version=introduction.version)
        return worker, introduction

    def _has_ended(self, worker: Worker, how: str) -> None:
        """It may be that others were still waited for."""
        self._ended.add(worker)
        self._crew.ended(worker, how)

    async def _connected(self, worker: Worker) -> Introduction:
        """A connection may be lost by anything; who can't be driven is ended, so that is tried again."""
        for _ in range(TRIES - 1):
            try:
                return await worker.connect()
            except DataPlaneLost:
                await deferLater(self._reactor, TRY_AGAIN_S, lambda: None)
        return await worker.connect()

    def _not_driven(self, worker: Worker, error: Exception) -> None:
        worker.let_go()
        if isinstance(error, VersionRefused):
            text = "{name} goes on without a control process until its clients have left: {error}"
            self.log.warn(text, name=worker.name, error=str(error))
            return
        self.log.error("{name} can't be driven, and is ended: {error}", name=worker.name, error=str(error))
        self._kill(worker)

    def _kill(self, worker: Worker) -> None:
        """Its clients would stay where they are in every move."""
        if worker.links.pid:
            with suppress(ProcessLookupError):
                Found(worker.links.pid, self._reactor, lambda how: None).kill()

    def _serves(self, worker: Worker, introduction: Introduction) -> bool:
        """Whether it may go on as a worker of this program, with the listeners that the file names."""
        found = worker.links.found
        assert found is not None
        same = introduction.version == redisproxy.__version__ and self._settings.worker_count > 1
        return same and not config.fixed_differences(found, self._settings)

    def _use(self, workers: list[Worker]) -> None:
        """Have these go on with the settings that they have, or most of them."""
        if not workers:
            return
        workers.sort(key=lambda worker: worker.links.found != self._settings)
        count = workers[0].links.found.worker_count if workers[0].links.found is not None else 0
        for worker in workers:
            if 0 < worker.number <= count and worker.number not in self._crew.workers:
                self._crew.workers[worker.number] = worker
        for worker in workers:
            if self._crew.workers.get(worker.number) is worker:  # others there may just be starting
                self._crew.join(worker, anyhow=True)

    def _linger(self, worker: Worker, only_to_end: bool) -> None:
        """Have it end; at once if a move has led to another server meanwhile, on which its clients belong."""
        found = worker.links.found
        if only_to_end and found is not None and found.uplink.address != self._crew.members.settings.uplink.address:
            worker.end(f"it was left at {found.uplink.address}")
            return
        worker.serving = False
        self._crew.join(worker)
        self._crew.linger(worker)
