"""The switchover as an operation: reads where it goes, runs C{redisproxy.switchover}, and keeps the report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from redisproxy.control.abort import Abort
from redisproxy.control.answers import Answer
from redisproxy.control.errors import WrongState
from redisproxy.control.other_proxies import NoOtherProxies
from redisproxy.control.switchover_answers import answer_to, carry_out
from redisproxy.control.switchover_release import released
from redisproxy.control.watch import Watch
from redisproxy.control.way_back import FORGETTING, Return, file_advice
from redisproxy.dataplane.interface import SWITCHOVER
from redisproxy.net.deferreds import shielded
from redisproxy.sentinel.finder import Finder
from redisproxy.switchover import Switchover
from redisproxy.switchover.both_servers import BothServers

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from redisproxy.config import SwitchoverSettings, UplinkSettings
    from redisproxy.control.configuration import Candidate, Configuration
    from redisproxy.control.exclusion import Exclusion
    from redisproxy.control.holding import Holding
    from redisproxy.control.move import Move
    from redisproxy.control.results import Results
    from redisproxy.copying.interface import StartCopying
    from redisproxy.dataplane.interface import DataPlane, GateStatus
    from redisproxy.net.network import Network


GoBack = Callable[[str], "Deferred[Answer]"]
LiftFence = Callable[[], "Coroutine[Deferred[Any], Any, bool]"]


class SwitchoverCut:
    """Implements C{switchover.control_plane.ControlPlane}: the pause of one switchover, and its change of settings.

    @param clients_closed: how many clients had been closed before, by reason.
    @param others_lift_fence: see there. @param others_left_behind: see there.
    """

    def __init__(
        self,
        candidate: Candidate,
        holding: Holding,
        move: Move,
        clients_closed: Mapping[str, int],
        others_lift_fence: LiftFence,
        others_left_behind: Callable[[], bool],
    ) -> None:
        self.others_lift_fence, self.others_left_behind = others_lift_fence, others_left_behind
        self._candidate = candidate
        self._holding = holding
        self._move = move
        self._clients_closed = clients_closed
        self._waiting_for_word: Deferred[None] | None = None

    def hold(self) -> Deferred[GateStatus]:
        return self._holding.hold(SWITCHOVER)

    def release(self) -> Deferred[Answer]:
        return self._holding.release(SWITCHOVER).addCallback(released, self._clients_closed)

    async def swap(self) -> None:
        await self._move.swap(self._candidate)

    def told_to_go_on(self) -> Deferred[None]:
        self._waiting_for_word = Deferred()
        return self._waiting_for_word

    def go_on(self) -> bool:
        """The operator's word; False when nobody waits for it."""
        waiting, self._waiting_for_word = self._waiting_for_word, None
        if waiting is None or waiting.called:
            return False
        waiting.callback(None)
        return True


class Trip(NamedTuple):
    """Where a switchover goes, and how.

    @ivar back: to the server before. @ivar reason: why, if nobody ordered it.
    """

    candidate: Candidate
    settings: SwitchoverSettings
    back: bool = False
    reason: str = ""


