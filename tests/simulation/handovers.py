"""Clients go from one worker to another while they work, and either of the two, or the link between them, may fail.

They go at any moment: in the middle of pipelines, transactions, WATCH, BLPOP, subscriptions and tracking, before and
after reloads and switchovers. At any order of a handover the giving or the taking side is killed or stopped, or the
link between the two is cut or late.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionLost

from redisproxy.control.errors import OperationError
from redisproxy.dataplane.interface import HandoverRefused, Taker
from redisproxy.remote.order_server import OrderServer
from redisproxy.workers.handovers import FAILURES
from tests.simulation.moments import Moments
from tests.simulation.network import End

if TYPE_CHECKING:
    from tests.simulation.processes import Process
    from tests.simulation.workers import Workers
    from tests.simulation.world import World

ORDERS = ("Expect", "Expect", "Adopt", "Adopt", "Adopt", "Forget", "Greet")
LIMITS_S = (0.02, 0.3, 3.0)
CUT_NOTICED_S = (0.0, 0.001, 0.02, 0.4)
HANDOVER = "handover"


class Handovers:
    """Has clients handed over.

    @ivar moved: how many clients have gone, as the answers say.
    """

    def __init__(self, world: World, workers: Workers) -> None:
        self._world = world
        self._workers = workers
        self._chance = Random(f"{world.seed} handovers")
        counts = (0, 1, 2, 3) if workers.hit else (0,)
        self._moments = Moments(self._chance, counts, self._happen, lambda: world.ending, ORDERS)
        self.moved = 0

    def watch(self, server: OrderServer) -> None:
        """Something may happen at what is ordered here."""
        self._moments.watch(server)

    # -- the operations

    async def run(self, count: int) -> None:
        """Have clients go so many times, one time after the other, and not while a move runs."""
        for _ in range(count):
            await self._world.sleep(self._chance.choice((0, 0.01, 0.1, 0.3)))
            if self._world.ending:
                return
            with suppress(OperationError):  # a move runs
                await self._world.control.exclusion.run(HANDOVER, self._move)

    async def _move(self) -> dict[str, Any]:
        members = self._workers.members
        if len(members) > 1:
            giver, taker = self._chance.sample(members, 2)
            self._note(f"the clients of worker {giver.pid} go to {taker.pid}")
            try:
                to = (Taker(taker.door, self._chance.choice((1, 2, 100))),)
                done = await giver.plane.handover.hand_over(to, self._chance.choice(LIMITS_S))
                self.moved += done.taken
                self._note(f"{done.taken} clients have gone, {dict(done.staying)}")
            except FAILURES as error:
                self._may_fail(error)
            self._nobody_is_twice()
        return {}

    def _may_fail(self, error: Exception) -> None:
        self._note(f"{type(error).__name__}: {error}")
        # The control process evens workers out by itself, perhaps at this moment.
        crossed = isinstance(error, HandoverRefused) and "being handed over already" in str(error)
        if not (crossed or self._workers.hit or self._world.faulty or self._world.ending):
            self._world.fail(f"a handover failed although nothing had: {error}")

    def _nobody_is_twice(self) -> None:
        """No client is in two workers that know the answers to their orders."""
        seen: set[int] = set()
        for process in self._workers.in_use:
            for client in process.program.plane.registry:
                if client.id in seen and not self._workers.hit:
                    self._world.fail(f"client {client.id} is in two workers")
                seen.add(client.id)

    # -- what happens to them

    def _happen(self, server: OrderServer, when: str) -> bool:
        transport: Any = server.transport
        if transport is None:
            return True
        taker, giver = transport.process, transport.peer.process
        deeds: tuple[Callable[[], bool], ...] = (
            lambda: self._workers.kill(taker, f"{when}, "),
            lambda: self._kill_giver(giver, when),
            lambda: self._workers.stop_one(taker, f"{when}, "),
            lambda: self._workers.stop_one(giver, f"{when}, "),
            lambda: self._cut(transport, when),
            lambda: self._cut(transport, when),
            lambda: self._late(transport, when),
        )
        if taker is None or giver is None:
            return True
        return self._chance.choice(deeds)()

    def _kill_giver(self, giver: Process, when: str) -> bool:
        self._workers.kill(giver, f"{when}, ")
        return True

    def _cut(self, near: End, when: str) -> bool:
        """Nothing gets through between the two any more."""
        self._note(f"{when}, the link between two workers is cut")
        for end in (near, near.peer):
            end.peer = nowhere = End(self._world.net, end.getHost(), "nowhere")
            nowhere.gone = True
            if end.process is not None:
                end.process.at(self._chance.choice(CUT_NOTICED_S), end._lost, ConnectionLost())
        return False

    def _late(self, near: End, when: str) -> bool:
        seconds = self._chance.choice((0.01, 0.5, 3.0))
        self._note(f"{when}, the link between two workers stalls for {seconds} s")
        near.stalled_until = near.peer.stalled_until = self._world.clock.seconds() + seconds
        return True

    def _note(self, text: str) -> None:
        self._world.note("handover", text)
