"""One worker as the control process sees it: the process, the two connections to it, and how many clients it has."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.remote.data_plane import RemoteDataPlane
from redisproxy.remote.link import connected
from redisproxy.remote.order_client import OrderClient
from redisproxy.remote.order_server import OrderServer
from redisproxy.workers import orders
from redisproxy.workers.log_pipe import Lines
from redisproxy.workers.process import ASKING_FD, ORDERS_FD, Beginning
from redisproxy.workers.tally import Present, Tally

if TYPE_CHECKING:
    from redisproxy.dataplane.interface import Figures
    from redisproxy.remote.link import Link
    from redisproxy.remote.order import Order
    from redisproxy.remote.order_server import Handler
    from redisproxy.workers.members import Members

START_S = 30.0
"""A worker that does not take orders after this time is ended."""
LOST = "the connection to it is lost"
_MAIN = "from redisproxy.workers.process import main; main()"


class Answers(Protocol):
    """What workers ask for; see L{orders}."""

    def handlers(self) -> dict[type[Order], Handler]: ...


class Worker:
    """Implements L{members.Member}.

    @ivar settings: the whole ones in force when it was started.
    @ivar clients, raw: how many clients it has, the raw ones apart. @ivar present: which they are.
    @ivar under_way: how many connections are on their way to it.
    @ivar took: when it last took one, or was given one while none was on its way.
    @ivar pid: of the process. @ivar last: its figures, as it told them last.
    @param members: which it joins when it takes orders, and leaves when it is lost.
    @param on_end: called once, when the process has ended.
    """

    def __init__(
        self,
        beginning: Beginning,
        settings: Any,
        answers: Answers,
        reactor: Any,
        members: Members,
        on_end: Callable[[Worker, str], None],
    ) -> None:
        self.number = beginning.number
        self.settings = settings
        self.plane = RemoteDataPlane(reactor, lambda settings: None)
        self.clients, self.raw, self.present = Tally(), Tally(), Present()
        self.under_way = 0
        self.last: Figures | None = None
        self.began = self.took = reactor.seconds()
        self._reactor = reactor
        self._answers = answers
        self._members = members
        self._on_end = on_end
        self._why, self._stopping = "", False
        self._process = self._start(beginning)
        self._deadline = reactor.callLater(START_S, self.end, f"it has not begun within {START_S:g} s")
        self.pid: int = self._process.pid

    @property
    def load(self) -> int:
        """How many clients it has, with those on their way to it."""
        return self.clients.now + self.raw.now

    # -- beginning

    def _start(self, beginning: Beginning) -> Any:
        pairs = [socket.socketpair() for _ in range(2)]
        self._sockets = [ours for ours, _ in pairs]
        child = {0: "w", 1: "r", 2: "r", ORDERS_FD: pairs[0][1].fileno(), ASKING_FD: pairs[1][1].fileno()}
        code = f"import sys; sys.path[:] = {sys.path!r}; {_MAIN}"
        arguments = [sys.executable, "-P", "-c", code, f"redisproxy-worker-{self.number}"]
        process = self._reactor.spawnProcess(_Process(self), sys.executable, arguments, env=None, childFDs=child)
        for _, theirs in pairs:
            theirs.close()
        process.writeToChild(0, beginning.to_bytes())
        process.closeChildFD(0)
        return process

    def started(self) -> None:
        """The process is up: speak to it. Before, the time limits of the links would count its imports."""
        orders_socket, asking_socket = self._sockets
        link = OrderClient(self._reactor, self._lost)
        own: dict[type[Order], Handler] = {orders.Occupied: self._occupied, orders.Present: self.present.change}
        asked = {**self._answers.handlers(), **own}
        connected(self._reactor, orders_socket.detach(), link)
        connected(self._reactor, asking_socket.detach(), OrderServer(self._reactor, asked, self._lost))
        ensureDeferred(self._greet(link)).addErrback(self._not_begun)

    async def _greet(self, link: Any) -> None:
        await self.plane.use(link)
        await self.plane.start()
        self._deadline.cancel()
        self._members.join(self)

    def _not_begun(self, failure: Failure) -> None:
        self.end(f"it has not begun: {failure.getErrorMessage()}")

    # -- what it tells

    def _occupied(self, given: int, clients: int, given_raw: int, raw: int) -> None:
        self.clients.told(given, clients)
        self.raw.told(given_raw, raw)

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

    # -- the end

    def stop(self) -> Deferred[None]:
        """Have it end; all its clients have gone."""
        self._stopping = True
        return self.plane.stop()

    def _lost(self, link: Link) -> None:
        if not self._stopping:
            self.end(LOST)

    def end(self, why: str) -> None:
        """Part of L{members.Member}."""
        self._why = self._why or why
        self._members.forget(self)
        with suppress(ProcessExitedAlready):
            self._process.signalProcess(signal.SIGKILL)

    def process_ended(self, status: Any) -> None:
        """The process has ended, of itself or not."""
        if self._deadline.active():
            self._deadline.cancel()
        for each in self._sockets:
            each.close()
        sent = getattr(status, "signal", None)
        how = f"signal {sent}" if sent is not None else f"exit code {status.exitCode}"
        self._on_end(self, f"{how}; {self._why}" if self._why not in ("", LOST) else how)


class _Process(ProcessProtocol):
    """What Twisted tells of the process."""

    log = Logger(namespace="redisproxy.workers")

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._lines = Lines()

    def outReceived(self, data: bytes) -> None:
        self._worker.started()

    def errReceived(self, data: bytes) -> None:
        for line in self._lines.add(data):
            self.log.info("worker {number}: {line}", number=self._worker.number, line=line)

    def processEnded(self, reason: Failure) -> None:
        self._worker.process_ended(reason.value)
