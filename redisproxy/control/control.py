"""The control plane of one process: its parts, and the order in which they start and stop."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.control.configuration import Configuration
from redisproxy.control.credential_files import CredentialFiles
from redisproxy.control.errors import WrongState
from redisproxy.control.exclusion import Exclusion
from redisproxy.control.failover import Failover
from redisproxy.control.failover_hold import FailoverHold
from redisproxy.control.holding import Holding
from redisproxy.control.info import Info
from redisproxy.control.left_server import LeftServer
from redisproxy.control.move import Move
from redisproxy.control.operations import Operations
from redisproxy.control.pause import Pause
from redisproxy.control.planned_failover import PlannedFailover
from redisproxy.control.records import Records
from redisproxy.control.reload import Reload
from redisproxy.control.results import Results
from redisproxy.control.sentinel_follower import Follower
from redisproxy.control.shutdown import Shutdown
from redisproxy.control.switchover import SwitchoverOperation
from redisproxy.control.unfinished_switchover import UnfinishedSwitchover
from redisproxy.control.upgrade import UPGRADE, Upgrade
from redisproxy.control.uplink_advice import UplinkAdvice
from redisproxy.copying.engine import CopyEngine
from redisproxy.dataplane.interface import DEMOTED, FAILOVER, DataPlaneLost
from redisproxy.figures.metrics import OperationFigures

if TYPE_CHECKING:
    from redisproxy.control.answers import Answer
    from redisproxy.copying.interface import StartCopying
    from redisproxy.dataplane.interface import DataPlane
    from redisproxy.net.network import Network

TICK_S = 0.1
START = "start"


def _nothing() -> None:
    """Nobody wants to know when it ends."""


class Control:
    """Drives one data plane.

    @ivar operations: what operators may ask for. @ivar reload: what a SIGHUP does. @ivar shutdown: how it ends.
    @ivar switchover: whose C{running} is the switchover that runs. @ivar upgrade: what a SIGUSR2 does.
    @ivar follower: of the sentinels. @ivar exclusion: lets one move run at a time. @ivar holding: holds the clients.
    @ivar move: goes elsewhere with the clients of this proxy alone. @ivar ends: called when it decides nothing more.
    @ivar failover: by the sentinels, when an operator wants it.
    """

    log = Logger(namespace="redisproxy.control")

    def __init__(
        self,
        configuration: Configuration,
        dataplane: DataPlane,
        network: Network,
        clock: Any,
        jitter: Callable[[float, float], float] = random.uniform,
        start_copying: StartCopying | None = None,
        moving: DataPlane | None = None,
    ) -> None:
        """
        @param moving: what reloads and switchovers drive: this data plane, or, at times, those of peers as well.
        @param jitter: of attempts to reach sentinels.
        @param start_copying: what switchovers copy with; this process does it itself when left out.
        """
        self.configuration, self.metrics, self._clock = configuration, OperationFigures(), clock
        self.results = results = Results(self.metrics, clock)
        self._dataplane, self.ends, self._retired = dataplane, _nothing, False
        self.exclusion = exclusion = Exclusion(results)
        self._advice = UplinkAdvice(configuration, network, clock)
        self.shutdown = Shutdown(dataplane, lambda: configuration.settings.shutdown, clock)
        self.holding = Holding(dataplane.gate, self.metrics)
        self.move = Move(dataplane, configuration, self.holding, clock)
        start_copying = start_copying or partial(CopyEngine, network=network, clock=clock)
        self._move_with(dataplane if moving is None else moving, network, start_copying)
        self.upgrade = Upgrade(dataplane, configuration, exclusion, results, clock)
        self._follow(network, jitter)
        self.operations, self._loop = self._operations(), LoopingCall(self._tick)

    def _move_with(self, moving: DataPlane, network: Network, start_copying: StartCopying) -> None:
        configuration, exclusion, results, clock = self.configuration, self.exclusion, self.results, self._clock
        holding = Holding(moving.gate, self.metrics)
        move = Move(moving, configuration, holding, clock)
        refused = UnfinishedSwitchover(configuration, network, clock), LeftServer(configuration, network, clock)
        self.reload = Reload(configuration, move, exclusion, results, *refused)
        moved = moving, configuration, holding, move, exclusion, results, network, clock
        self.switchover = SwitchoverOperation(*moved, start_copying)

    def _follow(self, network: Network, jitter: Callable[[float, float], float]) -> None:
        configuration, exclusion, clock = self.configuration, self.exclusion, self._clock
        hold, failover = FailoverHold(self.holding, clock), Failover(configuration, self.move, exclusion)
        self.follower = Follower(configuration, failover, hold, self.metrics, clock, jitter)
        moved = self._dataplane, configuration, self.holding, self.move, exclusion, self.results, network, clock
        self.failover = PlannedFailover(*moved, hold, self.follower.look)

    def _operations(self) -> Operations:
        dataplane, configuration, clock = self._dataplane, self.configuration, self._clock
        pause = Pause(dataplane.gate, self.holding, configuration, self.shutdown, clock)
        self._files = CredentialFiles(configuration, self.metrics, clock)
        info = Info(
            dataplane,
            configuration,
            self._advice,
            self.results,
            self.switchover,
            self.failover,
            self.upgrade,
            self.shutdown,
            self._files,
            self.metrics,
            clock,
        )
        operations = pause, self.reload, self.switchover, self.failover, self.upgrade, info, Records(dataplane)
        return Operations(dataplane, *operations)

    def start(self) -> None:
        """Have the data plane serve, look after the server in use, and follow the sentinels."""
        # No move may begin before it is known what there is to move, and which server is in use.
        starting = self.exclusion.run(START, self._start_data_plane)
        starting.addErrback(lambda failure: failure.trap(WrongState))  # the end has begun
        self._advice.start(self._dataplane)
        self.switchover.way_back.start(self._dataplane)
        self._loop.clock = self._clock
        self._loop.start(TICK_S, now=True).addErrback(self._failed)

    async def _start_data_plane(self) -> Answer:
        try:
            await self._dataplane.start()
        except CancelledError:
            raise
        except Exception:
            self._failed(Failure())
        return {}

    async def _tick(self) -> None:
        self._advice.tick()
        self._files.tick()
        connected, demoted = await self._standing() if self.configuration.finder is not None else (False, False)
        self.follower.tick(connected, demoted)

    async def _standing(self) -> tuple[bool, bool]:
        """Whether there is a connection to the server in use, and whether that is no primary any more."""
        try:
            return await self._dataplane.connected(), DEMOTED in (await self._dataplane.gate.state()).reasons
        except DataPlaneLost:
            return False, False

    def _failed(self, failure: Failure) -> None:
        if failure.check(DataPlaneLost):
            self.log.warn("the data plane is not started yet: {error}", error=failure.getErrorMessage())
        else:
            self.log.failure("the control plane failed", failure=failure)

    async def stop(self) -> None:
        """Undo what is under way, part with the clients, and close everything.

        Clients that have time to leave need their server until then, so that a failover is followed meanwhile.
        """
        self.shutdown.begin()
        self.switchover.watch.stop("the proxy shuts down")
        await self.exclusion.stop(still=FAILOVER)
        await self._unless_lost(self.shutdown.let_clients_leave())
        self.follower.stop()
        await self.exclusion.stop()
        await self._unless_lost(self.shutdown.close_clients())
        self._end_deciding()
        await self._unless_lost(self._dataplane.stop())

    async def retire(self) -> None:
        """Another process is in charge: decide nothing any more. The data plane serves whoever is left."""
        self._retired = True
        self._end_deciding()
        await self.exclusion.stop(still=UPGRADE)

    def _end_deciding(self) -> None:
        self.switchover.watch.stop("the proxy shuts down")
        self.follower.stop()
        if self._loop.running:
            self._loop.stop()
        self._advice.stop()
        self.ends()
        self.switchover.way_back.stop()

    async def _unless_lost(self, work: Awaitable[None]) -> None:
        try:
            await work
        except DataPlaneLost as error:
            if not self._retired:  # the workers of a process that was upgraded end with their last clients
                self.log.warn("stopping: {error}", error=str(error))
