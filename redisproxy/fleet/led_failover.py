"""A failover that a peer has the sentinels make: this proxy holds its clients meanwhile, and goes where it is told.

Without its leader it follows the sentinels, as after any failover. If it had not been told yet that the sentinels get
the order next (L{ExpectPromotion}), none of them will: it lifts the fence that the leader may have left. Later it never
does: a sentinel may promote a replica yet, and what the old primary took then would be lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.config import TcpAddress
from redisproxy.control.planned_failover import PLANNED_FAILOVER
from redisproxy.dataplane.interface import SWITCHOVER, GateStatus, Hold, Rejected, Release, WrongOrder
from redisproxy.fleet.left_fence import LeftFence
from redisproxy.fleet.orders import (
    BringToPromoted,
    ClientsClosed,
    ExpectPromotion,
    GoToPromoted,
    LiftFence,
    PrepareFailover,
)
from redisproxy.fleet.participation import Participation
from redisproxy.net.deferreds import carried_out
from redisproxy.remote import orders
from redisproxy.remote.interrupted import LOOK_AGAIN_S, MARGIN_S
from redisproxy.sentinel.finder import Finder

if TYPE_CHECKING:
    from redisproxy.control.answers import Answer
    from redisproxy.control.configuration import Candidate
    from redisproxy.fleet.here import Here
    from redisproxy.remote.link import Link
    from redisproxy.remote.order import Order
    from redisproxy.remote.order_server import Handler


class LedFailover:
    """One failover.

    @ivar leader: the instance of the peer that leads. @param name: how it is called.
    """

    log = Logger(namespace="redisproxy.fleet")

    def __init__(self, here: Here, leader: str, name: str, link: Link) -> None:
        self.leader = leader
        self._here = here
        self._name = name
        self._link = link
        self._part = Participation(here.control.exclusion, f"{PLANNED_FAILOVER} led by {name}", link)
        self._candidate: Candidate | None = None
        self._brought: Candidate | None = None
        self._limit_s = 0.0
        self._limit: IDelayedCall | None = None
        self._held_at: float | None = None
        self._fence = LeftFence(here)
        self._going = self._ended = False

    def begin(self) -> None:
        """Take part from now on, and begin nothing else meanwhile.

        @raise Rejected: something runs here already, or the proxy shuts down.
        """
        self._part.begin()
        self.log.info("the peer {name} leads a failover from now on", name=self._name)

    def handler(self, order: type[Order]) -> Handler:
        """What carries out this order of the leader.

        @raise WrongOrder: it is none of a failover.
        """
        here, plane = self._here, self._here.dataplane
        own: dict[type[Order], Handler] = {
            PrepareFailover: self._prepare,
            ClientsClosed: here.clients_closed,
            orders.HoldGate: lambda reason: self._hold(),
            orders.Drained: plane.gate.drained,
            orders.ProveWatches: plane.move.prove_watches,
            ExpectPromotion: self._fence.expect_promotion,
            BringToPromoted: self._bring_to,
            GoToPromoted: self._go_to,
            LiftFence: lambda: here.lift_fence(here.configuration.settings.uplink),
            orders.ReleaseGate: lambda reason: self._let_go(),
        }
        if order not in own:
            raise WrongOrder(f"{order.__name__} is no order of a failover")
        return own[order]

    # -- by order of the leader

    async def _prepare(self, primary: str, host: str, port: int, limit_ms: int) -> None:
        configuration = self._here.configuration
        if not isinstance(configuration.finder, Finder):
            raise Rejected("no sentinels tell it where the primary is")
        if (found := str(configuration.settings.uplink.found)) != primary:
            raise Rejected(f"{found} is the primary there, and not {primary}")
        self._limit_s = max(0, limit_ms) / 1000 + self._here.lease_s
        await self._aim(TcpAddress(host, port))

    async def _aim(self, address: TcpAddress) -> Candidate:
        await self._abandon()
        if self._ended:
            raise Rejected("the failover was over before it was prepared")  # nobody would abandon it
        candidate = self._candidate = self._here.configuration.of_primary_at(address)
        try:
            await self._here.control.move.prepare(candidate)
        except BaseException:
            self._candidate = None
            raise
        return candidate

    async def _abandon(self) -> None:
        candidate, self._candidate = self._candidate, None
        if candidate is not None:
            await self._here.control.move.abandon()

    async def _hold(self) -> Hold:
        self._held_at = self._here.clock.seconds()
        self._limit = self._here.clock.callLater(self._limit_s + MARGIN_S, self._link.abort)
        self._here.control.follower.hold.suspend()
        status: GateStatus = await self._here.control.holding.hold(SWITCHOVER)
        return Hold(True, status)

    async def _bring_to(self, host: str, port: int) -> None:
        address = TcpAddress(host, port)
        if not self._aims_at(address):
            await self._aim(address)
        assert self._candidate is not None
        await self._bring(self._candidate)

    def _aims_at(self, address: TcpAddress) -> bool:
        return self._candidate is not None and self._candidate.settings.uplink.found == address

    async def _bring(self, candidate: Candidate) -> None:
        move = self._here.dataplane.move
        await move.connect()
        await move.bring()
        self._brought = candidate

    async def _go_to(self, host: str, port: int) -> Release:
        self._going = True
        try:
            release = await carried_out(self._gone(TcpAddress(host, port)))
        except BaseException:
            self._going = False
            ensureDeferred(self._follow()).addErrback(self._failed)
            raise
        self._end_of_hold()
        return release

    async def _gone(self, address: TcpAddress) -> Release:
        candidate = self._candidate if self._aims_at(address) else None
        if candidate is None or candidate is not self._brought:
            # Others may have written there since a WATCH was proven: so late none is made again.
            candidate = await self._aim(address)
            await self._bring(candidate)
        self._candidate = None
        await self._here.control.move.swap(candidate)
        return await self._released()

    async def _let_go(self) -> Release:
        await self._abandon()
        if not self._fence.promotion_expected:
            self._here.control.follower.hold.resume()
        release = await self._released()
        self._end_of_hold()
        return release

    async def _released(self) -> Release:
        return await self._here.control.holding.release(SWITCHOVER)

    def _end_of_hold(self) -> None:
        """Whoever follows the sentinels holds clients again when one tells of a failover."""
        self._held_at = None
        self._here.control.follower.hold.suspended = False
        if self._limit is not None and self._limit.active():
            self._limit.cancel()

    async def dismiss(self, report: Answer) -> None:
        """It is over; the leader's report of it."""
        if self._ended:
            return
        self.log.info("the failover that {name} led is over", name=self._name)
        if report:
            self._here.control.results.switched_over({**report, "led_by": self._name})
        await self._end()

    # -- without it

    def lost(self, link: Link) -> None:
        """The leader is lost."""
        if not self._ended:
            self.log.warn("the peer {name} is lost, which has led a failover", name=self._name)
            ensureDeferred(self._end()).addErrback(self._failed)

    async def _end(self) -> None:
        self._ended = True
        if not self._going:
            await self._follow()
        self._part.finish()

    async def _follow(self) -> None:
        """Leave the rest to whoever follows the sentinels; clients are held until the primary is known.

        As long as in any failover, and for the rest of the leader's time at the least: it may have the primary fenced.
        """
        held_at = self._held_at
        self._end_of_hold()
        await self._abandon()
        if held_at is None:
            return
        here, hold = self._here, self._here.control.follower.hold
        wait_limit_s = here.configuration.settings.uplink.wait_limit_ms / 1000
        left_s = max(LOOK_AGAIN_S, held_at + self._limit_s - here.clock.seconds(), wait_limit_s)
        hold.begin(left_s)
        await self._released()
        await self._fence.lift()
        ensureDeferred(self._fence.lift_at_replica(here.configuration.settings.uplink)).addErrback(self._failed)
        here.clock.callLater(0, here.control.follower.look)  # this operation has to be over before
        ensureDeferred(self._fence.hold_until_it_is_lifted(left_s)).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("going on without a leader failed", failure=failure)
        self._part.finish()
