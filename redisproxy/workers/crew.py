"""All data planes in other processes: what becomes of one whose connection is lost, or whose process has ended.

A connection that the other side has closed may mean that its process has ended, or that this one was silent for too
long: then the worker has gone on by itself, and is driven again. In the middle of a move nobody knows what it has made
of that, so that it is ended, unless this process knows that it was silent: then all of them have ended the move alike.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import TimeoutError, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.workers.all_clients import ID_STEP
from redisproxy.workers.members import same
from redisproxy.workers.stalls import Stalls
from redisproxy.workers.worker import LOST, Worker

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.remote.order_client import OrderClient
    from redisproxy.remote.run_directory import RunDirectory
    from redisproxy.workers.gone import Gone
    from redisproxy.workers.lingering import Lingering
    from redisproxy.workers.members import Members
    from redisproxy.workers.worker import Answers

AGAIN_S = 60.0
"""A worker that can't be driven again within this time is ended; it may have to end a switchover by itself before."""


class Crew:
    """Those that there are.

    @ivar workers: that get clients, or will when they have begun, by number. @ivar lingering: those that get none.
    @ivar answers: what they may ask; to be set before there are any.
    @ivar on_ended: called with each whose process has ended, and how.
    @ivar superseded: another control process drives them.
    @ivar on_found: called with the settings in force, when they were found in the first worker.
    @param gone: where the clients of one that has ended are counted.
    """

    log = Logger(namespace="redisproxy.workers")

    def __init__(
        self, members: Members, gone: Gone, lingering: Lingering, directory: RunDirectory, reactor: Any
    ) -> None:
        self.workers: dict[int, Worker] = {}
        self.lingering = lingering
        self.directory = directory
        self.members = members
        self.stalls = Stalls(reactor)
        self.answers: Answers | None = None
        self.on_ended: Callable[[Worker, str], None] = lambda worker, how: None
        self.superseded = False
        self.on_found: Callable[[Settings], None] = lambda settings: None
        self._gone = gone
        self._reactor = reactor
        self._given_before = 0

    @property
    def all(self) -> list[Worker]:
        """All of them."""
        return [*self.workers.values(), *self.lingering.workers]

    @property
    def after(self) -> int:
        """No client has a higher id than this: each of its clients was one of those that were given to all."""
        given = self._given_before + sum(worker.clients.given for worker in self.all)
        return given * ID_STEP + ID_STEP

    def no_id_up_to(self, last_id: int) -> None:
        """One was found whose clients have ids up to this one."""
        self._given_before = max(self._given_before, last_id // ID_STEP + 1)

    def worker(self, number: int, name: str = "") -> Worker:
        """One more, which is not started or found yet."""
        assert self.answers is not None
        name = name or self.directory.new_name(f"w{number}")
        sockets, settings = self.directory.sockets(name), self.members.settings
        of_crew = self.answers, self._reactor, self.members, self._lost
        return Worker(number, name, sockets, settings, *of_crew, partial(self.directory.retired_for_s, name))

    def linger(self, worker: Worker) -> None:
        """Give this one no clients any more."""
        if self.workers.get(worker.number) is worker:
            del self.workers[worker.number]
        self.lingering.begin(worker)

    # -- lost connections

    def _lost(self, worker: Worker, link: OrderClient) -> None:
        self.members.forget(worker)
        if link.cut_off:
            self._cut_off(worker)
        elif worker.stopping or worker.why:
            return
        elif self.stalls.recent or not (link.given_up or self._in_a_move(worker)):
            self.members.goes_on(worker)
            again = ensureDeferred(self._drive_again(worker)).addTimeout(AGAIN_S, self._reactor)
            again.addErrback(self._not_again, worker)
        else:
            worker.end(LOST)

    def _in_a_move(self, worker: Worker) -> bool:
        return self.members.moving or worker in self.members.moved_without

    def _cut_off(self, worker: Worker) -> None:
        self._leave(worker)
        if not self.superseded:
            self.superseded = True
            self.log.critical("another control process drives the workers now, and this one none any more: stop it")

    def _leave(self, worker: Worker) -> None:
        """Have nothing to do with this one any more, which goes on."""
        worker.let_go()
        self.members.forget(worker)
        self.lingering.ended(worker)
        if self.workers.get(worker.number) is worker:
            del self.workers[worker.number]

    def let_go(self) -> None:
        """Drive none of them any more: another control process does."""
        self.superseded = True
        for worker in self.all:
            self._leave(worker)

    async def _drive_again(self, worker: Worker) -> None:
        if worker.process is None or worker not in self.all:
            return
        await worker.connect()
        self.join(worker)
        self.log.warn("{label} went on by itself for a moment, and is driven again", label=worker.label)

    def join(self, worker: Worker, anyhow: bool = False) -> None:
        """Use one that was found; its settings are those of all from now on, if there is nobody else.

        @param anyhow: also when its settings are others; a reload is to follow.
        """
        found, members = worker.links.found, self.members
        assert found is not None
        if not members.serving and worker.serving:
            members.settings = found
            self.on_found(found)
        worker.settings = members.settings if anyhow or same(found, members.settings) else found
        members.join(worker)

    def _not_again(self, failure: Failure, worker: Worker) -> None:
        late = f"it could not be driven again within {AGAIN_S:g} s"
        worker.end(late if failure.check(TimeoutError) else failure.getErrorMessage())

    # -- ended processes

    def ended(self, worker: Worker, how: str) -> None:
        """Its process has. What it has told last is heard before anything goes on without it."""
        worker.links.read_out(lambda: self._ended(worker, how))

    def _ended(self, worker: Worker, how: str) -> None:
        how = f"{how}; {worker.why}" if worker.why not in ("", LOST) else how
        known = worker in self.all
        self._given_before += worker.clients.given if known else 0
        self._leave(worker)
        if not known:
            return  # another control process has it
        self.directory.remove(worker.name)
        self.on_ended(worker, how)

    def count_as_gone(self, worker: Worker, clients: int) -> None:
        """Keep what it has counted. @param clients: how many of its clients are lost."""
        self._gone.add(worker.last, clients)
