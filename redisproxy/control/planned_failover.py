"""The failover that an operator asks for: the sentinels promote a replica, and the proxy sees that nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred, succeed

from redisproxy.control.abort import Abort
from redisproxy.control.answers import Answer
from redisproxy.control.errors import BadRequest, WrongState
from redisproxy.control.other_proxies import NoOtherProxies, OtherProxies
from redisproxy.control.switchover_answers import answer_to, carry_out
from redisproxy.control.switchover_release import released
from redisproxy.dataplane.interface import SWITCHOVER
from redisproxy.net.deferreds import all_settled, shielded
from redisproxy.sentinel.finder import Finder
from redisproxy.switchover.sentinel_failover import SentinelFailover
from redisproxy.switchover.sentinel_group import SentinelGroup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redisproxy.config import TcpAddress
    from redisproxy.control.configuration import Candidate, Configuration
    from redisproxy.control.exclusion import Exclusion
    from redisproxy.control.failover_hold import FailoverHold
    from redisproxy.control.holding import Holding
    from redisproxy.control.move import Move
    from redisproxy.control.results import Results
    from redisproxy.dataplane.interface import DataPlane, GateStatus, Release
    from redisproxy.net.network import Network

PLANNED_FAILOVER = "planned failover"


class FailoverCut:
    """Implements C{switchover.control_plane.FailoverControlPlane}.

    @param clients_closed: how many clients had been closed before, by reason.
    @param others: proxies that take part.
    @ivar left_to_follower: somebody has to look for the primary when this is over.
    """

    def __init__(
        self,
        configuration: Configuration,
        holding: Holding,
        move: Move,
        hold: FailoverHold,
        clients_closed: Mapping[str, int],
        others: OtherProxies,
    ) -> None:
        self._configuration = configuration
        self._holding = holding
        self._move = move
        self._hold = hold
        self._clients_closed = clients_closed
        self._others = others
        self._others_take_part = False
        self._others_go: Deferred[None] | None = None
        self._candidate: Candidate | None = None
        self._ordered = False
        self.left_to_follower = False

    def hold(self) -> Deferred[GateStatus]:
        self._hold.suspend()
        return ensureDeferred(self._held())

    async def _held(self) -> GateStatus:
        works: list[Deferred[Any]] = [self._holding.hold(SWITCHOVER), ensureDeferred(self._others.hold())]
        settled = await all_settled(works)
        for good, result in settled:
            if not good:
                result.raiseException()
        status: GateStatus = settled[0][1]
        return status

    def release(self) -> Deferred[Answer]:
        return ensureDeferred(self._released())

    async def _released(self) -> Answer:
        others = self._others.let_go() if self._others_go is None and not self.left_to_follower else None
        if not self._ordered:
            self._hold.resume()
        letting_go = succeed(None) if others is None else ensureDeferred(others)
        release: Release = await self._holding.release(SWITCHOVER)
        self._others.released(release, self._clients_closed)
        await letting_go
        return released(release, self._clients_closed)

    async def others_drained(self) -> None:
        await self._others.drained()

    async def others_proven(self) -> None:
        await self._others.prove_watches()

    async def others_expect_promotion(self) -> None:
        await self._others.expect_promotion()
        self._ordered = True

    async def others_bring_to(self, address: TcpAddress) -> None:
        await self._others.bring_to(address)

    async def others_lift_fence(self) -> bool:
        return await self._others.lift_fence()

    async def others_there(self) -> None:
        if self._others_go is not None:
            await self._others_go

    async def aim(self, address: TcpAddress) -> None:
        await self.abandon()
        candidate = self._configuration.of_primary_at(address)
        await self._move.prepare(candidate)
        self._candidate = candidate
        if not self._others_take_part:
            self._others_take_part, settings = True, self._configuration.settings
            assert settings.uplink.found is not None
            await self._others.prepare(settings.uplink.found, address, settings.switchover.pause_budget_ms)

    async def abandon(self) -> None:
        candidate, self._candidate = self._candidate, None
        if candidate is not None:
            await self._move.abandon()

    async def swap(self) -> None:
        assert self._candidate is not None
        new = self._candidate.settings.uplink.found
        assert new is not None
        self._others_go = ensureDeferred(self._others.go_to(new))
        await self._move.swap(self._candidate)
        self._candidate = None

    async def leave_to_follower(self) -> None:
        self.left_to_follower = True
        self._others.leave()
        self._hold.suspended = False
        self._hold.begin(self._configuration.settings.uplink.wait_limit_ms / 1000)


class PlannedFailover:
    """The operation.

    @ivar running: the one that runs. @ivar others: proxies that take part.
    @param hold: what holds clients for the failovers of others. @param look: has the sentinels' primary looked for.
    """

    def __init__(
        self,
        dataplane: DataPlane,
        configuration: Configuration,
        holding: Holding,
        move: Move,
        exclusion: Exclusion,
        results: Results,
        network: Network,
        clock: Any,
        hold: FailoverHold,
        look: Callable[[], None],
    ) -> None:
        self._dataplane = dataplane
        self._configuration = configuration
        self._holding, self._move = holding, move
        self._exclusion = exclusion
        self._results = results
        self._network = network
        self._clock = clock
        self._hold = hold
        self._look = look
        self._abort = Abort()
        self.others: OtherProxies = NoOtherProxies()
        self.running: SentinelFailover | None = None

    @property
    def progress(self) -> Answer | None:
        """What the pages show of the one that runs."""
        return self.running.current() if self.running is not None else None

    def fail_over(self, dry_run: bool = False) -> Deferred[Answer]:
        """Have the sentinels make a replica the primary, and take the clients there. Refused while a move runs."""
        return self._exclusion.run(PLANNED_FAILOVER, lambda: self._abort.run(self._fail_over(dry_run)))

    def abort(self) -> Deferred[Answer]:
        """Stop the one that runs, before the sentinels are told. Fires when everything is undone.

        Fails with L{WrongState} when none runs, or when it is too late.
        """
        return self._abort.order()

    async def _fail_over(self, dry_run: bool) -> Answer:
        failover, cut = await self._made(dry_run)
        self.running = failover
        self._abort.watch(failover)
        try:
            await carry_out(failover, self._abort)
        finally:
            self._over(failover, cut)
        return await shielded(answer_to(failover, self._dataplane))

    def _over(self, failover: SentinelFailover, cut: FailoverCut) -> None:
        self.running = None
        self._hold.suspended = False
        if cut.left_to_follower:
            # This operation has to be over before another one can go there.
            self._clock.callLater(0, self._look)
        self._results.switched_over(failover.report)

    async def _made(self, dry_run: bool) -> tuple[SentinelFailover, FailoverCut]:
        configuration = self._configuration
        settings, finder = configuration.settings, configuration.finder
        primary = settings.uplink.found
        if not isinstance(finder, Finder):
            raise BadRequest(
                f"no Sentinel watches {settings.uplink.address}. Have the service that manages it fail over, or tell"
                " the server (FAILOVER), and the proxy follows the name. To move to another server with nothing lost,"
                " have uplink name that one, and run redisproxy switchover"
            )
        if primary is None:
            raise WrongState("no sentinel has told yet where the primary is")
        closed = (await self._dataplane.figures()).clients_closed
        group = SentinelGroup(finder, settings.uplink, primary, self._network, self._clock)
        cut = FailoverCut(configuration, self._holding, self._move, self._hold, closed, self.others)
        return SentinelFailover(group, self._dataplane, cut, settings.switchover, self._clock, dry_run), cut
