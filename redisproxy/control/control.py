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
from redisproxy.control.errors import WrongState
from redisproxy.control.exclusion import Exclusion
from redisproxy.control.failover import Failover
from redisproxy.control.failover_hold import FailoverHold
from redisproxy.control.holding import Holding
from redisproxy.control.info import Info
from redisproxy.control.move import Move
from redisproxy.control.operations import Operations
from redisproxy.control.pause import Pause
from redisproxy.control.reload import Reload
from redisproxy.control.results import Results
from redisproxy.control.sentinel_follower import Follower
from redisproxy.control.shutdown import Shutdown
from redisproxy.control.switchover import SwitchoverOperation
from redisproxy.control.unfinished_copy import UnfinishedCopy
from redisproxy.control.upgrade import UPGRADE, Upgrade
from redisproxy.control.uplink_advice import UplinkAdvice
from redisproxy.copying.engine import CopyEngine
from redisproxy.dataplane.interface import FAILOVER, DataPlaneLost
from redisproxy.figures.metrics import OperationFigures

if TYPE_CHECKING:
    from redisproxy.control.answers import Answer
    from redisproxy.copying.interface import StartCopying
    from redisproxy.dataplane.interface import DataPlane
    from redisproxy.net.network import Network

TICK_S = 0.1
START = "start"


class Control:
    """Drives one data plane.

    @ivar operations: what operators may ask for. @ivar reload: what a SIGHUP does. @ivar shutdown: how it ends.
    @ivar switchover: whose C{running} is the switchover that runs. @ivar upgrade: what a SIGUSR2 does.
    @ivar follower: of the sentinels.
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
    ) -> None:
        """
        @param jitter: of attempts to reach sentinels.
        @param start_copying: what switchovers copy with; this process does it itself when left out.
        """
        self.configuration, self.metrics = configuration, OperationFigures()
        self.results = results = Results(self.metrics, clock)
        self._dataplane, self._clock = dataplane, clock
        self._exclusion = exclusion = Exclusion(results)
        self._advice = UplinkAdvice(configuration, network, clock)
        self.shutdown = Shutdown(dataplane, lambda: configuration.settings.shutdown, clock)
        holding = Holding(dataplane.gate, self.metrics)
        move = Move(dataplane, configuration, holding, clock)
        unfinished = UnfinishedCopy(configuration, network, clock)
        self.reload = Reload(configuration, move, exclusion, results, unfinished)
        moving = dataplane, configuration, holding, move, exclusion, results, network, clock
        copying_here = partial(CopyEngine, network=network, clock=clock)
        self.switchover = SwitchoverOperation(*moving, start_copying or copying_here)
        self.upgrade = Upgrade(dataplane, configuration, exclusion, results, clock)
        self.follower = self._follower(Failover(configuration, move, exclusion), holding, jitter)
        self.operations, self._loop = self._operations(holding), LoopingCall(self._tick)

    def _follower(self, failover: Failover, holding: Holding, jitter: Callable[[float, float], float]) -> Follower:
        hold = FailoverHold(holding, self._clock)
        return Follower(self.configuration, failover, hold, self.metrics, self._clock, jitter)

    def _operations(self, holding: Holding) -> Operations:
        dataplane, configuration, clock = self._dataplane, self.configuration, self._clock
        pause = Pause(dataplane.gate, holding, configuration, self.shutdown, clock)
        info = Info(
            dataplane,
            configuration,
            self._advice,
            self.results,
            self.switchover,
            self.upgrade,
            self.shutdown,
            self.metrics,
            clock,
        )
        return Operations(dataplane, pause, self.reload, self.switchover, self.upgrade, info)

    def start(self) -> None:
        """Have the data plane serve, look after the server in use, and follow the sentinels."""
        # No move may begin before it is known what there is to move, and which server is in use.
        starting = self._exclusion.run(START, self._start_data_plane)
        starting.addErrback(lambda failure: failure.trap(WrongState))  # the end has begun
        self._advice.start(self._dataplane)
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
        self.follower.tick(self.configuration.finder is not None and await self._connected())

    async def _connected(self) -> bool:
        try:
            return await self._dataplane.connected()
        except DataPlaneLost:
            return False

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
        await self._exclusion.stop(still=FAILOVER)
        await self._unless_lost(self.shutdown.let_clients_leave())
        self.follower.stop()
        await self._exclusion.stop()
        await self._unless_lost(self.shutdown.close_clients())
        self._end_deciding()
        await self._unless_lost(self._dataplane.stop())

    async def retire(self) -> None:
        """Another process is in charge: decide nothing any more. The data plane serves whoever is left."""
        self._end_deciding()
        await self._exclusion.stop(still=UPGRADE)

    def _end_deciding(self) -> None:
        self.switchover.watch.stop("the proxy shuts down")
        self.follower.stop()
        if self._loop.running:
            self._loop.stop()
        self._advice.stop()

    async def _unless_lost(self, work: Awaitable[None]) -> None:
        try:
            await work
        except DataPlaneLost as error:
            self.log.warn("stopping: {error}", error=str(error))
