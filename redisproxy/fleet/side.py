"""One proxy's side of an operation of the fleet: carries out the orders of who leads it, with settings of its own.

The leader has one, too, for its own clients, without a link: when it can't know any more what its peers have done, the
servers say for it as for them where its clients belong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger

from redisproxy.dataplane.interface import (
    RELOAD,
    SWITCHOVER,
    ClientOrders,
    DataPlane,
    Figures,
    GateOrders,
    HandoverOrders,
    MoveOrders,
    NoteOrders,
    RecordOrders,
)
from redisproxy.fleet.orders import ClientsClosed, WithdrawMove
from redisproxy.remote import orders
from redisproxy.remote.served import ServedDataPlane
from redisproxy.sentinel.finder import Finder
from redisproxy.switchover.watchers import Watchers

if TYPE_CHECKING:
    from collections.abc import Callable

    from redisproxy.config import Settings
    from redisproxy.fleet.here import Here
    from redisproxy.remote.order import Order
    from redisproxy.remote.order_server import Handler, OrderServer

OF_AN_OPERATION: tuple[type[Order], ...] = (
    orders.GateState,
    orders.HoldGate,
    orders.ReleaseGate,
    orders.Drained,
    orders.WhoIsInFlight,
    orders.DropInFlight,
    orders.Connect,
    orders.ProveWatches,
    orders.Bring,
    orders.Swap,
    orders.Abandon,
    orders.HighestDb,
    ClientsClosed,
    WithdrawMove,
    orders.BeginNotes,
    orders.TakeNotes,
    orders.EndNotes,
)
"""What a leader may order. It gives no settings, and gets none: no secret crosses from one proxy to another."""


class SwappingMoves:
    """Implements C{interface.MoveOrders}: those of a data plane, and the control plane learns of the swap."""

    def __init__(self, move: MoveOrders, swapped: Callable[[], None]) -> None:
        self._move = move
        self._swapped = swapped
        self.connect, self.prove_watches, self.bring = move.connect, move.prove_watches, move.bring
        self.abandon = move.abandon

    def prepare(self, settings: Settings, same_listeners: bool = False) -> Deferred[None]:
        return self._move.prepare(settings, same_listeners)

    def swap(self) -> Deferred[None]:
        return self._move.swap().addCallback(lambda _: self._swapped())


class OwnDataPlane:
    """Implements C{interface.DataPlane}: that of this proxy, whose moves the control plane learns of."""

    def __init__(self, plane: DataPlane, gate: GateOrders, swapped: Callable[[], None]) -> None:
        self.gate: GateOrders = gate
        self.move: MoveOrders = SwappingMoves(plane.move, swapped)
        self.clients: ClientOrders = plane.clients
        self.handover: HandoverOrders = plane.handover
        self.notes: NoteOrders = plane.notes
        self.records: RecordOrders = plane.records
        self._plane = plane

    def start(self) -> Deferred[None]:
        return self._plane.start()

    def connected(self) -> Deferred[bool]:
        return self._plane.connected()

    def server_known(self) -> Deferred[None]:
        return self._plane.server_known()

    def figures(self) -> Deferred[Figures]:
        return self._plane.figures()

    def stop(self) -> Deferred[None]:
        return self._plane.stop()


class Side:
    """That of one proxy in one operation.

    @param gate: where its clients are held. @param swapped: called with the settings that have come in force.
    @ivar served: carries the orders out, and ends by itself what a lost leader has begun.
    """

    log = Logger(namespace="redisproxy.fleet")

    def __init__(self, here: Here, gate: GateOrders, swapped: Callable[[Settings], None]) -> None:
        self._swapped = swapped
        self._here = here
        self._watchers: Watchers | None = None
        self._own = OwnDataPlane(here.dataplane, gate, self._has_swapped)
        settings, network, clock = here.configuration.settings, here.network, here.clock
        self.served = ServedDataPlane(self._own, settings, network, clock, started=True, lease_s=here.lease_s)
        more: dict[type[Order], Handler] = {WithdrawMove: self.served.withdraw, ClientsClosed: here.clients_closed}
        self._handlers = {**self.served.handlers(), **more}

    def _has_swapped(self) -> None:
        assert self.served.prepared is not None
        self._swapped(self.served.prepared)

    def handler(self, order: type[Order]) -> Handler:
        """What carries out this order."""
        return self._handlers[order]

    def give(self, order: type[Order], **arguments: Any) -> Deferred[Any]:
        """Have an order carried out here."""
        answer = self._handlers[order](**arguments)
        return answer if isinstance(answer, Deferred) else ensureDeferred(answer)

    def led_by(self, link: OrderServer) -> None:
        """The leader gives its orders on this link."""
        self.served.take(link)

    async def note_sentinels(self, new: Settings) -> None:
        """The sentinels are told to watch another server in this switchover: whoever is left has to be able to."""
        here = self._here
        finder, old = here.configuration.finder, here.configuration.settings.uplink
        if new.switchover.sentinel_monitor and isinstance(finder, Finder):
            self._watchers = Watchers(finder, old, new.uplink, here.network)
            await self._watchers.note()

    async def settle_alone(self) -> None:
        """Nobody gives orders any more: go on as the servers say; fires when that is done."""
        self.served.lead_lost()
        await self.settled()

    async def settled(self) -> None:
        """Fire when the servers have said where it goes on, and the sentinels watch that server."""
        await self.served.settled()
        if self._watchers is not None:
            for text in await self._watchers.mend(self._here.configuration.settings.uplink):
                self.log.warn("{text}", text=text)

    async def end(self) -> None:
        """Leave nothing of the operation, which has come to its end."""
        await self.give(orders.Abandon)
        for reason in (RELOAD, SWITCHOVER):
            await self.give(orders.ReleaseGate, reason=reason)
