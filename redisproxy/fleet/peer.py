"""One peer that this proxy is connected to: the link on which it takes orders, and what it has told of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redisproxy.fleet.orders import Introduce

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime

    from redisproxy.config import TcpAddress
    from redisproxy.fleet.here import Here
    from redisproxy.fleet.orders import Introduction
    from redisproxy.remote.order import Order
    from redisproxy.remote.order_client import OrderClient


class Peer:
    """A connected peer.

    @ivar place: the address at which it was reached. @ivar told: what it has told of itself last.
    @ivar lag_s: how long it took to answer that.
    """

    def __init__(
        self, place: TcpAddress, link: OrderClient, told: Introduction, lag_s: float, clock: IReactorTime
    ) -> None:
        self.place = place
        self.link = link
        self.told = told
        self.lag_s = lag_s
        self._clock = clock

    @property
    def name(self) -> str:
        """How messages call it."""
        return str(self.place)

    def give(self, order: type[Order], **arguments: Any) -> Deferred[Any]:
        """Give an order.

        @raise DataPlaneLost: it is lost, or has not answered in time.
        """
        return self.link.give(order, **arguments)

    async def ask(self, here: Here) -> None:
        """Have it tell of itself.

        @raise DataPlaneLost: it does not answer.
        """
        began = self._clock.seconds()
        self.told = await self.give(Introduce, instance=here.instance, name=here.name)
        self.lag_s = self._clock.seconds() - began

    def give_up(self) -> None:
        """Nobody knows what it does: close the connection, after which it goes on by itself."""
        self.link.abort()