class SwitchoverOperation:
    """The operation.

    @ivar way_back: the server before. @ivar watch: looks at the new server for a while.
    @ivar running: the switchover that runs. @ivar go_back: how the watch has it go back, with the reason.
    @ivar others_lift_fence: asks the peers. @ivar others_left_behind: whether one was lost.
    """

    running: Switchover | None = None
    _cut: SwitchoverCut | None = None
    log = Logger(namespace="redisproxy.switchover")

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
        start_copying: StartCopying,
    ) -> None:
        self._start_copying = start_copying
        self._dataplane = dataplane
        self._configuration = configuration
        self._holding, self._move = holding, move
        self._exclusion = exclusion
        self._results = results
        self._network, self._clock = network, clock
        self._abort = Abort()
        self.way_back = Return(configuration, results, network, clock)
        self.go_back: GoBack = lambda reason: self.switch_over(back=True, reason=reason)
        self.watch = Watch(network, clock, lambda reason: self.go_back(reason))
        self.others_lift_fence: LiftFence = NoOtherProxies().lift_fence
        self.others_left_behind: Callable[[], bool] = lambda: False

    @property
    def progress(self) -> Answer | None:
        """What the pages show of the one that runs."""
        return self.running.current() if self.running is not None else None

    def switch_over(self, dry_run: bool = False, back: bool = False, reason: str = "") -> Deferred[Answer]:
        """Move the data and the clients to the uplink that the configuration file names now.

        Refused while another move runs.

        @param back: to the server that was in use before the last switchover, whatever the file names.
        @param reason: why, if nobody ordered it.
        """
        return self._exclusion.run(SWITCHOVER, lambda: self._abort.run(self._prepare(dry_run, back, reason)))

    def forget_way_back(self) -> Deferred[Answer]:
        """Have the server before follow no more; it stays fenced."""
        self.watch.stop("the way back is forgotten")
        return self._exclusion.run(FORGETTING, self.way_back.forget)

    def go_on(self) -> Answer:
        """In external mode: the new server is promoted.

        @raise WrongState: no switchover waits for that.
        """
        if self._cut is None or not self._cut.go_on():
            raise WrongState("no switchover waits for your word")
        return {"state": "going on"}

    def abort(self) -> Deferred[Answer]:
        """Stop the one that runs, before the new server is promoted. Fires when everything is undone.

        Fails with L{WrongState} when none runs, or when it is too late.
        """
        return self._abort.order()

    async def _trip(self, back: bool, reason: str) -> Trip:
        """
        @raise Rejected: the file does not name another server. @raise WrongState: there is no server before.
        """
        if back:
            return Trip(await self.way_back.candidate(), self.way_back.settings(), back, reason)
        candidate = await self._configuration.of_another_server()
        return Trip(candidate, candidate.settings.switchover)

    async def _prepare(self, dry_run: bool, back: bool, reason: str) -> Answer:
        trip, before = await self._trip(back, reason), self._configuration.settings.uplink
        if not dry_run:
            self.watch.stop("another switchover came")
        await self._move.prepare(trip.candidate)
        swapped = False
        try:
            switchover = await self._made(trip, dry_run)
            await self._run(switchover)
            swapped = not dry_run
        finally:
            if not swapped:
                await self._move.abandon()
        if swapped:
            await shielded(self._arrived(trip, before, switchover))
        return await shielded(answer_to(switchover, self._dataplane))

    async def _arrived(self, trip: Trip, before: UplinkSettings, switchover: Switchover) -> None:
        """Note the way back, say what the file has to name, and watch."""
        after, way_back, report = trip.candidate.settings.uplink, switchover.way_back, switchover.report
        report["warnings"] += await self.way_back.switched(before, after, way_back)
        if trip.back:
            text = file_advice(before.address, after.address)
            report["warnings"].append(text)
            self.log.warn("switchover: {text}", text=text)
        elif trip.settings.watch_ms and way_back.follows:
            self.watch.begin(after, trip.settings)

    async def _made(self, trip: Trip, dry_run: bool) -> Switchover:
        candidate, left = trip.candidate, self.way_back.left_at(trip.candidate.settings.uplink)
        before = (await self._dataplane.figures()).clients_closed
        others = self.others_lift_fence, self.others_left_behind
        self._cut = SwitchoverCut(candidate, self._holding, self._move, before, *others)
        old, new = self._configuration.settings, candidate.settings
        finder = self._configuration.finder
        watching = finder if isinstance(finder, Finder) else None
        servers = BothServers(old, new, self._network, self._clock, *left, finder=watching)
        copying, settings = self._start_copying(old, new), trip.settings
        switchover = Switchover(servers, self._dataplane, self._cut, settings, self._clock, copying, dry_run)
        switchover.report["reason"] = trip.reason
        return switchover

    async def _run(self, switchover: Switchover) -> None:
        self.running = switchover
        self._abort.watch(switchover)
        try:
            await carry_out(switchover, self._abort)
        finally:
            if switchover.report["result"] not in ("refused", "dry_run"):
                self._configuration.unfinished = switchover.unfinished
            self._cut = self.running = None
            self._results.switched_over(switchover.report)
