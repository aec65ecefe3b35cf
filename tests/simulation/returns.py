"""An operator who goes back where a switchover has left a way back, and who mends the configuration file late."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred

from redisproxy.control.errors import OperationError

if TYPE_CHECKING:
    from tests.simulation.redis import Server
    from tests.simulation.world import World

KEPT = 0.4
SHARE = 0.6


def keeps_way_back(seed: int) -> bool:
    """Whether switchovers of this run keep a way back."""
    return Random(f"{seed} way back").random() < KEPT


class Returns:
    """Goes back now and then.

    @ivar done: how often.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = Random(f"{world.seed} returns")
        self.done = 0
        self._knows = True

    def forget_all(self) -> None:
        """The process that knew which server was left is gone."""
        self._knows = False

    def target(self) -> Server | None:
        """The server to go back to now; None to do something else."""
        way_back = self.world.control.switchover.way_back.describe()
        if way_back is None or self.chance.random() >= SHARE:
            return None
        server: Server = self.world.net.hosts[way_back["to"]]
        return server

    def forget(self) -> None:
        """Perhaps have the server before follow no more."""
        if self.chance.random() < 0.2:
            self.world.note("operator", "the way back is forgotten")
            self.world.operations.forget_way_back().addErrback(lambda failure: failure.trap(OperationError))

    def arrived(self, running: dict[Deferred[Any], str]) -> None:
        """It was gone back, and the file names the server that was left: only after a while it is mended."""
        self.done += 1
        self.world.switching = self._knows = True
        mending = ensureDeferred(self._mend()).addErrback(self.world.crashed)
        running[mending] = "mending the file"
        mending.addBoth(lambda _: running.pop(mending))

    async def _mend(self) -> None:
        world = self.world
        await world.sleep(self.chance.random() * 0.05)
        if self._knows and not world.stopped:
            world.note("operator", "reload, with the server that was left in the file")
            await world.operations.reload().addErrback(lambda failure: failure.trap(OperationError))
        if world.in_use is not world.current:
            world.fail(f"a reload has led to {world.in_use.name}, which was left by going back")
        world.switching = False
        world.write_config(world.current)
