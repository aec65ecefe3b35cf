"""The process that is to take this one's place, as this one sees it: L{control.succession.Successor} over a link."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from redisproxy.control.succession import SuccessorFailed
from redisproxy.dataplane.interface import DataPlaneLost, NotSupported, Rejected
from redisproxy.net.deferreds import shielded
from redisproxy.remote.errors import DataPlaneFailed, VersionRefused
from redisproxy.remote.link import connected
from redisproxy.remote.order_client import OrderClient
from redisproxy.upgrade import orders
from redisproxy.upgrade.process_life import ProcessLife
from redisproxy.upgrade.program import Program

if TYPE_CHECKING:
    from redisproxy.net.listening import ListeningSocket
    from redisproxy.remote.order import Order
    from redisproxy.upgrade.origin import CommandLine

OUTPUT_S = 2.0
"""After the link is lost: what the process still prints, and its end."""
MARGIN_S = 2.0
"""What the process waits for it knows better than this one: it is the first to say that it was too long."""
STALLED_S = 5.0
"""A process that hands nothing back for so long, and does not end, is killed."""
EMPTY_S = 0.5
"""The same for one that was given nothing yet."""
LOOK_S = 0.05
PART_S = 0.3
"""Whoever has asked for the upgrade waits for its answer, and this process is about to end."""


class RemoteSuccessor:
    """Implements L{control.succession.Successor}.

    @ivar pid: of the process; 0 before it is started.
    """

    log = Logger(namespace="redisproxy.upgrade")

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._program = Program()
        self._link = OrderClient(reactor, lambda link: None)
        self._life: ProcessLife | None = None
        self._accepts = False
        self.pid = 0

    def start(self, command: CommandLine, sockets: Sequence[ListeningSocket]) -> None:
        """Start the program.

        @raise SuccessorFailed: it can't be.
        """
        try:
            ours = self._program.start(self._reactor, command, sockets)
        except OSError as error:
            raise SuccessorFailed(f"{command.arguments[0]} can't be started: {error}") from error
        self.pid = self._program.pid
        self._life = ProcessLife(self.pid)
        connected(self._reactor, ours.detach(), self._link)

    async def ready(self, server: str, shared: bytes, limit_s: float) -> orders.Ready:
        """See L{control.succession.Successor}; so are the others."""
        begun = self._reactor.seconds()
        try:
            await self._greeted().addTimeout(limit_s, self._reactor)
            left_s = max(0.1, limit_s - (self._reactor.seconds() - begun))
            getting: Deferred[orders.Ready] = self._link.give(
                orders.GetReady, server=server, shared=shared, limit_s=left_s
            )
            ready = await getting.addTimeout(left_s + MARGIN_S, self._reactor)
        except TimeoutError:
            raise SuccessorFailed(f"the new process was not ready within {limit_s:g} s{self._said()}") from None
        except DataPlaneLost as error:
            raise SuccessorFailed(await self._why(error)) from None
        except (Rejected, VersionRefused, NotSupported, DataPlaneFailed) as error:
            raise SuccessorFailed(str(error)) from None
        if ready.pid != self._program.pid:
            self._look_after(ready.pid)
            self.pid = ready.pid
        return ready

    def _greeted(self) -> Deferred[None]:
        return ensureDeferred(self._greet())

    async def _greet(self) -> None:
        """It answers when it has read its configuration and its reactor runs, which may take longer than an order."""
        while True:
            try:
                await self._link.greet()
                return
            except DataPlaneLost:
                if self._link.lost:
                    raise

    def _look_after(self, pid: int) -> None:
        if self._life is not None:
            self._life.forget()
        self._life = ProcessLife(pid)

    async def _why(self, error: DataPlaneLost) -> str:
        """What is to be told of a process whose link is lost before it was ready."""
        try:
            await self._ended().addTimeout(OUTPUT_S, self._reactor)
        except TimeoutError:
            return f"{error}{self._said()}"
        return f"the new process has ended ({self._program.how}){self._said()}"

    def _ended(self) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self._program.ended.addCallback(lambda _: None if waiting.called else waiting.callback(None))
        return waiting

    def _said(self) -> str:
        printed = self._program.printed
        return f":\n{printed}" if printed else "; it has printed nothing"

    async def _give(self, order: type[Order], **arguments: Any) -> None:
        try:
            await self._link.give(order, **arguments)
        except (DataPlaneLost, Rejected, NotSupported, DataPlaneFailed) as error:
            raise SuccessorFailed(f"the new process has failed ({order.__name__}): {error}") from error

    async def take_shared(self, shared: bytes) -> None:
        await self._give(orders.TakeShared, shared=shared)

    async def accept(self, paused: bool, back: tuple[str, ...]) -> None:
        self._accepts = True
        await self._give(orders.Accept, paused=paused, back=back)

    async def take_charge(self, history: dict[str, Any]) -> None:
        await shielded(self._give(orders.TakeCharge, history=history))

    @property
    def alive(self) -> bool:
        """Whether its link is up."""
        return not self._link.lost

    async def part(self) -> None:
        if self._life is not None:
            self._life.forget()
        with suppress(TimeoutError, SuccessorFailed):
            await ensureDeferred(self._give(orders.GivenUp)).addTimeout(PART_S, self._reactor)
        self._link.abort()

    async def give_up(self, here: Callable[[], Coroutine[Any, Any, int]]) -> bool:
        """Without its link it hands back and ends, or is ended."""
        self._link.abort()
        by_itself = await self._over(STALLED_S if self._accepts else EMPTY_S, here)
        if not by_itself and self._life is not None:
            self.log.error("the new process hands nothing back and does not end: it is killed")
            self._life.kill()
            self._program.kill()
            await self._over(OUTPUT_S, here)
        if self._life is not None:
            self._life.forget()
        return by_itself

    async def _over(self, limit_s: float, here: Callable[[], Coroutine[Any, Any, int]]) -> bool:
        """Wait until it has ended; False when nothing has come from it for `limit_s` seconds."""
        count, until = -1, 0.0
        while self._life is not None and not self._life.over:
            if (now_here := await here()) > count:
                count, until = now_here, self._reactor.seconds() + limit_s
            if self._reactor.seconds() >= until:
                return False
            await deferLater(self._reactor, LOOK_S, lambda: None)
        return True
