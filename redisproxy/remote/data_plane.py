"""A data plane in another process, as the control plane sees it: L{interface.DataPlane} over a link.

Without a connection every order fails with C{DataPlaneLost}. A connection that is lost takes with it what was begun on
it: what the data plane makes of a prepared move and of its holds it decides by itself (L{interrupted}), so the orders
that finish or undo them fail on a later connection, too. A later connection is used when that is decided, and the
control plane knows which settings are in force.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime

from redisproxy.dataplane.interface import (
    OPERATOR,
    ClientFilter,
    ClientInFlight,
    ClientLine,
    ClientQuery,
    ClientTable,
    DataPlaneLost,
    Figures,
    GateStatus,
    HandedClient,
    HandedOver,
    Hold,
    Noted,
    Release,
    Taker,
)
from redisproxy.net.deferreds import shielded
from redisproxy.remote import client_table, orders
from redisproxy.remote.connection import Connection
from redisproxy.remote.order_client import OrderClient
from redisproxy.remote.record_orders import RemoteRecords

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.remote.link import Link
    from redisproxy.remote.order import Order
    from redisproxy.remote.standing import Standing


class RemoteGate:
    """See L{interface.GateOrders}."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def state(self) -> Deferred[GateStatus]:
        """The gate now."""
        return self._connection.give(orders.GateState)

    def hold(self, reason: str) -> Deferred[Hold]:
        """Close the gate for `reason`."""
        if reason != OPERATOR:
            self._connection.begin(reason)
        return self._connection.give(orders.HoldGate, reason=reason)

    def release(self, reason: str) -> Deferred[Release]:
        """Take `reason` back."""
        return self._connection.go_on(reason, orders.ReleaseGate, reason=reason)

    def drained(self) -> Deferred[None]:
        """Fire when the gate is closed and nothing is in flight."""
        return self._connection.give(orders.Drained)

    def who_is_in_flight(self) -> Deferred[tuple[ClientInFlight, ...]]:
        """The clients that wait for replies of the server."""
        return self._connection.give(orders.WhoIsInFlight)

    def drop_in_flight(self) -> Deferred[tuple[ClientInFlight, ...]]:
        """Close every connection with commands in flight."""
        return self._connection.give(orders.DropInFlight)


_MOVE = "move"


class RemoteMove:
    """See L{interface.MoveOrders}."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def prepare(self, settings: Settings, same_listeners: bool = False) -> Deferred[None]:
        """Build everything for `settings`."""
        self._connection.begin(_MOVE)
        return self._connection.give(orders.Prepare, settings=settings, same_listeners=same_listeners)

    def connect(self) -> Deferred[None]:
        """Log in at the prepared server."""
        return self._connection.go_on(_MOVE, orders.Connect)

    def prove_watches(self) -> Deferred[None]:
        """Find out which WATCHes still hold."""
        return self._connection.go_on(_MOVE, orders.ProveWatches)

    def bring(self) -> Deferred[None]:
        """Bring what is no data to the new server."""
        return self._connection.go_on(_MOVE, orders.Bring)

    def swap(self) -> Deferred[None]:
        """Put the prepared settings in force."""
        return self._connection.go_on(_MOVE, orders.Swap)

    def abandon(self) -> Deferred[None]:
        """Leave no trace of what is prepared."""
        return self._connection.go_on(_MOVE, orders.Abandon)


class RemoteClients:
    """See L{interface.ClientOrders}."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, which: ClientFilter) -> Deferred[tuple[ClientLine, ...]]:
        """Those that `which` describes."""
        return self._connection.give(orders.ListClients, which=which)

    def table(self, which: ClientQuery) -> Deferred[ClientTable]:
        """Those that `which` describes, as an operator sees them."""
        return self._connection.give(client_table.TableOfClients, which=which)

    def kill(self, ids: frozenset[int]) -> Deferred[int]:
        """Disconnect these."""
        return self._connection.give(orders.KillClients, ids=ids)

    def unblock(self, client_id: int, error: bool = False) -> Deferred[bool]:
        """End the client's blocking command."""
        return self._connection.give(orders.UnblockClient, client_id=client_id, error=error)

    def highest_db(self) -> Deferred[int]:
        """The highest database that a client has selected."""
        return self._connection.give(orders.HighestDb)

    def terminate_raw(self) -> Deferred[int]:
        """Close every connection of the raw listeners."""
        return self._connection.give(orders.TerminateRaw)

    def stop_listening(self) -> Deferred[None]:
        """Accept no more clients."""
        return self._connection.give(orders.StopListening)

    def give_notice(self, within_s: float, wait_s: float, endpoint: str = "") -> Deferred[None]:
        """Tell clients that the proxy goes away."""
        return self._connection.give(
            orders.GiveNotice, within_s=float(within_s), wait_s=float(wait_s), endpoint=endpoint
        )

    def all_left(self) -> Deferred[None]:
        """Fire when no client is connected."""
        return self._connection.give(orders.AllLeft)

    def close_all(self) -> Deferred[None]:
        """Close every client."""
        return self._connection.give(orders.CloseAll)


