"""The orders of L{interface.DataPlane} as AMP commands: one for each method, with the same names and types.

Names on the wire are those of the classes, so that a new class is a new order, and an old one must keep its meaning
for as long as a data plane of the version before may be driven.
"""

from __future__ import annotations

from redisproxy.dataplane.interface import (
    ClientFilter,
    ClientInFlight,
    ClientLine,
    Figures,
    GateStatus,
    HandedOver,
    Hold,
    Noted,
    Release,
    Taker,
)
from redisproxy.remote.argument_types import SettingsValue
from redisproxy.remote.link import Descriptor
from redisproxy.remote.order import Order, answering, taking
from redisproxy.remote.standing import Standing

LONG_S = 120.0
CLOSING_S = 30.0


# -- the gate


class GateState(Order):
    """C{GateOrders.state}."""

    response = answering(GateStatus)


class HoldGate(Order):
    """C{GateOrders.hold}."""

    decides = True
    arguments = taking(reason=str)
    response = answering(Hold)


class ReleaseGate(Order):
    """C{GateOrders.release}."""

    decides = True
    arguments = taking(reason=str)
    response = answering(Release)


class Drained(Order):
    """C{GateOrders.drained}."""

    limit_s = None
    can_be_cancelled = True


class WhoIsInFlight(Order):
    """C{GateOrders.who_is_in_flight}."""

    response = answering(tuple[ClientInFlight, ...])


class DropInFlight(Order):
    """C{GateOrders.drop_in_flight}."""

    decides = True
    response = answering(tuple[ClientInFlight, ...])


# -- going to another server


class Prepare(Order):
    """C{MoveOrders.prepare}."""

    decides = True
    arguments = taking(settings=SettingsValue(), same_listeners=bool)


class Connect(Order):
    """C{MoveOrders.connect}."""

    limit_s = LONG_S
    can_be_cancelled = True


class ProveWatches(Order):
    """C{MoveOrders.prove_watches}."""

    limit_s = LONG_S
    can_be_cancelled = True


class Bring(Order):
    """C{MoveOrders.bring}. It can't be done twice, and who ends an interrupted switchover may go on with its result."""

    limit_s = LONG_S
    can_be_cancelled = True
    survives_loss = True


class Swap(Order):
    """C{MoveOrders.swap}."""

    decides = True


class Abandon(Order):
    """C{MoveOrders.abandon}."""

    decides = True
    ends_others = True


# -- clients


class ListClients(Order):
    """C{ClientOrders.list}."""

    arguments = taking(which=ClientFilter)
    response = answering(tuple[ClientLine, ...])


class KillClients(Order):
    """C{ClientOrders.kill}."""

    arguments = taking(ids=frozenset[int])
    response = answering(int)


class UnblockClient(Order):
    """C{ClientOrders.unblock}."""

    arguments = taking(client_id=int, error=bool)
    response = answering(bool)


class HighestDb(Order):
    """C{ClientOrders.highest_db}."""

    response = answering(int)


class TerminateRaw(Order):
    """C{ClientOrders.terminate_raw}."""

    response = answering(int)


class StopListening(Order):
    """C{ClientOrders.stop_listening}."""

    limit_s = CLOSING_S


class GiveNotice(Order):
    """C{ClientOrders.give_notice}."""

    limit_s = None
    can_be_cancelled = True
    arguments = taking(within_s=float, wait_s=float, endpoint=str)


class AllLeft(Order):
    """C{ClientOrders.all_left}."""

    limit_s = None
    can_be_cancelled = True


class CloseAll(Order):
    """C{ClientOrders.close_all}."""

    limit_s = CLOSING_S


# -- clients that come and go


class Expect(Order):
    """C{HandoverOrders.expect}."""

    limit_s = CLOSING_S
    arguments = taking(state=bytes, marker=bytes)


class Adopt(Order):
    """C{HandoverOrders.adopt}; the giver keeps the descriptor open until the answer."""

    limit_s = CLOSING_S
    decides = True
    arguments = taking(state=bytes, descriptor=Descriptor())


class Forget(Order):
    """C{HandoverOrders.forget}."""

    arguments = taking(client_id=int)


class HandOver(Order):
    """C{HandoverOrders.hand_over}."""

    limit_s = None
    arguments = taking(to=tuple[Taker, ...], limit_s=float)
    response = answering(HandedOver)


class StopHandingOver(Order):
    """C{HandoverOrders.stop}."""

    limit_s = CLOSING_S


# -- what clients change silently


class BeginNotes(Order):
    """C{NoteOrders.begin}."""

    limit_s = None
    can_be_cancelled = True
    arguments = taking(limit_s=float)


class TakeNotes(Order):
    """C{NoteOrders.take}."""

    response = answering(Noted)


class EndNotes(Order):
    """C{NoteOrders.end}."""


# -- the whole


class Start(Order):
    """C{DataPlane.start}."""


class IsConnected(Order):
    """C{DataPlane.connected}."""

    response = answering(bool)


class ServerKnown(Order):
    """C{DataPlane.server_known}."""

    limit_s = None
    can_be_cancelled = True


class ReadFigures(Order):
    """C{DataPlane.figures}."""

    response = answering(Figures)


class Stop(Order):
    """C{DataPlane.stop}."""

    limit_s = CLOSING_S
    ends_others = True


# -- after a loss


class Settled(Order):
    """What stands, once the data plane has ended what a lost control plane had begun."""

    limit_s = None
    can_be_cancelled = True
    response = answering(Standing)


class SettingsInForce(Order):
    """The settings in force."""

    response = [(b"answer", SettingsValue())]  # noqa: RUF012


class TakeOver(Order):
    """What a lost control plane has begun is ended by this one now, and no more by the data plane: what it is."""

    decides = True
    response = answering(Standing)
