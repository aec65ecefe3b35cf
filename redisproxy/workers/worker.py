"""One data plane in another process as the control process sees it: its links, and how many clients it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred

from redisproxy.remote.passed_values import closing
from redisproxy.workers import orders
from redisproxy.workers.links import Links
from redisproxy.workers.tally import Present, Tally

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.dataplane.interface import Figures
    from redisproxy.remote.data_plane import RemoteDataPlane
    from redisproxy.remote.order import Order
    from redisproxy.remote.order_client import OrderClient
    from redisproxy.remote.order_server import Handler
    from redisproxy.remote.run_directory import Sockets
    from redisproxy.workers.members import Members
    from redisproxy.workers.orders import Introduction
    from redisproxy.workers.processes import WorkerProcess

LOST = "the connection to it is lost"


class Answers(Protocol):
    """What workers ask for; see L{orders}."""

    def handlers(self) -> dict[type[Order], Handler]: ...


class Worker:
    """Implements L{members.Member}.

    @ivar name: what its sockets are called. @ivar links: the connections to it.
    @ivar settings: the whole ones in force in it.
    @ivar clients, raw: how many clients it has, the raw ones apart. @ivar present: which they are.
    @ivar under_way: how many connections are on their way to it.
    @ivar took: when it last took one, or was given one while none was on its way.
    @ivar last: its figures, as it told them last. @ivar began: when it was started or found.
    @ivar process: it itself; None before it is started or found.
    @ivar stopping: it was told to end. @ivar why: why it was ended.
    @ivar retired_for_s: for how long it has been one that is to end, from the first time on that this was asked.
    @param on_lost: called when the connection to it is lost, with that.
    """

    def __init__(
        self,
        number: int,
        name: str,
        sockets: Sockets,
        settings: Settings,
        answers: Answers,
        reactor: Any,
        members: Members,
        on_lost: Callable[[Worker, OrderClient], None],
        retired_for_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.number, self.name = number, name
        self.settings, self.serving = settings, True
        self.links = Links(sockets, reactor, lambda link: on_lost(self, link))
        self.clients, self.raw, self.present = Tally(), Tally(), Present()
        self.under_way = 0
        self.last: Figures | None = None
        self.began = self.took = reactor.seconds()
        self.process: WorkerProcess | None = None
        self.stopping = False
        self.why = ""
        self.retired_for_s = retired_for_s
        self._reactor, self._answers, self._members = reactor, answers, members

    @property
    def label(self) -> str:
        """Part of L{members.Member}."""
        return f"worker {self.number}" if self.number else f"the process {self.pid}"

    @property
    def pid(self) -> int:
        """Of its process."""
        return 0 if self.process is None else self.process.pid

    @property
    def door(self) -> str:
        """Part of L{members.Member}."""
        return self.links.sockets.clients

    @property
    def load(self) -> int:
        """How many clients it has, with those on their way to it."""
        return self.clients.now + self.raw.now

    # -- its links

    async def connect(self) -> Introduction:
        """Drive it from now on.

        @raise DataPlaneLost: it can't be reached, or not any more.
        @raise VersionRefused: its program takes other orders.
        """
        own: dict[type[Order], Handler] = {orders.Occupied: self._occupied, orders.Present: self.present.change}
        introduction = await self.links.make({**self._answers.handlers(), **own}, self._saw_scripts)
        self.clients.begin(introduction.given)
        self.raw.begin(introduction.given_raw)
        return introduction

    @property
    def plane(self) -> RemoteDataPlane:
        """Part of L{members.Member}."""
        return self.links.plane

    def let_go(self) -> None:
        """Drive it no more; it goes on by itself."""
        self.stopping = True
        self.links.close()

    # -- what it tells, and is told

    def _occupied(self, given: int, clients: int, given_raw: int, raw: int) -> None:
        if not self.stopping:
            self.clients.told(given, clients)
            self.raw.told(given_raw, raw)

    def _saw_scripts(self, shared: bytes) -> Deferred[None]:
        return self._members.scripts.heard(shared, self)

    def take(self, listener: int, is_raw: bool, full: bool, descriptor: int) -> Deferred[None]:
        """Give it a connection, which stays open here until this has fired."""
        if not self.under_way:
            self.took = self._reactor.seconds()
        self.under_way += 1
        (self.raw if is_raw else self.clients).given += 1
        giving = self.plane.give(orders.TakeClient, listener=listener, full=full, descriptor=descriptor)
        return giving.addBoth(self._taken)

    def _taken(self, result: Any) -> Any:
        self.under_way -= 1
        self.took = self._reactor.seconds()
        return result

    def shared(self) -> Deferred[bytes]:
        """What its clients share."""
        return self.plane.give(orders.TellShared)

    def learn(self, shared: bytes) -> Deferred[None]:
        """Part of L{members.Member}."""
        return self.plane.give(orders.LearnShared, shared=shared)

    def log_to(self, descriptor: int) -> Deferred[None]:
        """Have it log to this pipe, whose descriptor is closed here then."""
        return self.plane.give(orders.LogTo, descriptor=descriptor).addBoth(closing(descriptor))

    # -- the end

    def stop(self) -> Deferred[None]:
        """Have it end, without clients by now: what it has told of them may be older."""
        self.stopping = True
        for each in (self.clients, self.raw):
            each.told(each.given, 0)
        return self.plane.give(orders.End)

    def failed(self, why: str) -> None:
        """Part of L{members.Member}: what becomes of one whose connection is lost is decided by C{on_lost}."""
        if not self.links.lost:
            self.end(why)

    def end(self, why: str) -> None:
        """Part of L{members.Member}."""
        self.why = self.why or why
        self._members.forget(self)
        if self.process is not None:
            self.process.kill()
