"""The connection to a data plane in another process: orders that belong together go over the same link, or fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail

from redisproxy.dataplane.interface import DataPlaneLost

if TYPE_CHECKING:
    from redisproxy.remote.order import Order
    from redisproxy.remote.order_client import OrderClient

NOT_CONNECTED = "there is no connection to the data plane"
LOST_MEANWHILE = "the connection to the data plane was lost meanwhile; it decides by itself what becomes of the move"


class Connection:
    """The link of the moment, and which link it was on which something was begun that has to be ended there."""

    def __init__(self) -> None:
        self.link: OrderClient | None = None
        self._begun_on: dict[str, OrderClient] = {}

    def give(self, order: type[Order], **arguments: Any) -> Deferred[Any]:
        """Give an order.

        @raise DataPlaneLost: there is no connection.
        """
        return fail(DataPlaneLost(NOT_CONNECTED)) if self.link is None else self.link.give(order, **arguments)

    def use(self, link: OrderClient, taken_over: bool) -> None:
        """Give orders on this link from now on, also those that end what has begun before if it is taken over."""
        self.link = link
        if taken_over:
            self._begun_on.clear()

    def begin(self, what: str) -> None:
        """Remember that `what` has begun on this link."""
        if self.link is not None:
            self._begun_on[what] = self.link

    def go_on(self, what: str, order: type[Order], **arguments: Any) -> Deferred[Any]:
        """Give an order that belongs to what has begun.

        @raise DataPlaneLost: that was on another link.
        """
        if self.link is not None and self._begun_on.get(what, self.link) is not self.link:
            return fail(DataPlaneLost(LOST_MEANWHILE))
        return self.give(order, **arguments)
