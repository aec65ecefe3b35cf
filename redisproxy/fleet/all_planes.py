"""The data planes that a reload or a switchover drives: this proxy's own one, and those of its peers.

Which it is is decided when the operation begins (C{Assembly.party}). Everything else, the operator's pause and
failovers among it, concerns this proxy's own data plane, whatever runs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, ensureDeferred

from redisproxy.dataplane.interface import (
    RELOAD,
    SWITCHOVER,
    ClientFilter,
    ClientInFlight,
    ClientLine,
    DataPlane,
    DataPlaneLost,
    Figures,
    GateStatus,
    Hold,
    Noted,
    Rejected,
    Release,
)
from redisproxy.fleet.orders import ClientsClosed, WithdrawMove
from redisproxy.net.deferreds import shielded
from redisproxy.remote import orders
from redisproxy.workers.all_gates import released_together, status_of
from redisproxy.workers.all_notes import together as noted_together

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.control.configuration import Configuration
    from redisproxy.fleet.party import Party
    from redisproxy.remote.order import Order

HOLD_S = 1.0
"""A peer that does not hold its clients within this time is lost: those of all others are held meanwhile."""
SWAP_S = 2.0
SETTLING = "the servers are being asked where the last switchover has led to; try again in a moment"


class Assembly:
    """Who takes part in the operation that runs.

    @ivar leading: the operation of the fleet that this proxy leads, from its first look at its peers on; else empty.
    @ivar party: who takes part in what drives data planes now; None when it is this proxy alone.
    @ivar settling: the last operation has left its end to the servers.
    @ivar ended: how many this proxy has led to their end, by operation and result. @ivar last: the last of them, and
        when it ended.
    """

    def __init__(self) -> None:
        self.leading = ""
        self.party: Party | None = None
        self.settling = False
        self.ended: Counter[tuple[str, str]] = Counter()
        self.last: tuple[tuple[str, str], float] | None = None

    def over(self, result: str, now: float) -> None:
        """The operation that this proxy led has ended."""
        ended, self.leading = (self.leading, result), ""
        self.ended[ended] += 1
        self.last = ended, now


class AllGates:
    """Implements C{interface.GateOrders}."""

    def __init__(self, own: DataPlane, assembly: Assembly) -> None:
        self._own = own.gate
        self._assembly = assembly

    def _party_for(self, reason: str) -> Party | None:
        return self._assembly.party if reason in (RELOAD, SWITCHOVER) else None

    def state(self) -> Deferred[GateStatus]:
        return self._own.state()

    def hold(self, reason: str) -> Deferred[Hold]:
        party = self._party_for(reason)
        return self._own.hold(reason) if party is None else ensureDeferred(self._hold(party, reason))

    async def _hold(self, party: Party, reason: str) -> Hold:
        try:
            holds = await party.each(party.give(orders.HoldGate, reason=reason), HOLD_S)
        except BaseException:
            await shielded(self._release(party, reason))
            raise
        return Hold(any(hold.closed for _, hold in holds), status_of([hold.gate for _, hold in holds]))

    def release(self, reason: str) -> Deferred[Release]:
        party = self._party_for(reason)
        return self._own.release(reason) if party is None else ensureDeferred(self._release(party, reason))

    async def _release(self, party: Party, reason: str) -> Release:
        released = await party.each(party.give(orders.ReleaseGate, reason=reason), SWAP_S, may_fail=True)
        together = released_together([release for _, release in released])
        closed: Counter[str] = Counter()
        for member, release in released:
            anew = member.released(release)
            closed.update(release.clients_closed if member.peer is None else anew)
        return replace(together, clients_closed=dict(closed))

    def drained(self) -> Deferred[None]:
        party = self._assembly.party
        return self._own.drained() if party is None else ensureDeferred(_each(party, orders.Drained))

    def who_is_in_flight(self) -> Deferred[tuple[ClientInFlight, ...]]:
        party = self._assembly.party
        return self._own.who_is_in_flight() if party is None else _in_flight(party, orders.WhoIsInFlight)

    def drop_in_flight(self) -> Deferred[tuple[ClientInFlight, ...]]:
        party = self._assembly.party
        return self._own.drop_in_flight() if party is None else _in_flight(party, orders.DropInFlight)


async def _each(party: Party, order: type[Order], may_be_lost: bool = False) -> None:
    await party.each(party.give(order), may_be_lost=may_be_lost)


def _in_flight(party: Party, order: type[Order]) -> Deferred[tuple[ClientInFlight, ...]]:
    async def found() -> tuple[ClientInFlight, ...]:
        answers = await party.each(party.give(order), HOLD_S, may_be_lost=True)
        return tuple(client for _, clients in answers for client in clients)

    return ensureDeferred(found())


class AllMoves:
    """Implements C{interface.MoveOrders}."""

    def __init__(self, own: DataPlane, configuration: Configuration, assembly: Assembly) -> None:
        self._gate, self._own = own.gate, own.move
        self._configuration = configuration
        self._assembly = assembly
        self._swapping = False

    @property
    def _party(self) -> Party | None:
        return self._assembly.party

    def prepare(self, settings: Settings, same_listeners: bool = False) -> Deferred[None]:
        return ensureDeferred(self._prepare(settings, same_listeners))

    async def _prepare(self, settings: Settings, same_listeners: bool) -> None:
        if self._assembly.settling:
            raise Rejected(SETTLING)
        if (party := self._party) is None:
            await self._own.prepare(settings, same_listeners)
            return
        self._swapping = False
        try:
            await party.claim(party.peers)
            await party.own.note_sentinels(settings)
            server, own = str(self._configuration.settings.uplink.address), party.own.served.prepare
            order = party.prepare(server, settings, lambda: ensureDeferred(own(settings, same_listeners)))
            await party.each(order)
            for member, closed in await party.each(party.give(ClientsClosed)):
                member.begins(closed)
        except BaseException as error:
            await shielded(self._abandon_all(party))
            raise _as_rejected(error) from error

    def connect(self) -> Deferred[None]:
        return self._own.connect() if self._party is None else ensureDeferred(_each(self._party, orders.Connect))

    def prove_watches(self) -> Deferred[None]:
        if self._party is None:
            return self._own.prove_watches()
        return ensureDeferred(_each(self._party, orders.ProveWatches, may_be_lost=True))

    def bring(self) -> Deferred[None]:
        if (party := self._party) is None:
            return self._own.bring()
        return ensureDeferred(_each(party, orders.Bring, may_be_lost=party.operation == SWITCHOVER))

    def swap(self) -> Deferred[None]:
        return self._own.swap() if self._party is None else ensureDeferred(self._swap(self._party))

    async def _swap(self, party: Party) -> None:
        self._swapping = True
        await party.each(party.give(orders.Swap), SWAP_S, may_fail=True)

    def abandon(self) -> Deferred[None]:
        return self._own.abandon() if self._party is None else ensureDeferred(self._abandon(self._party))

    async def _abandon(self, party: Party) -> None:
        gate = await self._gate.state()
        if SWITCHOVER in gate.reasons and not self._assembly.settling:
            await self._withdraw(party)
        elif not self._assembly.settling:
            await self._abandon_all(party)

    async def _abandon_all(self, party: Party) -> None:
        await party.each(party.give(orders.Abandon), may_fail=True)

    async def _withdraw(self, party: Party) -> None:
        """See to it that nobody goes to the new server, which may be promoted already.

        @raise DataPlaneLost: that is not certain. From here on the servers say for all where their clients belong.
        """
        try:
            if self._swapping:
                raise DataPlaneLost("the order to go to the new server was given")
            await party.each(party.give(WithdrawMove), HOLD_S)
        except DataPlaneLost as error:
            self._settle(party)
            raise DataPlaneLost(f"{error}; every proxy asks the servers by itself now") from error

    def _settle(self, party: Party) -> None:
        self._assembly.settling = True
        party.disband()
        settling = ensureDeferred(party.own.settle_alone())
        settling.addBoth(self._settled)

    def _settled(self, result: object) -> None:
        self._assembly.settling = False


class AllNotes:
    """Implements C{copy_interface.NoteOrders}: what a peer had noted that is lost nobody knows."""

    def __init__(self, own: DataPlane, assembly: Assembly) -> None:
        self._own = own.notes
        self._assembly = assembly

    def begin(self, limit_s: float) -> Deferred[None]:
        party = self._assembly.party
        return self._own.begin(limit_s) if party is None else ensureDeferred(self._begin(party, limit_s))

    async def _begin(self, party: Party, limit_s: float) -> None:
        await party.each(party.give(orders.BeginNotes, limit_s=float(limit_s)))

    def take(self) -> Deferred[Noted]:
        party = self._assembly.party
        return self._own.take() if party is None else ensureDeferred(self._take(party))

    async def _take(self, party: Party) -> Noted:
        noted = await party.each(party.give(orders.TakeNotes))
        return noted_together([each for _, each in noted], lost=False)

    def end(self) -> Deferred[None]:
        party = self._assembly.party
        return self._own.end() if party is None else ensureDeferred(_each(party, orders.EndNotes, may_be_lost=True))


class AllClients:
    """Implements C{interface.ClientOrders}: this proxy's own clients, but for what a switchover asks of all."""

    def __init__(self, own: DataPlane, assembly: Assembly) -> None:
        clients = self._own = own.clients
        self._assembly = assembly
        self.kill, self.unblock, self.terminate_raw = clients.kill, clients.unblock, clients.terminate_raw
        self.stop_listening, self.give_notice = clients.stop_listening, clients.give_notice
        self.all_left, self.close_all, self.table = clients.all_left, clients.close_all, clients.table

    def list(self, which: ClientFilter) -> Deferred[tuple[ClientLine, ...]]:
        return self._own.list(which)

    def highest_db(self) -> Deferred[int]:
        party = self._assembly.party
        return self._own.highest_db() if party is None else ensureDeferred(self._highest_db(party))

    async def _highest_db(self, party: Party) -> int:
        numbers = await party.each(party.give(orders.HighestDb))
        return max(int(number) for _, number in numbers)


class FleetDataPlane:
    """Implements C{interface.DataPlane}."""

    def __init__(self, own: DataPlane, configuration: Configuration, assembly: Assembly) -> None:
        self._own = own
        self.gate = AllGates(own, assembly)
        self.move = AllMoves(own, configuration, assembly)
        self.clients = AllClients(own, assembly)
        self.notes = AllNotes(own, assembly)
        self.handover, self.records = own.handover, own.records
        self.start, self.connected, self.server_known = own.start, own.connected, own.server_known
        self.stop = own.stop

    def figures(self) -> Deferred[Figures]:
        """This proxy's own."""
        return self._own.figures()


def _as_rejected(error: BaseException) -> BaseException:
    return Rejected(str(error)) if isinstance(error, DataPlaneLost) else error
