"""The proxy upgrades itself while clients work: the old process, the new one and the workers of both are simulated.

At every order of an upgrade, and of clients that cross, the old or the new process is killed or stopped, or the link
between the two is cut or late. Where both are gone, the service manager starts another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost

from redisproxy import config, service
from redisproxy.control.errors import OperationError, WrongState
from redisproxy.control.service_manager import ServiceManager
from redisproxy.control.signals import Signals
from redisproxy.control.upgrade import UpgradeFailed
from redisproxy.net import open_files, tls
from redisproxy.upgrade import settling, successor
from redisproxy.upgrade.origin import CommandLine, Origin
from redisproxy.upgrade.pidfile import Pidfile
from redisproxy.upgrade.program import FIRST_DESCRIPTOR
from redisproxy.upgrade.taking_over import TakingOver
from tests.simulation.copying import MortalCopying
from tests.simulation.moments import Moments
from tests.simulation.network import End
from tests.simulation.processes import Machine, Process
from tests.simulation.requests import Killed, NobodyThere
from tests.simulation.system import Directory, in_a_process
from tests.simulation.workers import STOPS_S, Workers

if TYPE_CHECKING:
    from redisproxy.dataplane.local import LocalDataPlane
    from redisproxy.remote.order_server import OrderServer
    from redisproxy.service import Proxy
    from tests.simulation.backlog import Backlog
    from tests.simulation.mode import Mode
    from tests.simulation.world import World

PROGRAM = "redisproxy"
ORDERS = ("Greet", "GetReady", "TakeShared", "Accept", "Accept", "TakeCharge", "TakeCharge")
CROSSING = ("Expect", "Adopt", "Adopt", "Forget")
CUT_NOTICED_S = (0.0, 0.001, 0.02, 0.4)
LATE_S = (0.01, 0.3, 2.0, 6.0)
STARTED_AGAIN_S = 0.05


def workers_in_upgrades(seed: int) -> int:
    """Draw how many workers there are; with one the only process carries the commands itself."""
    return Random(f"{seed} workers").choice((1, 1, 1, 2, 3))


class Inheritance:
    """Has the interface of C{upgrade.inheritance.Inheritance}.

    @ivar pid: of the process whose place is taken. @ivar link: the descriptor of the link to it.
    """

    def __init__(self, backlog: Backlog, process: Process, parent: Process, link: int) -> None:
        self.pid, self.link = parent.pid, link
        self._backlog, self._process = backlog, process

    def restore_output(self) -> None:
        """Nothing is printed here."""

    def sockets_of(self, settings: config.Settings) -> tuple[Any, list[Any]]:
        """The listening socket that both have."""
        return {settings.listen[0].address: [self._backlog.of(self._process)]}, []


class Life:
    """Implements C{upgrade.process_life.ProcessLife}."""

    def __init__(self, machine: Machine, pid: int) -> None:
        self._process = machine.processes[pid]

    @property
    def over(self) -> bool:
        return not self._process.alive

    def kill(self) -> None:
        self._process.kill()

    def forget(self) -> None: ...


@dataclass
class Program:
    """What runs in a process that was started as the proxy.

    @ivar plane: the data plane in it; None if only workers carry commands.
    """

    process: Process
    service: Proxy
    plane: LocalDataPlane | None

    @property
    def place(self) -> Any:
        """See C{upgrade.place.Place}."""
        return self.service._place

    @property
    def retired(self) -> bool:
        """Whether it knows that another one is in charge."""
        return bool(self.place._giving_way is not None and self.place._giving_way.successor_pid)

    @property
    def in_charge(self) -> bool:
        return self.process.alive and self.place.in_charge and not self.retired


class Upgradable(Workers):
    """The carrier of a world: a proxy of one process, or with workers, that upgrades itself.

    @ivar programs: all processes that were started as the proxy. @ivar done: how many upgrades took place.
    """

    loses_control = True

    def __init__(self, world: World, settings: config.Settings, mode: Mode) -> None:
        self.programs: list[Program] = []
        self.done = 0
        self._last: Program | None = None
        self._upgrades = chance = Random(f"{world.seed} upgrades")
        counts = (0, 0, 1, 1, 2, 3)
        self._of_upgrades = Moments(chance, counts, self._strike, lambda: world.ending, ORDERS)
        self._of_crossing = Moments(chance, counts, self._strike, lambda: world.ending, CROSSING)
        super().__init__(world, settings, mode)
        if not self.hit:
            for moments in (self._of_upgrades, self._of_crossing):
                moments.forget()

    # -- processes

    def make_control(self, settings: config.Settings) -> None:
        self.control_process = self.machine.process(PROGRAM)
        self._start_program(self.control_process, None)

    def begin(self) -> None:
        """It has begun when it was made."""

    def _run(self, child: Process, given: bytes, descriptors: dict[int, int]) -> None:
        if child.name != PROGRAM:
            super()._run(child, given, descriptors)
            return
        assert child.starting is not None
        parent = child.starting.parent
        self._world.note("upgrade", f"{child} begins, in the place of {parent}")
        with suppress(SystemExit):
            self._start_program(child, Inheritance(self.backlog, child, parent, descriptors[FIRST_DESCRIPTOR]))
            link = self.programs[-1].place._taking_over._link
            self._of_upgrades.watch(link)

    def _start_program(self, process: Process, inheritance: Any) -> None:
        settings = config.load(self._world.path, tls.faults)
        origin = Origin(CommandLine([PROGRAM], ".", {}), Pidfile(None), inheritance)
        with in_a_process(), self._of_process(process, settings):
            made = service.service_of(self._world.path, settings, process.reactor, ServiceManager(), origin)
            dataplane: Any = made.dataplane  # type: ignore[attr-defined]
            here = getattr(dataplane, "_here", dataplane)
            plane = getattr(here, "plane", here)
            program = Program(process, made, plane)
            self.programs.append(program)
            process.program = program if plane is not None else None
            process.on_stop = made.stopService
            made.startService()

    @contextmanager
    def _of_process(self, process: Process, settings: config.Settings) -> Iterator[None]:
        """What the program takes from the system when it starts."""
        copying = partial(MortalCopying, world=self._world, network=process.network, process=process)
        own = {settings.listen[0].address: [self.backlog.of(process)]}
        directory = Directory(settings.run_directory or "", process)
        with (
            patch.object(service, "in_a_process_of_its_own", lambda reactor: copying),
            patch.object(service, "run_directory", lambda *arguments: directory),
            patch.object(service, "sockets_for", lambda settings, had: had or own),
            patch.object(open_files, "raise_limit", lambda: 1 << 20),
            patch.object(Signals, "install", lambda self: None),
        ):
            yield

    @contextmanager
    def system(self) -> Iterator[None]:
        with (
            super().system(),
            patch.object(successor, "ProcessLife", partial(Life, self.machine)),
            patch.object(settling, "ProcessLife", partial(Life, self.machine)),
            patch.object(TakingOver, "_get_ready", _get_ready),
        ):
            yield

    def _ended(self, ended: Process) -> None:
        super()._ended(ended)
        if ended.name == PROGRAM and not self._stopping and not any(each.process.alive for each in self.programs):
            self._world.operator.left_alone()
            self._world.clock.at(STARTED_AGAIN_S, self._start_again)

    def _may_lose_clients(self, ended: Process) -> bool:
        return ended.killed or ended.name != PROGRAM

    def _start_again(self) -> None:
        if not self._stopping and not any(each.process.alive for each in self.programs):
            self._world.note("upgrade", "the service manager starts the proxy again")
            self._world.ids.clear()  # it can't know which have been given
            if not self.workers:  # nor that clients were held
                self._world.placement.paused = False
            self.make_control(config.load(self._world.path, tls.faults))

    # -- who is in charge

    @property
    def _charged(self) -> Program | None:
        return next((each for each in reversed(self.programs) if each.in_charge), None)

    @property
    def service(self) -> Proxy:
        """Of the process in charge; of the one that was last, while there is none."""
        self._last = self._charged or self._last or self.programs[-1]
        return self._last.service

    def _in_charge(self) -> tuple[Process, Any] | None:
        charged = self._charged
        return None if charged is None else (charged.process, charged.service.control.operations)

    def look(self) -> None:
        """There are not two that decide."""
        deciding = [each for each in self.programs if each.in_charge and not each.service.control.upgrade.step]
        if len(deciding) > 1:
            self._world.fail(f"two processes are in charge: {deciding[0].process} and {deciding[1].process}")

    # -- what worlds ask

    @property
    def disturbed(self) -> bool:
        return self.hit

    @property
    def members(self) -> list[Any]:
        members = getattr(self.service.dataplane, "_members", None)  # type: ignore[attr-defined]
        return [] if members is None else list(members.in_use)

    @property
    def in_use(self) -> list[Process]:
        charged = self._charged
        if charged is None:
            return []
        driven = {getattr(member, "pid", charged.process.pid) for member in self.members} or {charged.process.pid}
        return [each for each in self.workers if each.pid in driven]

    @property
    def knows(self) -> bool:
        charged = self._charged
        upgrading = charged is None or charged.service.control.upgrade.step
        return not upgrading and len(self.in_use) == len(self.workers)

    def ready(self) -> bool:
        settings = self.service.control.configuration.settings
        return len(self.in_use) == settings.worker_count

    @property
    def decided(self) -> str:
        members = getattr(self.service.dataplane, "_members", None)  # type: ignore[attr-defined]
        settings = self.service.control.configuration.settings if members is None else members.settings
        return str(settings.uplink.address)

    def revive(self) -> None:
        self._start_again()

    def stop_service(self) -> Deferred[None]:
        charged = self._charged or next((each for each in reversed(self.programs) if each.process.alive), None)
        if charged is None:
            return super().stop_service()
        stopping: Deferred[None] = Deferred()
        charged.process.stop().chainDeferred(stopping)
        return stopping.addCallback(lambda _: self.backlog.close())

    def is_over(self) -> bool:
        return not any(each.process.alive for each in self.programs) and not self.workers

    def left(self) -> str:
        alive = [each.process for each in self.programs if each.process.alive] + self.workers
        return f"processes: {', '.join(map(str, alive))}" if alive else ""

    # -- the operator

    async def run(self, count: int) -> None:
        """Upgrade this many times."""
        for _ in range(count):
            await self._world.sleep(self._upgrades.choice((0, 0.05, 0.3, 0.8)))
            if self._world.ending:
                return
            await self._upgrade()

    async def _upgrade(self) -> None:
        world = self._world
        switching = world.switching
        world.note("operator", "upgrade")
        answer: Deferred[Any] = world.operations.upgrade()
        world.operator.running[answer] = "upgrade"
        try:
            told = await answer
            self.done += 1
            world.note("operator", f"upgraded: {told}")
        except (Killed, NobodyThere, WrongState) as error:
            world.note("operator", f"upgrade: {error}")
        except UpgradeFailed as error:
            world.note("operator", f"upgrade: {error}")
            named = "names the server" in str(error)  # a reload to that name was refused meanwhile
            if not (named or self.hit or world.faulty or world.ending or switching or world.switching):
                world.fail(f"an upgrade has failed although nothing had: {error}")
        except OperationError as error:
            world.fail(f"an upgrade was answered with {error!r}")
        finally:
            world.operator.running.pop(answer, None)

    # -- what happens

    def _accepted(self, end: End, path: str) -> None:
        super()._accepted(end, path)
        if path.endswith(".clients"):
            self._of_crossing.watch(end.protocol)

    def _strike(self, server: OrderServer, when: str) -> bool:
        near: Any = server.transport
        if near is None or near.process is None or near.peer.process is None:
            return True
        new, old = near.process, near.peer.process
        deeds: tuple[Callable[[], bool], ...] = (
            lambda: self.kill(new, f"{when}, "),
            lambda: self.kill(old, f"{when}, "),
            lambda: self._stop_for_a_while(new, when),
            lambda: self._stop_for_a_while(old, when),
            lambda: self._cut_link(near, when),
            lambda: self._late_link(near, when),
        )
        return self._upgrades.choice(deeds)()

    def kill(self, victim: Process, when: str = "") -> bool:
        """SIGKILL; of the one in charge only in an upgrade: alone it can't tell how a switchover was to end."""
        charged = self._charged
        if charged is not None and victim is charged.process and not charged.service.control.upgrade.step:
            return True
        return super().kill(victim, when)

    def _stop_for_a_while(self, victim: Process, when: str) -> bool:
        seconds = self._upgrades.choice(STOPS_S)
        self._world.note("fate", f"{when}, {victim} stops for {seconds} s")
        victim.stop_for(seconds)
        return True

    def _cut_link(self, near: End, when: str) -> bool:
        self._world.note("fate", f"{when}, the link of {near.process} and {near.peer.process} is cut")
        for end in (near, near.peer):
            end.peer = nowhere = End(self._world.net, end.getHost(), "nowhere")
            nowhere.gone = True
            if end.process is not None:
                end.process.at(self._upgrades.choice(CUT_NOTICED_S), end._lost, ConnectionLost())
        return False

    def _late_link(self, near: End, when: str) -> bool:
        seconds = self._upgrades.choice(LATE_S)
        self._world.note("fate", f"{when}, the link of {near.process} and {near.peer.process} stalls for {seconds} s")
        near.stalled_until = near.peer.stalled_until = self._world.clock.seconds() + seconds
        return True


async def _get_ready(self: TakingOver, server: str, shared: bytes, limit_s: float) -> Any:
    """It tells its simulated number."""
    return replace(await _original(self, server, shared, limit_s), pid=self._reactor.pid)


_original = TakingOver._get_ready
