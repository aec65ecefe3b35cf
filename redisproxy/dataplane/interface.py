"""The seam between deciding and carrying: the orders that the control plane gives to a data plane.

C{control} and C{switchover} know this module only, whatever stands behind it: the data plane of the same process
(L{redisproxy.dataplane.local}), one in another process, or many. So every order can cross a process boundary:
parameters and results are plain, immutable values, and times are durations, because clocks differ.

Rules for all orders:

 - Each returns a Deferred. The data plane of the same process returns one that has fired already wherever the order
   needs no time, so that C{await} goes straight on within the same turn of the reactor.
 - An order fails with one of L{ERRORS} and nothing else; anything else is a bug.
 - Orders take effect in the sequence in which they were given, also when nobody waits for the answers.
 - Cancelling the Deferred of C{drained}, C{server_known}, C{connect}, C{prove_watches}, C{bring}, C{give_notice},
   C{all_left}, C{table} and C{NoteOrders.begin} ends the work. All other orders are carried out once they are given;
   whoever cancels does not learn the result.
 - C{DataPlaneLost} says nothing about what was carried out. A data plane that has lost its control plane goes on as it
   was; it drops nobody for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from redisproxy.dataplane.client_interface import ClientOrders
from redisproxy.dataplane.client_rows import COLUMNS, MAX_ROWS, STATES, ClientQuery, ClientRow, ClientTable
from redisproxy.dataplane.copy_interface import NoteOrders
from redisproxy.dataplane.record_interface import RecordOrders
from redisproxy.dataplane.values import (
    ERRORS,
    ClientInFlight,
    ClientLine,
    DataPlaneLost,
    Figures,
    GateStatus,
    HandedClient,
    HandedOver,
    HandoverRefused,
    Hold,
    NotSupported,
    Rejected,
    Release,
    Taker,
    UplinkStatus,
    WorkerFigures,
    WrongOrder,
)
from redisproxy.forwarding.gate import DEMOTED, FAILOVER, OPERATOR, RELOAD, SHUTDOWN, SWITCHOVER, GateReopened
from redisproxy.shared.every_worker import ClientFilter
from redisproxy.shared.notes import Noted

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from redisproxy.config import Settings

__all__ = [
    "COLUMNS",
    "DEMOTED",
    "ERRORS",
    "FAILOVER",
    "MAX_ROWS",
    "OPERATOR",
    "RELOAD",
    "SHUTDOWN",
    "STATES",
    "SWITCHOVER",
    "ClientFilter",
    "ClientInFlight",
    "ClientLine",
    "ClientOrders",
    "ClientQuery",
    "ClientRow",
    "ClientTable",
    "DataPlane",
    "DataPlaneLost",
    "Figures",
    "GateOrders",
    "GateReopened",
    "GateStatus",
    "HandedClient",
    "HandedOver",
    "HandoverOrders",
    "HandoverRefused",
    "Hold",
    "MoveOrders",
    "NotSupported",
    "NoteOrders",
    "Noted",
    "RecordOrders",
    "Rejected",
    "Release",
    "Taker",
    "UplinkStatus",
    "WorkerFigures",
    "WrongOrder",
]


class GateOrders(Protocol):
    """Holding clients at the gate. The reasons are those of C{forwarding.gate}; the gate is open when there is none."""

    def state(self) -> Deferred[GateStatus]:
        """The gate now. At any time."""

    def hold(self, reason: str) -> Deferred[Hold]:
        """Close the gate for `reason`, and call blocked commands back from the server. At any time.

        Twice for one reason is the same as once. For C{SWITCHOVER} the collector of garbage rests as well.
        """

    def release(self, reason: str) -> Deferred[Release]:
        """Take `reason` back; with the last one the gate opens, and whoever waits goes on in order of arrival.

        At any time; releasing what is not held changes nothing.
        """

    def drained(self) -> Deferred[None]:
        """Fire when the gate is closed and nothing is in flight, in a turn after the last reply. Can be cancelled.

        Several may wait at once.

        @raise GateReopened: it opened first, or is open now.
        """

    def who_is_in_flight(self) -> Deferred[tuple[ClientInFlight, ...]]:
        """The clients that wait for replies of the server. At any time."""

    def drop_in_flight(self) -> Deferred[tuple[ClientInFlight, ...]]:
        """Close every connection with commands in flight and disconnect their clients; say who they were.

        At any time; meant for a drain that has taken too long. Nothing to drop is no error.
        """


class MoveOrders(Protocol):
    """Going to another server, or taking new settings, beside what runs. At most one move is prepared at a time.

    The sequence is C{prepare}, C{connect}, hold and drain, C{prove_watches} (only behind a fence), C{bring}, C{swap},
    release. C{abandon} may come at any point before C{swap}.
    """

    def prepare(self, settings: Settings, same_listeners: bool = False) -> Deferred[None]:
        """Build everything for `settings`; no connection is opened and nothing changes.

        @param settings: whole, with the uplink's address found.
        @param same_listeners: leave the listeners' certificates as they are, and do not read their files.
        @raise Rejected: certificates can't be used, or clients are on their way to or from another data plane.
        @raise WrongOrder: one is prepared already.
        """

    def connect(self) -> Deferred[None]:
        """Log in at the prepared server, with all connections that clients will need, and call blocked commands back.

        A reload does so at once, a switchover after replication has caught up. Clients go on meanwhile. On failure the
        move stays prepared, and whoever gave the order abandons it. Can be cancelled.

        @raise UplinkError: it can't be reached, refuses the password, lacks a database, or is busy.
        @raise WrongOrder: nothing is prepared.
        """

    def prove_watches(self) -> Deferred[None]:
        """Find out at the old server which WATCHes still hold, so that C{bring} makes them again.

        Only while the gate is closed, nothing is in flight, and the old server takes no writes: otherwise a proof is
        worth nothing. Without this order every WATCH is lost in the move. Can be cancelled.

        @raise WrongOrder: nothing is prepared.
        """

    def bring(self) -> Deferred[None]:
        """Bring what clients have at the old server and is not data to the new one: scripts, subscriptions, proven
        watches, tracking. The gate is closed and nothing is in flight. Can be cancelled.

        @raise UplinkError: the connection was lost.
        @raise WrongOrder: nothing is prepared.
        """

    def swap(self) -> Deferred[None]:
        """Put the prepared settings in force and leave the old server. The gate is closed and nothing is in flight.

        Afterwards nothing is prepared. The local one does it within the call.

        @raise WrongOrder: nothing is prepared.
        """

    def abandon(self) -> Deferred[None]:
        """Leave no trace of what is prepared, and let blocked commands go back to the server. At any time.

        Abandoning nothing changes nothing.
        """


class HandoverOrders(Protocol):
    """Clients go from one data plane to another of the same server, and do not notice.

    The data plane that they leave gives C{expect}, C{adopt} and C{forget} to the one that they come to, on its own
    C{hand_over}. A data plane refuses them while a move is prepared, and C{prepare} while clients are on their way.
    """

    def expect(self, state: bytes, marker: bytes) -> Deferred[None]:
        """Make at the server what this client has there, on a connection of its own, until it comes or is forgotten.

        @param state: a C{client.session_value.ClientValue} as bytes. @param marker: see C{client.stream_cut}.
        @raise HandoverRefused: it can't be; nothing is left of it.
        """

    def adopt(self, client: HandedClient) -> Deferred[None]:
        """Go on with a client. One that was not expected has nothing at the server.

        The descriptor is this data plane's own from now on, also when it refuses.

        @raise HandoverRefused: it does not go on here, and nothing is left of it.
        """

    def forget(self, client_id: int) -> Deferred[None]:
        """Leave no trace of a client that was expected; nothing, if none was."""

    def hand_over(self, to: tuple[Taker, ...], limit_s: float) -> Deferred[HandedOver]:
        """Give clients to other data planes, those that are connected longest first, to all takers in turn.

        Those that can't go, or not in time, stay and go on. One at a time.

        @param limit_s: how long each may take to have nothing under way.
        @raise HandoverRefused: none of the others can be reached, a move is prepared, or one runs already.
        @raise NotSupported: this data plane can't hand clients over.
        """

    def stop(self) -> Deferred[None]:
        """Begin with no other client, and fire when none is on its way from here; C{hand_over} has fired then."""


class DataPlane(Protocol):
    """Everything in one process that carries commands."""

    @property
    def gate(self) -> GateOrders: ...

    @property
    def move(self) -> MoveOrders: ...

    @property
    def clients(self) -> ClientOrders: ...

    @property
    def handover(self) -> HandoverOrders: ...

    @property
    def notes(self) -> NoteOrders: ...

    @property
    def records(self) -> RecordOrders: ...

    def start(self) -> Deferred[None]:
        """Connect to the server, again and again for as long as it runs, and supervise time limits. Once, at first."""

    def connected(self) -> Deferred[bool]:
        """Whether there is a connection to the server in use. At any time; asked ten times a second."""

    def server_known(self) -> Deferred[None]:
        """Fire when the server in use has told which commands it has, at once if it has. After C{start}; can be
        cancelled. It never fires once the data plane is stopped."""

    def figures(self) -> Deferred[Figures]:
        """All figures of this moment. At any time."""

    def stop(self) -> Deferred[None]:
        """Close every connection to servers and open no more; supervise nothing any more. Once, at the end."""
