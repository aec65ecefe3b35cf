"""A data plane that takes its orders over a link, from one control plane at a time, and survives the loss of it.

Whatever stands behind L{interface.DataPlane} carries the orders out. This module says which order is which call, and
what happens when the control plane is gone: nothing is noted any more, a prepared move is abandoned and what it has
held is released, except in a switchover, where the servers say how it stands (L{interrupted}). The operator's own pause
stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.protocols.amp import Command

from redisproxy.dataplane.interface import (
    OPERATOR,
    SWITCHOVER,
    ClientOrders,
    DataPlane,
    DataPlaneLost,
    HandedClient,
    HandoverOrders,
    NoteOrders,
    RecordOrders,
)
from redisproxy.remote import client_table, orders, record_orders
from redisproxy.remote.interrupted import Interrupted
from redisproxy.remote.moving import Moves
from redisproxy.remote.order_server import Handler, OrderServer
from redisproxy.remote.other_end import OtherEnd, UnknownEnd
from redisproxy.remote.standing import Standing, standing_of

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.net.network import Network
    from redisproxy.remote.link import Link
    from redisproxy.remote.order import Order

ENDING = "the data plane ends by itself what a lost control plane has begun; ask again when it has"


class ServedDataPlane:
    """One data plane and its control plane of the moment.

    @param settings: those that are in force in `plane`.
    @param network: to ask servers how an interrupted switchover stands.
    @param more: further orders, by who carries them out.
    @param started: `plane` has been started already.
    @param other_end: the process that has made a connection.
    @param lease_s: the control plane is that of another proxy; see L{Interrupted}.
    """

    log = Logger(namespace="redisproxy.dataplane")

    def __init__(
        self,
        plane: DataPlane,
        settings: Settings,
        network: Network,
        clock: IReactorTime,
        more: Mapping[type[Order], Handler] | None = None,
        started: bool = False,
        other_end: Callable[[Link], OtherEnd] = UnknownEnd.of,
        lease_s: float | None = None,
    ) -> None:
        self._plane = plane
        self._clock = clock
        self._moves = moves = Moves(plane, settings, clock)
        self._interrupted = Interrupted(plane, moves, network, clock, lambda: self._lost_process.lives(), lease_s)
        self._other_end = other_end
        self._control_process: OtherEnd = UnknownEnd()
        self._lost_process: OtherEnd = UnknownEnd()  # whose move is being ended; another one may have connected
        self._more = more or {}
        self._started = started
        self._control: OrderServer | None = None
        self._ending: Deferred[None] | None = None
        self._unsettled: list[Deferred[None]] = []

    def link(self) -> OrderServer:
        """The protocol for a new connection of a control plane. Once it has greeted, the one before is cut off."""
        return OrderServer(self._clock, self.handlers(), self.lost, self.take)

    async def stop(self) -> None:
        """The process ends: take no more orders, and leave nothing of what is prepared."""
        if self._control is not None:
            self._control.abort()
        if self._ending is not None:
            self._ending.cancel()
        for each in (self._control_process, self._lost_process):
            each.close()
        await self._moves.abandon()

    def take(self, link: OrderServer) -> None:
        """The control plane at the other end of this link gives the orders from now on."""
        if self._control is not None:
            self.log.warn("another control plane has connected: the one before is cut off")
            self._control.cut_off()
        self._control = link
        self._control_process.close()
        self._control_process = self._other_end(link)

    @property
    def driven(self) -> bool:
        """Whether there is a control plane, or something to be ended that a lost one has begun."""
        return self._control is not None or self._ending is not None

    def tell(self, what: type[Command], **arguments: Any) -> Deferred[Any]:
        """Tell the control plane of the moment; see L{OrderServer.tell}.

        @raise DataPlaneLost: there is none.
        """
        if self._control is None:
            return fail(DataPlaneLost("there is no control plane"))
        return self._control.tell(what, **arguments)

    # -- orders

    def handlers(self) -> dict[type[Order], Handler]:
        """What carries out each order."""
        plane = self._plane
        return {
            **self._of_gate_and_moves(),
            **self._more,
            **_of_clients(plane.clients),
            **_of_handover(plane.handover),
            **_of_notes(plane.notes, plane.records),
            orders.Start: self._start,
            orders.IsConnected: plane.connected,
            orders.ServerKnown: plane.server_known,
            orders.ReadFigures: plane.figures,
            orders.Stop: plane.stop,
            orders.Settled: self.settled,
            orders.SettingsInForce: lambda: self._moves.begun.settings,
            orders.TakeOver: self._take_over,
        }

    def _of_gate_and_moves(self) -> dict[type[Order], Handler]:
        gate, move, moves = self._plane.gate, self._plane.move, self._moves
        return {
            orders.GateState: gate.state,
            orders.HoldGate: lambda reason: self._unless_ending(moves.hold, reason, but=OPERATOR),
            orders.ReleaseGate: lambda reason: self._unless_ending(moves.release, reason, but=OPERATOR),
            orders.Drained: gate.drained,
            orders.WhoIsInFlight: gate.who_is_in_flight,
            orders.DropInFlight: gate.drop_in_flight,
            orders.Prepare: lambda **arguments: self._unless_ending(moves.prepare, **arguments),
            orders.Connect: lambda: self._unless_ending(move.connect),
            orders.ProveWatches: lambda: self._unless_ending(move.prove_watches),
            orders.Bring: lambda: self._unless_ending(moves.bring),
            orders.Swap: lambda: self._unless_ending(moves.swap),
            orders.Abandon: lambda: self._unless_ending(moves.abandon),
        }

    async def prepare(self, settings: Settings, same_listeners: bool) -> None:
        """Prepare to go there, by order of the control plane."""
        await self._unless_ending(self._moves.prepare, settings, same_listeners)

    async def withdraw(self) -> None:
        """See L{Moves.withdraw}, by order of the control plane."""
        await self._unless_ending(self._moves.withdraw)

    @property
    def prepared(self) -> Settings | None:
        """Those of the prepared move."""
        return self._moves.begun.prepared

    async def _start(self) -> None:
        """Once: each control plane that comes anew gives this order."""
        if not self._started:
            self._started = True
            await self._plane.start()

    def _unless_ending(self, order: Callable[..., Any], *arguments: Any, but: str = "", **named: Any) -> Any:
        """What a lost control plane has begun is no other one's to end, until it takes over."""
        if self._ending is not None and (not but or but not in arguments):
            raise DataPlaneLost(ENDING)
        return order(*arguments, **named)

    # -- after a loss

    def lost(self, link: Link) -> None:
        """The link is lost."""
        if link is self._control:
            self.lead_lost()

    def lead_lost(self) -> None:
        """Nobody gives orders any more: end by itself what has begun."""
        self._control = None
        if self._ending is None:
            self._lost_process, self._control_process = self._control_process, UnknownEnd()
            self._ending = ending = ensureDeferred(self._end())
            ending.addBoth(self._ended)

    async def _end(self) -> None:
        try:
            await self._end_what_was_begun()
        except CancelledError:
            return  # another control plane has taken over, or the process ends
        except Exception:
            self.log.failure("ending what a lost control plane had begun failed: its clients go on")
            await self._moves.abandon()
            await self._moves.release(SWITCHOVER)

    async def _end_what_was_begun(self) -> None:
        await self._plane.notes.end()
        holds = set(self._moves.begun.holds)
        if SWITCHOVER not in holds:
            await self._moves.abandon()
        for reason in sorted(holds - {SWITCHOVER}):
            self.log.warn("the control plane was lost: what it held ({reason}) is released", reason=reason)
            await self._moves.release(reason)
        if SWITCHOVER in holds:
            await self._interrupted.end()

    def _ended(self, result: object) -> None:
        self._ending = None
        self._lost_process.close()
        self._lost_process = UnknownEnd()
        unsettled, self._unsettled = self._unsettled, []
        for waiting in unsettled:
            waiting.callback(None)

    async def settled(self) -> Standing:
        """Fire when nothing is left to be ended that a lost control plane has begun; what stands then."""
        if self._ending is not None:
            waiting: Deferred[None] = Deferred(self._unsettled.remove)
            self._unsettled.append(waiting)
            await waiting
        return standing_of(self._moves.begun)

    def _take_over(self) -> Standing:
        if self._ending is not None:
            self._ending.cancel()
        return standing_of(self._moves.begun)


