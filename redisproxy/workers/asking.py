"""A data plane's end of the link on which it asks the control process, and tells it what comes and goes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.internet.defer import Deferred, DeferredSemaphore, TimeoutError, ensureDeferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from redisproxy.dataplane.interface import ERRORS, DataPlaneLost
from redisproxy.remote.errors import DataPlaneFailed, VersionRefused
from redisproxy.remote.order_client import OrderClient
from redisproxy.shared.every_worker import ClientFilter, NotAnswered
from redisproxy.workers import orders

if TYPE_CHECKING:
    from redisproxy.remote.link import Link
    from redisproxy.remote.order import Order


AT_ONCE = 2
"""Questions of one worker; those of further clients wait, so that no number of them keeps the control process busy."""
ATTEMPTS, AGAIN_S = 3, 0.1
NOBODY_THERE = "the control process can't be reached"


class Upward:
    """The link to the control process of the moment, which has made the connection.

    @ivar on_new: called when there is one.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.on_new: Callable[[], None] = lambda: None
        self._clock = clock
        self._link: OrderClient | None = None
        self._waiting: list[Deferred[None]] = []

    @property
    def there(self) -> bool:
        """Whether there is a control process that can be asked."""
        return self._link is not None

    def link(self) -> OrderClient:
        """The protocol for a new connection; the one before is given up for it."""
        return _Accepted(self._clock, self._connected, self._lost)

    def _connected(self, link: OrderClient) -> None:
        ensureDeferred(self._use(link)).addErrback(_not_greeted)

    async def _use(self, link: OrderClient) -> None:
        await link.greet()
        before, self._link = self._link, link
        if before is not None:
            before.abort()
        self.on_new()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def connected(self) -> Deferred[None]:
        """Fire when there is a control process that can be asked, at once if there is. Can be cancelled."""
        if self.there:
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

    def _lost(self, link: Link) -> None:
        if self._link is link:
            self._link = None

    def give(self, order: type[Order], **arguments: Any) -> Deferred[Any]:
        """Ask or tell.

        @raise DataPlaneLost: there is no control process.
        """
        if self._link is None:
            return fail(DataPlaneLost(NOBODY_THERE))
        return self._link.give(order, **arguments)

    def close(self) -> None:
        """Ask no more."""
        if self._link is not None:
            self._link.abort()


class _Accepted(OrderClient):
    """A link that is greeted when it is there."""

    def __init__(
        self, clock: IReactorTime, on_connected: Callable[[OrderClient], None], on_lost: Callable[[Link], None]
    ) -> None:
        super().__init__(clock, on_lost)
        self._on_connected = on_connected

    def connectionMade(self) -> None:
        """Part of C{IProtocol}."""
        self._on_connected(self)


def _not_greeted(failure: Failure) -> None:
    failure.trap(DataPlaneLost, VersionRefused)


class Asking:
    """Implements C{shared.every_worker.EveryWorker}."""

    def __init__(self, upward: Upward, clock: Any) -> None:
        self._upward = upward
        self._clock = clock
        self._turns = DeferredSemaphore(AT_ONCE)

    def list(self, which: ClientFilter) -> Deferred[bytes]:
        return self._ask(self._list, which)

    async def _list(self, which: ClientFilter) -> bytes:
        # In an upgrade the link that is asked on goes, and the next control process makes one.
        for _ in range(ATTEMPTS - 1):
            with suppress(DataPlaneLost):
                return bytes(await self._give(orders.ListEverywhere, which=which))
            await deferLater(self._clock, AGAIN_S)
        return bytes(await self._give(orders.ListEverywhere, which=which))

    def kill(self, which: ClientFilter, but: int) -> Deferred[int]:
        return self._ask(self._give, orders.KillEverywhere, which=which, but=but)

    def unblock(self, client_id: int, error: bool) -> Deferred[bool]:
        return self._ask(self._give, orders.UnblockEverywhere, client_id=client_id, error=error)

    async def _give(self, order: type[Order], **arguments: Any) -> Any:
        await self._upward.connected()
        return await self._upward.give(order, **arguments)

    def _ask(
        self, asks: Callable[..., Coroutine[Deferred[Any], Any, Any]], *order: Any, **arguments: Any
    ) -> Deferred[Any]:
        asking: Deferred[Any] = self._turns.run(lambda: ensureDeferred(asks(*order, **arguments)))
        return asking.addTimeout(orders.ASKING_S, self._clock).addErrback(self._not_answered)

    def _not_answered(self, failure: Failure) -> NoReturn:
        if failure.check(TimeoutError) and not self._upward.there:
            raise NotAnswered(NOBODY_THERE)
        not_answered(failure)


def not_answered(failure: Failure) -> NoReturn:
    """What a client is told of a failure.

    @raise NotAnswered: that.
    """
    failure.trap(*ERRORS, DataPlaneFailed, TimeoutError)
    late = f"other workers have not answered within {orders.ASKING_S:g} s; try again"
    raise NotAnswered(late if failure.check(TimeoutError) else failure.getErrorMessage())
