"""A copy in a process of its own, as the control process sees it: L{interface.Copying} over a connection.

The process is started with the first order, and ended with C{stop}. One that ends by itself makes every order fail.
"""

from __future__ import annotations

import signal
import socket
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger

from redisproxy.copying import orders
from redisproxy.copying.interface import CopyFailed, CopyProgress, Proof, Rest, StartCopying, Survey
from redisproxy.copying.process import ORDERS_FD, Beginning
from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.net.errors import UplinkError
from redisproxy.remote.link import connected
from redisproxy.remote.order_client import OrderClient
from redisproxy.workers.log_pipe import Lines, event_in

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from redisproxy.config import Settings
    from redisproxy.remote.order import Order

START_S = 30.0
STOP_S = 2.0
_MAIN = "from redisproxy.copying.process import main; main()"


class SeparateCopying:
    """Implements L{interface.Copying}.

    @ivar pid: of the process; 0 before it is started.
    """

    def __init__(self, old: Settings, new: Settings, reactor: Any) -> None:
        self.pid = 0
        self._beginning = Beginning(old, new)
        self._reactor = reactor
        self._process: CopyProcess | None = None
        self._stopped = False

    def survey(self) -> Deferred[Survey]:
        """Part of L{interface.Copying}."""
        return self._give(orders.TakeSurvey)

    def copy(self, replace: bool) -> Deferred[tuple[str, ...]]:
        """Part of L{interface.Copying}."""
        return self._give(orders.CopyAll, replace=replace)

    def note(
        self, names: tuple[bytes, ...], perhaps: tuple[tuple[int, bytes], ...], everything: bool, flushed: bool
    ) -> Deferred[None]:
        """Part of L{interface.Copying}."""
        return self._give(orders.NoteChanges, names=names, perhaps=perhaps, everything=everything, flushed=flushed)

    def near(self) -> Deferred[None]:
        """Part of L{interface.Copying}."""
        return self._give(orders.ComeNear)

    def copy_rest(self) -> Deferred[Rest]:
        """Part of L{interface.Copying}."""
        return self._give(orders.CopyRest)

    def verify(self, seconds: float) -> Deferred[Proof]:
        """Part of L{interface.Copying}."""
        return self._give(orders.Verify, seconds=float(seconds))

    def progress(self) -> Deferred[CopyProgress]:
        """Part of L{interface.Copying}."""
        return self._give(orders.TellProgress)

    def stop(self) -> Deferred[None]:
        """Part of L{interface.Copying}."""
        self._stopped = True
        return ensureDeferred(self._stop())

    def _give(self, order: type[Order], **arguments: Any) -> Deferred[Any]:
        return ensureDeferred(self._given(order, arguments))

    async def _given(self, order: type[Order], arguments: dict[str, Any]) -> Any:
        if self._stopped:
            raise CopyFailed("nothing is being copied")
        if self._process is None:
            self._process = CopyProcess(self._beginning, self._reactor)
            self.pid = self._process.pid
        link = await self._process.ready()
        try:
            return await link.give(order, **arguments)
        except (UplinkError, CancelledError):
            raise
        except DataPlaneLost:
            raise CopyFailed(await self._process.how_it_ended()) from None
        except Exception as error:
            raise CopyFailed(f"the process that copies has failed: {error}") from error

    async def _stop(self) -> None:
        if self._process is not None:
            await self._process.end()


class CopyProcess:
    """The process, and the connection to it."""

    def __init__(self, beginning: Beginning, reactor: Any) -> None:
        self._reactor = reactor
        self._ours, theirs = socket.socketpair()
        self._link: OrderClient | None = None
        self._up: list[Deferred[None]] = []
        self._over: list[Deferred[None]] = []
        self._ended = ""
        self._why = ""
        self._protocol = _Process(self)
        code = f"import sys; sys.path[:] = {sys.path!r}; {_MAIN}"
        arguments = [sys.executable, "-P", "-c", code, "redisproxy-copy"]
        child = {0: "w", 1: "r", 2: "r", ORDERS_FD: theirs.fileno()}
        self._process = reactor.spawnProcess(self._protocol, sys.executable, arguments, env=None, childFDs=child)
        theirs.close()
        self.pid: int = self._process.pid
        self._process.writeToChild(0, beginning.to_bytes())
        self._process.closeChildFD(0)
        self._deadline = reactor.callLater(START_S, self._kill, f"it has not begun within {START_S:g} s")

    async def ready(self) -> OrderClient:
        """Wait until it takes orders.

        @raise CopyFailed: it has ended.
        """
        if self._link is None and not self._ended:
            up: Deferred[None] = Deferred()
            self._up.append(up)
            await up
        if self._ended or self._link is None:
            raise CopyFailed(f"the process that copies has ended ({self._ended})")
        return self._link

    def started(self) -> None:
        """The process is up: speak to it."""
        link = OrderClient(self._reactor, lambda _: self._kill("the connection to it is lost"))
        connected(self._reactor, self._ours.detach(), link)
        ensureDeferred(self._greet(link)).addErrback(self._not_begun)

    async def _greet(self, link: OrderClient) -> None:
        await link.greet()
        self._cancel_deadline()
        self._link = link
        self._tell(self._up)

    def _not_begun(self, failure: Failure) -> None:
        self._kill(f"it has not begun: {failure.getErrorMessage()}")

    async def how_it_ended(self) -> str:
        """Wait until it has ended, and say how."""
        self._kill("the connection to it is lost")
        await self._wait_for_the_end()
        return f"the process that copies has ended ({self._ended})"

    async def end(self) -> None:
        """Stop what it does, and end it."""
        if self._link is not None and not self._ended:
            with suppress(DataPlaneLost, UplinkError):
                await self._link.give(orders.StopCopying)
        self._kill("it was told to stop")
        await self._wait_for_the_end()

    async def _wait_for_the_end(self) -> None:
        if not self._ended:
            over: Deferred[None] = Deferred()
            self._over.append(over)
            await over

    def _kill(self, why: str) -> None:
        self._why = self._why or why
        with suppress(ProcessExitedAlready):
            self._process.signalProcess(signal.SIGKILL)

    def process_ended(self, status: Any) -> None:
        """The process has ended, of itself or not."""
        self._cancel_deadline()
        sent = getattr(status, "signal", None)
        self._ended = f"signal {sent}" if sent is not None else f"exit code {status.exitCode}"
        if self._why:
            self._ended += f"; {self._why}"
        if self._link is None:
            self._ours.close()
        self._tell(self._up)
        self._tell(self._over)

    def _cancel_deadline(self) -> None:
        if self._deadline.active():
            self._deadline.cancel()

    def _tell(self, waiting: list[Deferred[None]]) -> None:
        told, waiting[:] = list(waiting), []
        for each in told:
            each.callback(None)


class _Process(ProcessProtocol):
    """What Twisted tells of the process."""

    log = Logger(namespace="redisproxy.copying")

    def __init__(self, process: CopyProcess) -> None:
        self._process = process
        self._lines = Lines()

    def outReceived(self, data: bytes) -> None:
        self._process.started()

    def errReceived(self, data: bytes) -> None:
        for line in self._lines.add(data):
            level, text = event_in(line)
            self.log.emit(level, "copying: {line}", line=text)

    def processEnded(self, reason: Failure) -> None:
        self._process.process_ended(reason.value)


def in_a_process_of_its_own(reactor: Any) -> StartCopying:
    """What a running proxy copies with."""
    return partial(SeparateCopying, reactor=reactor)
