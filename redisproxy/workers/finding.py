"""What an earlier control process has left: a new one finds its workers in the run directory, and goes on with them.

They keep their numbers and the settings that they have; what the file says is brought in force by a reload. Those for
which there is no place linger: of a number that there is no more, of another program, with other listeners.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import TimeoutError, ensureDeferred
from twisted.logger import Logger

import redisproxy
from redisproxy import config
from redisproxy.dataplane.interface import OPERATOR, DataPlaneLost
from redisproxy.remote.errors import DataPlaneFailed, VersionRefused
from redisproxy.workers.crew import AGAIN_S, Crew
from redisproxy.workers.processes import Found, LogReader

if TYPE_CHECKING:
    from redisproxy.workers.orders import Introduction
    from redisproxy.workers.worker import Worker

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

    async def find(self) -> bool:
        """Take over all that there are.

        @return: whether the settings of the file have to be brought in force.
        """
        found: list[tuple[Worker, Introduction]] = []
        for name in self._crew.directory.living():
            worker = self._crew.worker(0, name)
            introduction = await self._driven(worker)
            if introduction is not None:
                found.append((worker, introduction))
        found.sort(key=lambda each: each[1].age_s)  # of two with one number the later one serves
        if any(introduction.pausing for _, introduction in found):
            self._crew.members.reasons.add(OPERATOR)
        self._use([worker for worker, introduction in found if self._serves(worker, introduction)])
        for worker, _ in found:
            if worker not in self._crew.workers.values():
                self._linger(worker)
        return any(worker.links.found != self._settings for worker, _ in found)

    async def _driven(self, worker: Worker) -> Introduction | None:
        """Connect to one; None if that can't be."""
        try:
            introduction = await ensureDeferred(worker.connect()).addTimeout(AGAIN_S, self._reactor)
            worker.process = Found(introduction.pid, self._reactor, lambda how: self._crew.ended(worker, how))
        except FAILURES as error:
            self._not_driven(worker, error)
            return None
        worker.number = introduction.number
        self._crew.no_id_up_to(introduction.last_id)
        log = LogReader(worker.label, self._reactor)
        worker.log_to(log.far).addErrback(lambda failure: failure.trap(*FAILURES))
        text = "{label} (process {pid}, version {version}) was found and is driven from now on"
        self.log.info(text, label=worker.label, pid=introduction.pid, version=introduction.version)
        return introduction

    def _not_driven(self, worker: Worker, error: Exception) -> None:
        worker.let_go()
        if isinstance(error, VersionRefused):
            text = "{name} goes on without a control process until its clients have left: {error}"
            self.log.warn(text, name=worker.name, error=str(error))
        elif isinstance(error, DataPlaneLost):
            self._crew.directory.remove(worker.name)
        else:
            self.log.error("{name} can't be driven: {error}", name=worker.name, error=str(error))

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
        for worker in self._crew.workers.values():
            self._crew.join(worker, anyhow=True)

    def _linger(self, worker: Worker) -> None:
        worker.serving = False
        self._crew.join(worker)
        self._crew.linger(worker)