def _of_notes(notes: NoteOrders, records: RecordOrders) -> dict[type[Order], Handler]:
    """What carries out the orders about what clients change silently, and about what has passed."""
    return {
        **record_orders.handlers(records),
        orders.BeginNotes: notes.begin,
        orders.TakeNotes: notes.take,
        orders.EndNotes: notes.end,
    }


def _of_clients(clients: ClientOrders) -> dict[type[Order], Handler]:
    return {
        orders.ListClients: clients.list,
        client_table.TableOfClients: clients.table,
        orders.KillClients: clients.kill,
        orders.UnblockClient: clients.unblock,
        orders.HighestDb: clients.highest_db,
        orders.TerminateRaw: clients.terminate_raw,
        orders.StopListening: clients.stop_listening,
        orders.GiveNotice: clients.give_notice,
        orders.AllLeft: clients.all_left,
        orders.CloseAll: clients.close_all,
    }


def _of_handover(handover: HandoverOrders) -> dict[type[Order], Handler]:
    """What carries out the orders about clients that come from another data plane, or go to one."""
    return {
        orders.Expect: handover.expect,
        orders.Adopt: lambda state, descriptor: handover.adopt(HandedClient(state, descriptor)),
        orders.Forget: handover.forget,
        orders.HandOver: handover.hand_over,
        orders.StopHandingOver: handover.stop,
    }
