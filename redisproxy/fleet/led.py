"""An operation that a peer leads here: from its claim until it dismisses this proxy, or is lost and all is settled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.control.errors import OperationError
from redisproxy.dataplane.interface import RELOAD, SWITCHOVER, Hold, Rejected, Release, WrongOrder
from redisproxy.fleet.orders import LiftFence, PrepareMove, SetBack
from redisproxy.fleet.participation import Participation
from redisproxy.fleet.server_before import WAY
from redisproxy.fleet.side import OF_AN_OPERATION, Side
from redisproxy.fleet.vigil import Vigil
from redisproxy.switchover.way_back import WayBack

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.control.answers import Answer
    from redisproxy.control.configuration import Candidate
    from redisproxy.control.holding import Holding
    from redisproxy.dataplane.interface import ClientInFlight, GateOrders, GateStatus
    from redisproxy.fleet.here import Here
    from redisproxy.remote.link import Link
    from redisproxy.remote.order import Order
    from redisproxy.remote.order_server import Handler, OrderServer
    from redisproxy.switchover.replica_setup import ReplicaSetup


class NotedGate:
    """Implements C{interface.GateOrders}: those of this proxy, counted and logged as its own pauses are."""

    def __init__(self, gate: GateOrders, holding: Holding) -> None:
        self._gate = gate
        self._holding = holding

    def state(self) -> Deferred[GateStatus]:
        return self._gate.state()

    def hold(self, reason: str) -> Deferred[Hold]:
        def held(hold: Hold) -> Hold:
            self._holding.note_hold(hold, reason)
            return hold

        return self._gate.hold(reason).addCallback(held)

    def release(self, reason: str) -> Deferred[Release]:
        def released(release: Release) -> Release:
            self._holding.note_release(release)
            return release

        return self._gate.release(reason).addCallback(released)

    def drained(self) -> Deferred[None]:
        return self._gate.drained()

    def who_is_in_flight(self) -> Deferred[tuple[ClientInFlight, ...]]:
        return self._gate.who_is_in_flight()

    def drop_in_flight(self) -> Deferred[tuple[ClientInFlight, ...]]:
        return self._gate.drop_in_flight()


class Led:
    """One operation.

    @ivar leader: the instance of the peer that leads. @ivar side: carries out its orders.
    @param operation: C{RELOAD} or C{SWITCHOVER}. @param name: how the peer is called.
    """

    log = Logger(namespace="redisproxy.fleet")

    def __init__(self, here: Here, operation: str, leader: str, name: str, link: OrderServer, vigil: Vigil) -> None:
        self.leader = leader
        self._here = here
        self._operation = operation
        self._name = name
        self._vigil = vigil
        self._part = Participation(here.control.exclusion, f"{operation} led by {name}", link)
        gate = NotedGate(here.dataplane.gate, here.control.holding)
        self.side = Side(here, gate, self._swapped)
        self.side.led_by(link)
        self._candidate: Candidate | None = None
        self._before = here.configuration.settings
        self._setup: ReplicaSetup | None = None
        self._lost = self._dismissed = self._has_swapped = False

    def begin(self) -> None:
        """Take part from now on, and begin nothing else meanwhile.

        @raise Rejected: something runs here already, or the proxy shuts down.
        """
        self._part.begin()
        self._vigil.stop()
        self.log.info("the peer {name} leads a {operation} from now on", name=self._name, operation=self._operation)

    def handler(self, order: type[Order]) -> Handler:
        """What carries out this order of the leader.

        @raise WrongOrder: it is none of such an operation.
        """
        own: dict[type[Order], Handler] = {
            PrepareMove: self.prepare,
            SetBack: self.set_back,
            LiftFence: self.lift_fence,
        }
        if order not in own and order not in OF_AN_OPERATION:
            raise WrongOrder(f"{order.__name__} is no order of a {self._operation}")
        return own[order] if order in own else self.side.handler(order)

    # -- by order of the leader

    async def prepare(self, server: str, target: str, back: bool) -> None:
        """See C{orders.PrepareMove}.

        @raise Rejected: this proxy does not go there.
        """
        if self._operation == SWITCHOVER and self._here.server != server:
            raise Rejected(f"{self._here.server} is in use there, and not {server}")
        candidate = await self._of_its_own(back)
        named = str(candidate.settings.uplink.address)
        if named != target:
            whose = "the server before is" if back else "its configuration file names"
            raise Rejected(f"{whose} {named}, and not {target}")
        await self.side.note_sentinels(candidate.settings)
        if self._dismissed or self._lost:
            raise Rejected(f"the {self._operation} was over before it was prepared")  # nobody would abandon it
        await self.side.served.prepare(candidate.settings, candidate.same_listeners)
        self._candidate = candidate

    async def _of_its_own(self, back: bool) -> Candidate:
        configuration = self._here.configuration
        if back:
            try:
                return await self._here.control.switchover.way_back.candidate()
            except OperationError as error:
                raise Rejected(str(error)) from error
        if self._operation == RELOAD:
            return await configuration.of_the_file()
        return await configuration.of_another_server()

    def _swapped(self, settings: Settings) -> None:
        self._has_swapped = True
        candidate, configuration = self._candidate, self._here.configuration
        assert candidate is not None and candidate.settings == settings
        before, way_back = configuration.settings.uplink, self._here.control.switchover.way_back
        self._setup = way_back.setup_of(settings.uplink)
        configuration.take(candidate)
        if self._operation == SWITCHOVER:
            noting = way_back.switched(before, settings.uplink, WayBack())
            ensureDeferred(noting).addErrback(lambda failure: self.log.failure("noting the way back", failure=failure))

    async def set_back(self) -> Answer:
        """See C{orders.SetBack}."""
        if self._setup is None:
            return {"knew": False, "warnings": []}
        in_use = self._here.configuration.settings.uplink
        return {"knew": True, "warnings": await self._here.control.switchover.way_back.set_back(in_use, self._setup)}

    async def lift_fence(self) -> bool:
        """See C{orders.LiftFence}."""
        return not self._has_swapped and await self._here.lift_fence(self._before.uplink)

    async def dismiss(self, report: Answer) -> None:
        """It is over; the leader's report of it."""
        way = report.pop(WAY, None)
        if isinstance(way, dict) and self._has_swapped:
            self._here.control.switchover.way_back.told(way)
        self.log.info("the {operation} that {name} led is over", operation=self._operation, name=self._name)
        self._dismissed = True
        try:
            await self.side.end()
            if report and self._operation == SWITCHOVER:
                self._here.control.results.switched_over({**report, "led_by": self._name})
        finally:
            self._part.finish()

    # -- without it

    def lost(self, link: Link) -> None:
        """The leader is lost: end it as the servers say, and look at them for some time after that."""
        if self._dismissed or self._lost:
            return  # what is ended twice might end the next operation
        self._lost = True
        self.log.warn("the peer {name} is lost, which has led a {what}", name=self._name, what=self._operation)
        self.side.served.lost(link)
        ensureDeferred(self._settle()).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("going on without a leader failed", failure=failure)
        self._part.finish()

    async def _settle(self) -> None:
        await self.side.settled()
        self._part.finish()
        if self._operation == SWITCHOVER and self._candidate is not None:
            self._vigil.begin(self._before, self._candidate)