class RemoteHandover:
    """See L{interface.HandoverOrders}."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def expect(self, state: bytes, marker: bytes) -> Deferred[None]:
        """Make at the server what this client has there."""
        return self._connection.give(orders.Expect, state=state, marker=marker)

    def adopt(self, client: HandedClient) -> Deferred[None]:
        """Go on with a client. The descriptor here is closed when the other side has answered."""
        return ensureDeferred(self._adopt(client))

    async def _adopt(self, client: HandedClient) -> None:
        try:
            # It may not have left yet: closed too early, its number would be that of another client.
            await shielded(self._given(client))
        finally:
            os.close(client.descriptor)

    async def _given(self, client: HandedClient) -> None:
        await self._connection.give(orders.Adopt, state=client.state, descriptor=client.descriptor)

    def forget(self, client_id: int) -> Deferred[None]:
        """Leave no trace of a client that was expected."""
        return self._connection.give(orders.Forget, client_id=client_id)

    def hand_over(self, to: tuple[Taker, ...], limit_s: float) -> Deferred[HandedOver]:
        """Give clients to other data planes."""
        return self._connection.give(orders.HandOver, to=to, limit_s=float(limit_s))

    def stop(self) -> Deferred[None]:
        """Give no other client away."""
        return self._connection.give(orders.StopHandingOver)


_NOTES = "notes"


class RemoteNotes:
    """See L{interface.NoteOrders}."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def begin(self, limit_s: float) -> Deferred[None]:
        """Note from now on."""
        self._connection.begin(_NOTES)
        return self._connection.give(orders.BeginNotes, limit_s=float(limit_s))

    def take(self) -> Deferred[Noted]:
        """What was noted since it was last taken."""
        return self._connection.go_on(_NOTES, orders.TakeNotes)

    def end(self) -> Deferred[None]:
        """Note no more."""
        return self._connection.go_on(_NOTES, orders.EndNotes)


class RemoteDataPlane:
    """See L{interface.DataPlane}. L{use} gives it a connection, and a new one when the last one is lost.

    @param found_in_force: called with the settings that are in force in the data plane, before any order is given on a
        new connection: those of a move whose end the control plane has not seen may have become so.
    """

    def __init__(self, clock: IReactorTime, found_in_force: Callable[[Settings], None]) -> None:
        self._clock = clock
        self._found_in_force = found_in_force
        self._started = False
        self._connection = Connection()
        self.gate = RemoteGate(self._connection)
        self.move = RemoteMove(self._connection)
        self.clients = RemoteClients(self._connection)
        self.handover = RemoteHandover(self._connection)
        self.notes = RemoteNotes(self._connection)
        self.records = RemoteRecords(self._connection)

    def link(self) -> OrderClient:
        """The protocol for a new connection to the data plane, for L{use}."""
        return OrderClient(self._clock, self._lost)

    async def use(self, link: OrderClient, take_over: bool = False) -> Standing:
        """Give orders at the other end of `link` as soon as nothing is left there of a control plane that was lost.

        @param take_over: do not wait until the data plane has ended what the lost one had begun; the caller ends it.
        @return: what has begun and not ended.
        @raise VersionRefused: there is no version of the orders that both know.
        @raise DataPlaneLost: the connection was lost.
        """
        await link.greet()
        standing: Standing = await link.give(orders.TakeOver if take_over else orders.Settled)
        self._found_in_force(await link.give(orders.SettingsInForce))
        self._connection.use(link, take_over)
        if self._started:
            self.start().addErrback(lambda failure: failure.trap(DataPlaneLost))
        return standing

    def _lost(self, link: Link) -> None:
        if self._connection.link is link:
            self._connection.link = None

    def give(self, order: type[Order], **arguments: Any) -> Deferred[Any]:
        """Give an order that is none of the interface, to a data plane that knows it.

        @raise DataPlaneLost: there is no connection.
        """
        return self._connection.give(order, **arguments)

    def start(self) -> Deferred[None]:
        """Connect to the server. The order is given again on each later connection, because it may have been lost."""
        self._started = True
        return self._connection.give(orders.Start)

    def connected(self) -> Deferred[bool]:
        """Whether there is a connection to the server in use."""
        return self._connection.give(orders.IsConnected)

    def server_known(self) -> Deferred[None]:
        """Fire when the server in use has told which commands it has."""
        return self._connection.give(orders.ServerKnown)

    def figures(self) -> Deferred[Figures]:
        """All figures of this moment."""
        return self._connection.give(orders.ReadFigures)

    def stop(self) -> Deferred[None]:
        """Close every connection to servers, and the one to the data plane."""
        return self._connection.give(orders.Stop).addBoth(self._stopped)

    def _stopped(self, result: None) -> None:
        if self._connection.link is not None:
            self._connection.link.abort()
        return result
