"""The control process is killed, at any time and at every order to a worker, and another one is started in its place.

Workers go on meanwhile, and the new one finds them. It is started with the file as it is: a switchover that was under
way may have had it name the new server; or an operator has had it name the server before again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from redisproxy import config
from redisproxy.dataplane.interface import SWITCHOVER
from redisproxy.net import tls
from redisproxy.remote.interrupted import MARGIN_S
from redisproxy.remote.moving import Moves
from tests.simulation.moments import LATE, OF_A_MOVE, Moments

if TYPE_CHECKING:
    from redisproxy.remote.order_server import OrderServer
    from tests.simulation.processes import Process
    from tests.simulation.redis import Server
    from tests.simulation.workers import Workers
    from tests.simulation.world import World

AFTER_S = (0.001, 0.001, 0.05, 0.5, 3.0)
"""How long there is no control process."""
OF_FINDING = ("Greet", "Settled", "Introduce", "LogTo", "HandOver", "End", "TellShared", "LearnShared", "TakeClient")
ORDERS = (*OF_A_MOVE, *OF_FINDING, *LATE, *LATE, *LATE)


class Restarts:
    """Kills and starts it.

    @ivar socket_activated: the service manager listens meanwhile; else nobody does.
    @ivar killed: how often it was killed.
    """

    def __init__(self, world: World, workers: Workers) -> None:
        self._world = world
        self._workers = workers
        self._chance = chance = Random(f"{world.seed} restarts")
        self.socket_activated = chance.random() < 0.5
        self.killed = 0
        self._moments = Moments(chance, (1, 2, 3, 4), self._happen, lambda: world.ending, ORDERS)

    @contextmanager
    def judged(self) -> Iterator[None]:
        """While this is entered, no data plane lets its clients go on at a server that another one has replaced.

        But it may when it has asked the servers for as long as it may, and they have not told.
        """
        since: dict[Moves, float] = {}
        hold, release, clock = Moves.hold, Moves.release, self._world.clock

        def held(moves: Moves, reason: str) -> Any:
            if reason == SWITCHOVER:
                since.setdefault(moves, clock.seconds())
            return hold(moves, reason)

        def released(moves: Moves, reason: str) -> Any:
            if reason == SWITCHOVER and self.killed and clock.seconds() - since.pop(moves, 0) < MARGIN_S:
                self._check(self._world.net.hosts[str(moves.begun.settings.uplink.address)])
            return release(moves, reason)

        with patch.object(Moves, "hold", held), patch.object(Moves, "release", released):
            yield

    def _check(self, server: Server) -> None:
        if server.config["min-replicas-to-write"] == "0":
            return
        for other in self._world.servers:
            if other.repl.primary is None and other is not server and other.repl.replid2 == server.repl.replid:
                self._world.fail(f"clients go on at {server.name}, which is fenced, and {other.name} was promoted")

    def _was_promoted(self) -> bool:
        """Whether a server has taken the place of the one in use, so that the file may name it though nobody is there
        any more who would know better."""
        old = self._world.current
        return any(each.repl.primary is None and each.repl.replid2 == old.repl.replid for each in self._world.servers)

    def watch(self, server: OrderServer) -> None:
        """Something may happen at what is ordered here."""
        self._moments.watch(server)

    async def run(self) -> None:
        """Kill it some times more."""
        for _ in range(self._chance.choice((0, 0, 1, 2))):
            await self._world.sleep(self._chance.random() * self._chance.choice((0.3, 1.5)))
            if self._world.ending:
                return
            self._kill("")

    def _happen(self, server: OrderServer, when: str) -> bool:
        """Whether the order is carried out, of which nobody hears any more."""
        self._kill(f"{when}, ")
        return self._chance.random() < 0.5

    def _kill(self, when: str) -> None:
        """SIGKILL. Where nothing else fails it comes in no switchover, so that nobody may notice anything."""
        victim = self._workers.control_process
        if victim.alive and not (self._world.switching and not self._world.faulty):
            self._world.note("fate", f"{when}the control process is killed")
            self._world.clock.at(0, self._end, victim)

    def _end(self, victim: Process) -> None:
        if victim.alive and not (self._world.switching and not self._world.faulty):
            self.killed += 1
            victim.kill()

    def ended(self, process: Process) -> None:
        """It was killed: start another one, sooner or later."""
        self._world.operator.left_alone()
        self._world.clock.at(self._chance.choice(AFTER_S), self._start, process)

    def revive(self) -> None:
        """Nobody is killed any more: see that there is one."""
        self._start(self._workers.control_process)

    def _start(self, before: Process) -> None:
        if before.alive or before is not self._workers.control_process or self._world.stopped:
            return
        workers, world = self._workers, self._world
        world.clock.graves.append(workers.service)
        if world.switching and (self._chance.random() < 0.3 or not (workers.workers or self._was_promoted())):
            world.note("operator", f"the file names {world.current.name} again")
            world.write_config(world.current)
        workers.make_control(config.load(world.path, tls.faults))
        world.note("workers", f"{workers.control_process} has begun")
        workers.begin()
