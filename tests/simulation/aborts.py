"""An operator who aborts switchovers: everything is as before when that is answered, or it is too late."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from redisproxy.control.errors import OperationError

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from tests.simulation.redis import Server
    from tests.simulation.world import World

SHARE = 0.2


class Aborts:
    """Aborts some of the switchovers of a run, at any moment.

    @ivar done: how many were aborted.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = Random(f"{world.seed} aborts")
        self.done = 0

    def perhaps(self, switchover: Deferred[Any], running: dict[Deferred[Any], str]) -> None:
        """Abort this one, sooner or later, or not at all.

        @param running: the orders that are not answered.
        """
        if self.chance.random() >= SHARE:
            return
        delay_s = self.chance.choice((0, 0.02, 0.3)) * self.chance.random()
        self.world.clock.at(delay_s, self._abort, switchover, running, self.world.current)

    def _abort(self, switchover: Deferred[Any], running: dict[Deferred[Any], str], old: Server) -> None:
        if switchover not in running or self.world.stopped:
            return
        answer = self.world.operations.switchover_abort()
        running[answer] = "abort"
        self.world.note("operator", "abort")
        answer.addBoth(self._leave, running, answer)
        answer.addCallbacks(self._aborted, self._refused, callbackArgs=(old, switchover, running))
        answer.addErrback(self.world.crashed)

    def _leave(self, result: Any, running: dict[Deferred[Any], str], answer: Deferred[Any]) -> Any:
        del running[answer]
        return result

    def _refused(self, failure: Failure) -> None:
        failure.trap(OperationError)
        self.world.note("operator", f"abort: {failure.getErrorMessage()}")

    def _aborted(
        self, answer: dict[str, Any], old: Server, switchover: Deferred[Any], running: dict[Deferred[Any], str]
    ) -> None:
        world, result = self.world, answer["report"].get("result")
        world.note("operator", f"aborted: {result}")
        self.done += 1
        world.clock.at(0, self._is_over, switchover, running)
        if result == "unknown":
            return
        if world.in_use is not old:
            world.fail(f"a switchover was aborted, and clients are on {world.in_use.name}")
        if not world.faulty and old.config["min-replicas-to-write"] != "0":
            world.fail(f"a switchover was aborted, and {old.name} takes no writes")

    def _is_over(self, switchover: Deferred[Any], running: dict[Deferred[Any], str]) -> None:
        if switchover in running:
            self.world.violation = self.world.violation or "a switchover was aborted, and goes on"
