"""The proxy with workers: the control process and the workers as simulated processes, with their own code throughout.

Workers are killed and stopped, and their links to the control process are cut and late: at any time, and at every step
of pauses, reloads and switchovers. Another one takes the place of a worker that is lost. In some runs the control
process is killed as well, and a new one finds the workers (L{restarts}).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost

from redisproxy import service
from redisproxy.control.service_manager import ServiceManager
from redisproxy.remote.order_server import OrderServer
from redisproxy.workers.process import STARTED, Beginning, WorkerProcess
from tests.simulation.backlog import Backlog
from tests.simulation.clients import Wire
from tests.simulation.copying import MortalCopying
from tests.simulation.handovers import Handovers
from tests.simulation.mode import Mode
from tests.simulation.moments import OF_A_MOVE, Moments
from tests.simulation.network import End
from tests.simulation.processes import Machine, Process
from tests.simulation.requests import Requests
from tests.simulation.restarts import Restarts
from tests.simulation.system import Directory, in_a_process, of_the_machine

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.dataplane.local import LocalDataPlane
    from tests.simulation.world import World

HIT = 0.75
"""So often something happens to workers."""
STOPS_S = (0.01, 0.3, 1.5, 3.0, 8.0)
LATE_S = (0.01, 0.1, 0.5, 2.5, 7.0)
MAY_END_S = 1.5
"""Of silence, after which a worker may be ended."""
NEVER = 1000.0
NOTICED_AFTER_S = (0.0, 0.001, 0.02, 0.4, NEVER)
ORDERS = (*OF_A_MOVE, "TakeClient", "Start", "SettingsInForce", "ListClients", "TellShared", "Introduce")


def workers_of(seed: int) -> int:
    """Draw how many workers there are."""
    return Random(f"{seed} workers").choice((2, 3, 4))


class Workers:
    """The carrier of a world: the processes of the proxy.

    @cvar loses_control: whether the workers may be without a control process for a while.
    @ivar lost: how many workers were killed or have ended too early.
    @ivar link_faults: how often links were cut or stalled; no Unix socket is, while both processes run.
    @ivar handovers: of clients between workers; None where there are none.
    @ivar restarts: of the control process; None where there are none.
    @ivar hit: whether anything happens to workers.
    """

    loses_control = False

    def __init__(self, world: World, settings: Settings, mode: Mode) -> None:
        self._world = world
        random.seed(world.seed)
        self.chance = Random(f"{world.seed} worker faults")
        self.hit = self.chance.random() < HIT
        self.machine = Machine(world.clock, world.net, world.seed, self._main)
        self.machine.on_end = self._ended
        self.machine.on_accept = self._accepted
        world.net.descriptors.on_closed = self._let_go
        self.lost = self.link_faults = 0
        self._doomed: set[Process] = set()
        self._stopping = False
        self._server_at_stop = ""
        counts = (0, 1, 2, 3, 5) if self.hit else (0,)
        self.restarts = Restarts(world, self) if mode is Mode.RESTART else None
        self.loses_control = self.loses_control or self.restarts is not None
        self._moments = Moments(self.chance, counts, self._happen, lambda: world.ending, ORDERS)
        self.handovers = Handovers(world, self) if mode is Mode.HANDOVER else None
        kept = self.restarts is not None and self.restarts.socket_activated
        self.backlog = Backlog(self.machine, kept, may_end)
        self.requests = Requests(self._in_charge)
        self.make_control(settings)

    def make_control(self, settings: Settings) -> None:
        """Start the control process, at first or again."""
        process = self.control_process = self.machine.process("control")
        copying = partial(MortalCopying, world=self._world, network=process.network, process=process)
        with in_a_process(), patch.object(service, "in_a_process_of_its_own", lambda reactor: copying):
            directory = Directory(settings.run_directory or "", process)
            manager = ServiceManager()
            self._service = service.WorkersService(self._world.path, settings, process.reactor, manager, directory)
        self._dataplane: Any = self._service.dataplane
        sockets: Any = {settings.listen[0].address: [self.backlog.of(process)]}
        self._dataplane.ports.take(sockets)
        self._dataplane.ports.resume()

    @property
    def service(self) -> service.Proxy:
        """Of the control process; of the last one while there is none."""
        return self._service

    def begin(self) -> None:
        """The control process has started."""
        self.service.begin()

    def _in_charge(self) -> tuple[Process, Any] | None:
        return (self.control_process, self.service.control.operations) if self.control_process.alive else None

    # -- processes

    def _main(self, child: Process, arguments: list[str], given: bytes, descriptors: dict[int, int]) -> None:
        try:
            self._run(child, given, descriptors)
        except Exception as error:
            if isinstance(error, FileNotFoundError) and self._world.stopped:
                child.kill()  # the last process that could have found it has removed the run directory
            else:
                self._world.violation = self._world.violation or f"{child} can't begin: {error!r}"

    def _run(self, child: Process, given: bytes, descriptors: dict[int, int]) -> None:
        with in_a_process():
            worker = child.program = WorkerProcess(Beginning.from_bytes(given), child.reactor)
            worker.start()
        child.say(STARTED)
        self._world.note("workers", f"{child} has begun")

    def links_of(self, process: Process) -> list[End]:
        """Its ends of the links to the control process."""
        ends = self._world.net.connections("link")
        control = self.control_process
        spoken = [end for end in ends if end.protocol is not None and end.peer.protocol is not None]
        return [end for end in spoken if end.process is process and (process is control or end.peer.process is control)]

    def _accepted(self, end: End, path: str) -> None:
        """Somebody has connected to a worker."""
        if path.endswith(".orders"):
            self._moments.watch(end.protocol)
            if self.restarts is not None:
                self.restarts.watch(end.protocol)
        elif path.endswith(".clients") and self.handovers is not None:
            self.handovers.watch(end.protocol)

    def _ended(self, ended: Process) -> None:
        """Its clients may lose their connections, and nobody else."""
        if not self._stopping:
            self.lost += ended is not self.control_process
            self._world.note("workers", f"{ended} has ended")
            if self.restarts is not None and not self.control_lives:
                self._world.ids.clear()  # the next control process can't know which it has given
        self.backlog.leave(ended)
        if self.restarts is not None and ended is self.control_process and not self._stopping:
            self.restarts.ended(ended)
        self.requests.break_off(ended)
        for end in self._world.net.connections("proxy"):
            if end.process is ended and self._may_lose_clients(ended):
                may_end(end)

    def _may_lose_clients(self, ended: Process) -> bool:
        return True

    def _let_go(self, end: End) -> None:
        """Nobody has the socket of this client: it was on its way to a worker, and that or its giver was lost."""
        if self.disturbed:
            may_end(end)

    # -- what worlds ask

    @property
    def disturbed(self) -> bool:
        """Whether anything happens to the proxy's processes."""
        return self.hit or self.restarts is not None

    @property
    def control_lives(self) -> bool:
        """Whether there is a process in charge."""
        return self._in_charge() is not None

    @property
    def knows(self) -> bool:
        """Whether there is a control process, and it drives all that there are."""
        return self.control_process.alive and len(self.in_use) == len(self.workers)

    def ready(self) -> bool:
        """Whether all workers carry commands."""
        return len(self.in_use) == self._dataplane._members.settings.worker_count

    def accept(self, end: End) -> None:
        """A client connects."""
        self.backlog.come(end)

    @property
    def workers(self) -> list[Process]:
        """The processes of workers that live and have begun."""
        return [each for each in self.machine.processes.values() if each.alive and each.program is not None]

    @property
    def members(self) -> list[Any]:
        """The workers that the control process drives, as it sees them."""
        return list(self._dataplane._members.in_use)

    @property
    def in_use(self) -> list[Process]:
        """The processes of those."""
        members = {member.pid for member in self.members}
        return [each for each in self.workers if each.pid in members]

    @contextmanager
    def system(self) -> Iterator[None]:
        """While this is entered, the system is the simulated machine, in what goes beyond a process's reactor."""
        with of_the_machine(self.machine), self.restarts.judged() if self.restarts is not None else nullcontext():
            yield

    @property
    def planes(self) -> list[LocalDataPlane]:
        """The data planes that live."""
        return [each.program.plane for each in self.workers]

    @property
    def server(self) -> str:
        """The address of the server that all workers go to.

        @raise Violation: they do not agree.
        """
        if self._server_at_stop:
            return self._server_at_stop
        there = {self.server_of(each) for each in self.in_use}
        if there - {self.decided}:
            self._world.fail(f"workers are on {' and '.join(sorted(there))}, and {self.decided} is in force")
        return self.decided

    def server_of(self, worker: Process) -> str:
        """The address of the server that this one goes to."""
        return str(worker.program.plane.in_force.settings.uplink.address)

    @property
    def decided(self) -> str:
        """The address of the server that is in force for all."""
        return str(self._dataplane._members.settings.uplink.address)

    @property
    def commands(self) -> int:
        """How many commands clients have sent, also to workers that are gone."""
        programs = [each.program for each in self.machine.processes.values() if each.program is not None]
        return sum(program.plane.core.metrics.flow.commands for program in programs)

    def revive(self) -> None:
        """Nothing happens any more: see that there is a control process."""
        if self.restarts is not None:
            self.restarts.revive()

    def look(self) -> None:
        """Judge the processes at any moment."""

    def stop_service(self) -> Deferred[None]:
        """SIGTERM; fire when the control process would end."""
        return self.service.stopService().addCallback(lambda _: self.backlog.close())

    def stop(self) -> None:
        """The proxy is to stop: workers end."""
        self._stopping = True
        if self.loses_control and not self.knows:
            self._server_at_stop = next((self.server_of(each) for each in self.workers), self.decided)

    def is_over(self) -> bool:
        """Whether the control process has no connection to a worker any more, nor has an earlier one left any."""
        return not (self.links_of(self.control_process) or (self.loses_control and self.workers))

    def left(self) -> str:
        """What is left after the stop; empty when it is nothing."""
        if self.workers:
            return f"workers: {', '.join(map(str, self.workers))}"
        attempts = self.control_process.network.attempts
        return f"connecting to {', '.join(attempts.values())}" if attempts else ""

    # -- what happens to them

    def _happen(self, server: OrderServer, when: str) -> bool:
        transport: Any = server.transport
        victim = None if transport is None else transport.process
        if victim is None or not victim.alive:
            return True
        deed = self.chance.choice(
            (self.kill, self.kill, self.kill_another, self.stop_one, self.stop_one, self.cut, self.be_late)
        )
        return deed(victim, f"{when}, ")

    def kill(self, victim: Process, when: str = "") -> bool:
        """SIGKILL, after what it does now."""
        self._note(f"{when}{victim} is killed")
        self._world.clock.at(0, victim.kill)
        return False

    def kill_another(self, victim: Process, when: str = "") -> bool:
        """SIGKILL of another one."""
        others = [each for each in self.workers if each is not victim]
        if others:
            self.kill(self.chance.choice(others), when)
        return True

    def stop_one(self, victim: Process, when: str = "") -> bool:
        """SIGSTOP, and SIGCONT later."""
        seconds = self.chance.choice(STOPS_S)
        self._doom(victim, seconds)
        self._note(f"{when}{victim} stops for {seconds} s")
        victim.stop_for(seconds)
        return True

    def cut(self, victim: Process, when: str = "") -> bool:
        """Nothing gets through on one of its links any more; each side learns of it some time later."""
        links = self.links_of(victim)
        if not links:
            return True
        self._doom(victim, NEVER)
        self.link_faults += 1
        near = self.chance.choice(links)
        self._note(f"{when}a link of {victim} is cut")
        for end in (near, near.peer):
            end.peer = nowhere = End(self._world.net, end.getHost(), "nowhere")
            nowhere.gone = True
            if end.process is not None:
                end.process.at(self.chance.choice(NOTICED_AFTER_S), end._lost, ConnectionLost())
        return False

    def be_late(self, victim: Process, when: str = "") -> bool:
        """Nothing gets through on its links for a while."""
        seconds = self.chance.choice(LATE_S)
        self._doom(victim, seconds)
        self.link_faults += 1
        self._note(f"{when}the links of {victim} stall for {seconds} s")
        for end in self.links_of(victim):
            end.stalled_until = end.peer.stalled_until = self._world.clock.seconds() + seconds
        return True

    def _doom(self, victim: Process, seconds: float) -> None:
        """It may find that the control process is gone, and end; its clients lose their connections."""
        if seconds >= MAY_END_S:
            self._doomed.add(victim)

    def is_doomed(self, process: object) -> bool:
        """Whether it may end at any time, because of what has happened to it or its links."""
        return process in self._doomed

    def may_lose(self, wire: Wire) -> bool:
        """Whether this client may be disconnected at any time."""
        return wire.end.peer.process in self._doomed

    async def break_some(self, count: int) -> None:
        """Have this many things happen at any time."""
        for _ in range(count):
            await self._world.sleep(self.chance.random() * 0.8)
            if self._world.ending:
                return
            if self.workers:
                deed = self.chance.choice((self.kill, self.stop_one, self.cut, self.be_late))
                deed(self.chance.choice(self.workers))

    def _note(self, text: str) -> None:
        self._world.note("fate", text)


def may_end(end: End) -> None:
    """The client at the other end may lose its connection."""
    if isinstance(end.peer.protocol, Wire):
        end.peer.protocol.injected = True
