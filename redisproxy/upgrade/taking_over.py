"""The process that takes another one's place, until it has: it gets ready, takes clients in, and takes charge.

When the other process ends before that, this one is in charge. When that one has only given it up, it hands back what
it has, and ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

import redisproxy
from redisproxy.dataplane.interface import OPERATOR, DataPlaneLost, HandoverRefused, Rejected, Taker
from redisproxy.remote.link import connected
from redisproxy.remote.order_server import OrderServer
from redisproxy.upgrade import orders
from redisproxy.upgrade.settling import Settling

if TYPE_CHECKING:
    from redisproxy.dataplane.interface import DataPlane
    from redisproxy.remote.link import Link
    from redisproxy.upgrade.carriers import Carriers
    from redisproxy.upgrade.inheritance import Inheritance

LIMIT_S = 2.0
"""For one client to have nothing under way."""
AGAIN_S = 0.2
ALL = 10_000_000
"""As many clients as there are."""
ENDING_S = 15.0
"""A process that is to end waits no longer until nobody comes any more, nor tries longer to hand clients back."""
REST_S = 5.0
"""Nor does one that has just taken charge wait for longer for what the other has left, which is to end with it."""


class Heir(Protocol):
    """The proxy in this process.

    @ivar server: the address of the server in use; empty until a sentinel has told it.
    """

    dataplane: DataPlane

    @property
    def server(self) -> str: ...

    def serve(self) -> None:
        """Connect to the server, and do all that needs no client."""

    def accept(self) -> None:
        """Accept clients."""

    async def accept_nobody(self) -> None:
        """Accept no more clients; the sockets listen on."""

    def take_charge(self, history: Mapping[str, Any], settled: Deferred[None]) -> None:
        """Be the proxy; begin no move before `settled` fires."""

    def end(self) -> None:
        """End the process."""


class TakingOver:
    """One process on its way."""

    log = Logger(namespace="redisproxy.upgrade")

    def __init__(self, inheritance: Inheritance, heir: Heir, carriers: Carriers, reactor: Any) -> None:
        self._inheritance = inheritance
        self._heir = heir
        self._reactor = reactor
        self._carriers = carriers
        self._other = Settling(inheritance.pid, reactor)
        self._back: tuple[str, ...] = ()
        self._charged = False
        self._ending = False
        self._link: Link | None = None
        self._link_lost: Deferred[None] = Deferred()
        self._alone_work: Deferred[None] | None = None
        self._rest: Deferred[None] = Deferred()

    def begin(self) -> None:
        """Take orders."""
        handlers: dict[Any, Callable[..., Any]] = {
            orders.GetReady: self._get_ready,
            orders.TakeShared: self._take_shared,
            orders.Accept: self._accept,
            orders.TakeCharge: self._take_charge,
            orders.GivenUp: self._other.settle,
        }
        self._link = OrderServer(self._reactor, handlers, self._lost)
        connected(self._reactor, self._inheritance.link, self._link)

    async def stop(self) -> None:
        """The process ends: what it was to take over goes back if it is not in charge."""
        if self._charged:
            with suppress(TimeoutError):
                await self._rest.addTimeout(REST_S, self._reactor)
        elif self._link is not None:
            await self._give_up(self._link)
        if self._alone_work is not None:
            with suppress(TimeoutError):
                await self._alone_work.addTimeout(ENDING_S, self._reactor)
        self._carriers.close_doors()
        self._other.forget()

    async def _give_up(self, link: Link) -> None:
        """Wait until nobody is on the way here any more, who would be lost: the other process then gives an order,
        is refused, and lets go of the link."""
        self._ending = True
        if self._back:
            with suppress(TimeoutError):
                await self._link_lost.addTimeout(ENDING_S, self._reactor)
        link.abort()

    # -- orders

    async def _get_ready(self, server: str, shared: bytes, limit_s: float) -> orders.Ready:
        self._same(server)
        self._carriers.begin_with(shared)
        self._heir.serve()
        try:
            await ensureDeferred(self._serving()).addTimeout(limit_s, self._reactor)
        except TimeoutError:
            raise Rejected(await self._unreachable()) from None
        self._same(server)
        doors = self._carriers.open_doors()
        self._inheritance.restore_output()
        return orders.Ready(os.getpid(), redisproxy.__version__, doors)

    async def _serving(self) -> None:
        await self._carriers.ready()
        await self._heir.dataplane.server_known()

    def _same(self, server: str) -> None:
        ours = self._heir.server
        if ours not in ("", server):
            raise Rejected(
                f"the configuration file names the server {ours}, and {server} is in use: reload or switch over first"
            )

    async def _unreachable(self) -> str:
        try:
            figures = await self._heir.dataplane.figures()
        except DataPlaneLost as error:
            return f"the new process is not ready in time: {error}"
        why = figures.uplink.last_error or "it has not answered"
        return f"the new process does not reach the server {self._heir.server}: {why}"

    async def _take_shared(self, shared: bytes) -> None:
        self._serves_on()
        await self._carriers.take_shared(shared)

    def _serves_on(self) -> None:
        if self._ending:
            raise Rejected("it has been told to end")

    async def _accept(self, paused: bool, back: tuple[str, ...]) -> None:
        self._serves_on()
        if paused:
            await self._heir.dataplane.gate.hold(OPERATOR)
        self._back = back
        self._heir.accept()

    def _take_charge(self, history: dict[str, Any]) -> None:
        self._serves_on()
        self._be_in_charge(history)

    def _be_in_charge(self, history: dict[str, Any]) -> None:
        self._charged = True
        self._heir.take_charge(history, self._other.settled_with(self._rest))

    # -- the other process is gone, or has given this one up

    def _lost(self, link: Link) -> None:
        if self._charged:
            self._find_the_rest()
            ensureDeferred(self._other.in_time())
        else:
            self._alone_work = ensureDeferred(self._alone()).addErrback(self._failed)
        self._link_lost.callback(None)

    def _find_the_rest(self) -> None:
        finding = ensureDeferred(self._carriers.find_the_rest()).addErrback(self._rest_not_found)
        finding.chainDeferred(self._rest)

    def _rest_not_found(self, failure: Failure) -> None:
        self.log.failure("what is left of the process before is not driven", failure=failure)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("handing clients back failed", failure=failure)
        self._heir.end()

    async def _alone(self) -> None:
        """Until it is clear which of the two serves."""
        await self._heir.accept_nobody()
        while True:
            if self._other.over:
                self._go_on_alone()
                return
            if not self._back or not await self._hand_back():
                self._heir.end()
                return
            await deferLater(self._reactor, AGAIN_S, lambda: None)

    def _go_on_alone(self) -> None:
        if not self._back:
            self.log.error("the process whose place is to be taken has ended before anything was handed over")
            self._heir.end()
            return
        self.log.error("the process whose place is taken has ended before that was done: this one is in charge now")
        self._heir.accept()
        self._be_in_charge({})
        self._other.settle()
        self._find_the_rest()

    async def _hand_back(self) -> int:
        """How many clients are left here."""
        plane = self._heir.dataplane
        try:
            to = tuple(Taker(door, ALL) for door in self._back)
            count = (await plane.handover.hand_over(to, LIMIT_S)).taken
            left = (await plane.figures()).clients_open
        except (DataPlaneLost, HandoverRefused) as error:
            self.log.warn("clients can't be handed back yet: {error}", error=str(error))
            return 1
        self.log.info("the upgrade was given up: {count} clients handed back, {left} are left", count=count, left=left)
        return left
