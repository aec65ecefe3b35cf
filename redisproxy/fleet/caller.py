"""A peer that has connected to this proxy: asks how it is doing, pauses it, and leads it in operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from redisproxy.control.errors import OperationError
from redisproxy.control.planned_failover import PLANNED_FAILOVER
from redisproxy.dataplane.interface import RELOAD, SWITCHOVER, Rejected, WrongOrder
from redisproxy.fleet import orders as fleet_orders
from redisproxy.fleet.all_planes import SETTLING
from redisproxy.fleet.led import Led
from redisproxy.fleet.led_failover import LedFailover
from redisproxy.fleet.side import OF_AN_OPERATION
from redisproxy.remote.large import Pieces
from redisproxy.remote.order_server import OrderServer

if TYPE_CHECKING:
    from redisproxy.control.answers import Answer
    from redisproxy.control.operations import Operations
    from redisproxy.fleet.here import Here, SelfPortrait
    from redisproxy.fleet.orders import Introduction
    from redisproxy.fleet.vigil import Vigil
    from redisproxy.remote.link import Link
    from redisproxy.remote.order import Order
    from redisproxy.remote.order_server import Handler

MAX_NAME = 200
OF_THE_OPERATION: tuple[type[Order], ...] = (
    fleet_orders.PrepareMove,
    fleet_orders.SetBack,
    fleet_orders.LiftFence,
    fleet_orders.ExpectPromotion,
    fleet_orders.PrepareFailover,
    fleet_orders.BringToPromoted,
    fleet_orders.GoToPromoted,
    *OF_AN_OPERATION,
)
"""Orders that only who leads an operation here may give."""


class Caller:
    """One that is connected.

    @param operations: those of this proxy alone. @param led: told of what it leads here; None when it leads nothing.
    @param settling: whether the last operation that this proxy led is being ended still, as the servers say.
    @ivar link: what speaks on its connection.
    """

    def __init__(
        self,
        here: Here,
        portrait: SelfPortrait,
        operations: Operations,
        vigil: Vigil,
        led: Callable[[Led | LedFailover | None], None],
        settling: Callable[[], bool],
    ) -> None:
        self._here = here
        self._portrait = portrait
        self._operations = operations
        self._vigil = vigil
        self._tell = led
        self._settling = settling
        self._name = self._instance = "?"
        self._led: Led | LedFailover | None = None
        self.link = OrderServer(here.clock, self._handlers(), self._lost, silence_s=here.lease_s)
        self.link.pieces = Pieces(fleet_orders.MAX_VALUE_BYTES)

    def _handlers(self) -> dict[type[Order], Handler]:
        own: dict[type[Order], Handler] = {
            fleet_orders.Introduce: self._introduce,
            fleet_orders.Claim: self._claim,
            fleet_orders.Dismiss: self._dismiss,
            fleet_orders.Pause: self._pause,
            fleet_orders.Unpause: self._unpause,
            fleet_orders.AbortSwitchover: self._abort,
            fleet_orders.GoOn: self._go_on,
        }
        return {**own, **{order: self._of_the_operation(order) for order in OF_THE_OPERATION}}

    def _of_the_operation(self, order: type[Order]) -> Handler:
        return lambda **arguments: self._leading().handler(order)(**arguments)

    def _leading(self) -> Led | LedFailover:
        """
        @raise WrongOrder: it leads nothing here.
        """
        if self._led is None:
            raise WrongOrder("it leads no operation here")
        return self._led

    def _lost(self, link: Link) -> None:
        led, self._led = self._led, None
        if led is not None:
            self._tell(None)
            led.lost(link)

    # -- who is who

    async def _introduce(self, instance: str, name: str) -> Introduction:
        self._instance, self._name = instance[:MAX_NAME], name[:MAX_NAME]
        return await self._portrait.introduction()

    # -- operations that it leads

    def _claim(self, operation: str) -> None:
        if operation not in (RELOAD, SWITCHOVER, PLANNED_FAILOVER):
            raise Rejected(f"{operation[:MAX_NAME]!r} is no operation that this version takes part in")
        if self._led is not None:
            raise Rejected("it leads an operation here already")
        if self._settling():
            raise Rejected(SETTLING)
        led = self._made(operation)
        led.begin()
        self._led = led
        self._tell(led)

    def _made(self, operation: str) -> Led | LedFailover:
        if operation == PLANNED_FAILOVER:
            return LedFailover(self._here, self._instance, self._name, self.link)
        return Led(self._here, operation, self._instance, self._name, self.link, self._vigil)

    async def _dismiss(self, report: Any) -> None:
        led = self._leading()
        await led.dismiss(report if isinstance(report, dict) else {})
        self._led = None
        self._tell(None)

    # -- what it asks for

    async def _pause(self, wait: bool, timeout_ms: int) -> Answer:
        limit_ms = timeout_ms if timeout_ms > 0 else None
        return await self._operated(
            lambda: self._operations.pause_and_wait(limit_ms) if wait else self._operations.pause()
        )

    async def _unpause(self) -> Answer:
        return await self._operated(self._operations.unpause)

    async def _abort(self) -> Answer:
        return await self._operated(self._operations.switchover_abort)

    async def _go_on(self) -> Answer:
        try:
            return self._operations.switchover_go_on()
        except OperationError as error:
            raise Rejected(str(error)) from error

    async def _operated(self, operation: Callable[[], Any]) -> Answer:
        try:
            answer: Answer = await operation()
            return answer
        except OperationError as error:
            raise Rejected(str(error)) from error
