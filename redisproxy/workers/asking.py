"""A worker's end of the link on which it asks the control process: about the clients of all workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from twisted.python.failure import Failure

from redisproxy.dataplane.errors import DataPlaneFailed
from redisproxy.dataplane.interface import ERRORS
from redisproxy.shared.every_worker import ClientFilter, NotAnswered
from redisproxy.workers import orders

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from redisproxy.dataplane.order import Order
    from redisproxy.dataplane.order_client import OrderClient


class Asking:
    """Implements C{shared.every_worker.EveryWorker}."""

    def __init__(self, link: OrderClient) -> None:
        self._link = link

    def list(self, which: ClientFilter) -> Deferred[bytes]:
        return self._ask(orders.ListEverywhere, which=which)

    def kill(self, which: ClientFilter, but: int) -> Deferred[int]:
        return self._ask(orders.KillEverywhere, which=which, but=but)

    def unblock(self, client_id: int, error: bool) -> Deferred[bool]:
        return self._ask(orders.UnblockEverywhere, client_id=client_id, error=error)

    def _ask(self, order: type[Order], **arguments: Any) -> Deferred[Any]:
        return self._link.give(order, **arguments).addErrback(_not_answered)


def _not_answered(failure: Failure) -> NoReturn:
    failure.trap(*ERRORS, DataPlaneFailed)
    raise NotAnswered(failure.getErrorMessage())
