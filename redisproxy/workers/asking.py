"""A worker's end of the link on which it asks the control process: about the clients of all workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from twisted.internet.defer import DeferredSemaphore, TimeoutError
from twisted.python.failure import Failure

from redisproxy.dataplane.interface import ERRORS
from redisproxy.remote.errors import DataPlaneFailed
from redisproxy.shared.every_worker import ClientFilter, NotAnswered
from redisproxy.workers import orders

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from redisproxy.remote.order import Order
    from redisproxy.remote.order_client import OrderClient


AT_ONCE = 2
"""Questions of one worker; those of further clients wait, so that no number of them keeps the control process busy."""


class Asking:
    """Implements C{shared.every_worker.EveryWorker}."""

    def __init__(self, link: OrderClient, clock: Any) -> None:
        self._link = link
        self._clock = clock
        self._turns = DeferredSemaphore(AT_ONCE)

    def list(self, which: ClientFilter) -> Deferred[bytes]:
        return self._ask(orders.ListEverywhere, which=which)

    def kill(self, which: ClientFilter, but: int) -> Deferred[int]:
        return self._ask(orders.KillEverywhere, which=which, but=but)

    def unblock(self, client_id: int, error: bool) -> Deferred[bool]:
        return self._ask(orders.UnblockEverywhere, client_id=client_id, error=error)

    def _ask(self, order: type[Order], **arguments: Any) -> Deferred[Any]:
        asking: Deferred[Any] = self._turns.run(self._link.give, order, **arguments)
        return asking.addTimeout(orders.ASKING_S, self._clock).addErrback(_not_answered)


def _not_answered(failure: Failure) -> NoReturn:
    failure.trap(*ERRORS, DataPlaneFailed, TimeoutError)
    late = f"other workers have not answered within {orders.ASKING_S:g} s; try again"
    raise NotAnswered(late if failure.check(TimeoutError) else failure.getErrorMessage())
