"""Simulated processes: each has a reactor and a network of its own, starts others, is stopped, and is killed.

They run in one interpreter and share nothing but what crosses a simulated connection, so that a process can end between
any two of its turns. Nothing of one that is killed runs any more; one that is stopped goes on later where it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectError, ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.simulation.clock import SimClock, process_of
from tests.simulation.network import End, Net, SimNetwork

LINK = 3
"""The descriptor with which a child has a link to its parent, if it has one."""
START_S = (0.02, 0.1, 0.5)
NOTICED_S = (0.0, 0.001, 0.02)
"""How long it takes until whoever has started a process learns of its end."""
Main = Callable[["Process", list[str], bytes, dict[int, int]], None]
"""What a new process runs: itself, its arguments, its standard input, its descriptors."""


class Machine:
    """Where processes run.

    @ivar processes: all that there have been, by their numbers. @ivar main: what a process that is started runs.
    @ivar retired: since when data planes are to end, by their names.
    @ivar on_end: called when one has ended, before its connections are closed.
    @ivar on_accept: called with the end of a connection that was made to a Unix socket, and its path.
    """

    def __init__(self, clock: SimClock, net: Net, seed: int, main: Main) -> None:
        self.clock = clock
        self.net = net
        self.main = main
        self.on_end: Callable[[Process], None] = lambda process: None
        self.on_accept: Callable[[End, str], None] = lambda end, path: None
        self.chance = Random(f"{seed} processes")
        self.processes: dict[int, Process] = {}
        self.sockets: dict[str, Listening] = {}
        self.retired: dict[str, float] = {}
        self._numbers = count(101)
        self._pairs: dict[bytes, End] = {}

    def process(self, name: str) -> Process:
        """A new one, which runs nothing yet."""
        process = Process(self, next(self._numbers), name)
        self.processes[process.pid] = process
        return process

    def readable(self) -> None:
        """There may be something to accept: wake those who look."""
        for process in self.processes.values():
            for reader in process.readers:
                process.at(self.net.delay(), process.read, reader)

    # -- pairs of connected sockets

    def join(self, descriptor: int, parent: Process, child: Process) -> None:
        """Make a connection of a pair of real sockets, of which a child gets this one."""
        near, far = self.net.pair("link", "link")
        for end, process in ((near, parent), (far, child)):
            end.process = process
            end.come()
        name = b"%d" % near.getHost().port
        os.write(descriptor, name)
        self._pairs[name] = near
        self._pairs[_of_child(descriptor)] = far

    def end_of(self, descriptor: int) -> End:
        """The end of a connection that this socket stands for."""
        if (end := self._pairs.pop(_of_child(descriptor), None)) is None:
            end = self._pairs.pop(os.read(descriptor, 20))
        end.left = False
        return end

    def forget_pairs_of(self, process: Process) -> None:
        """The process has ended before it spoke on them."""
        for name, end in list(self._pairs.items()):
            if end.process is process:
                del self._pairs[name]
                end.left = False
                end.die()


def _of_child(descriptor: int) -> bytes:
    return b"inode %d" % os.fstat(descriptor).st_ino


class Process:
    """One process.

    @ivar killed: it has ended by SIGKILL.
    @ivar stopped_until: it does nothing before that time. @ivar program: what it runs, for whoever looks at it.
    @ivar readers: of the reactor. @ivar starting: what its parent has of it; None for the first one.
    """

    def __init__(self, machine: Machine, pid: int, name: str) -> None:
        self.machine = machine
        self.pid = pid
        self.name = name
        self.alive, self.killed = True, False
        self.stopped_until = 0.0
        self.program: Any = None
        self.readers: dict[Any, None] = {}
        self.reactor = Reactor(self)
        self.network = SimNetwork(machine.net, self)
        self.starting: Starting | None = None
        self._tell: Callable[[Failure], None] = lambda failure: None
        self._witnesses: list[Callable[[], None]] = []
        self.on_stop: Callable[[], Deferred[None]] = lambda: succeed(None)
        self._stopping: Deferred[None] | None = None

    def __repr__(self) -> str:
        return f"{self.name} ({self.pid})"

    @property
    def stopped(self) -> bool:
        """Whether it does nothing now."""
        return self.stopped_until > self.machine.clock.seconds()

    def at(self, delay: float, function: Callable[..., object], *args: object) -> None:
        """Have the process do something, if it lives then, and when it runs."""
        self.machine.clock.at(delay, self._do, function, *args)

    def _do(self, function: Callable[..., object], *args: object) -> None:
        if not self.alive:
            self.machine.clock.graves.append((function, args))
            return
        if self.stopped:
            self.at(self.stopped_until - self.machine.clock.seconds(), function, *args)
        else:
            function(*args)

    def read(self, reader: Any) -> None:
        """Have a reader read, if it still wants to."""
        if reader in self.readers:
            reader.doRead()

    def stop_for(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT later."""
        self.stopped_until = max(self.stopped_until, self.machine.clock.seconds() + seconds)

    def kill(self) -> None:
        """SIGKILL."""
        self.killed = True
        self._end(Failure(ProcessTerminated(signal=9)))

    def stop(self) -> Deferred[None]:
        """Its reactor is to stop: what has to be done before is done, then it ends."""
        if self._stopping is None:
            self._stopping = self.on_stop()
            self._stopping.addCallback(lambda _: self.exit())
        over: Deferred[None] = Deferred()
        self._stopping.addCallback(lambda _: over.callback(None))
        return over

    def exit(self, code: int = 0) -> None:
        """It ends by itself, after what it does now."""
        status = Failure(ProcessTerminated(code) if code else ProcessDone(0))
        self.machine.clock.at(0, self._end, status)

    def _end(self, status: Failure) -> None:
        if not self.alive:
            return
        self.alive = False
        machine = self.machine
        machine.on_end(self)
        for path in [path for path, listening in machine.sockets.items() if listening.process is self]:
            del machine.sockets[path]
        for end in [end for end in machine.net.open.ends if end.process is self and not end.left]:
            self.machine.clock.graves.append(end.protocol)
            end.die()
        machine.forget_pairs_of(self)
        machine.net.descriptors.close_those_of(self)
        machine.clock.at(machine.chance.choice(NOTICED_S), self._tell, status)
        for told in self._witnesses:
            machine.clock.at(machine.chance.choice(NOTICED_S), told)

    # -- for whoever has started it

    def say(self, text: bytes) -> None:
        """Write to the standard output."""
        if self.starting is not None:
            self.starting.say(text)

    def started_by(self, parent: Process, protocol: Any) -> None:
        """Tell the protocol of the parent when this one has ended."""

        def tell(status: Failure) -> None:
            parent.at(0.0, protocol.processExited, status)
            parent.at(0.0, protocol.processEnded, status)

        self._tell = tell

    def seen_by(self, witness: Process, ended: Callable[[], None]) -> None:
        """Another process has a descriptor of this one: call `ended` there when it has."""
        self._witnesses.append(lambda: witness.at(0.0, ended))


@implementer(IReactorTime)
class Reactor:
    """The reactor of one process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._clock = process.machine.clock

    @property
    def pid(self) -> int:
        """The number of this process."""
        return self._process.pid

    @property
    def process(self) -> Process:
        """This process."""
        return self._process

    @property
    def machine(self) -> Machine:
        """Where it runs."""
        return self._process.machine

    @property
    def network(self) -> SimNetwork:
        """The network of this process."""
        return self._process.network

    def seconds(self) -> float:
        return self._clock.seconds()

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> DelayedCall:
        if callable is os._exit:
            callable = self._process.exit
        call = self._clock.callLater(delay, callable, *args, **kw)
        call.process = self._process  # type: ignore[attr-defined]
        return call

    def getDelayedCalls(self) -> list[DelayedCall]:
        return [call for call in self._clock.getDelayedCalls() if process_of(call) is self._process]

    def stop(self) -> None:
        """The process ends."""
        self._process.stop()

    def callWhenRunning(self, callable: Callable[..., object], *args: object) -> None:
        """It runs."""
        self.callLater(0, callable, *args)

    # -- processes

    def spawnProcess(self, protocol: Any, executable: str, args: list[str], **options: Any) -> Starting:
        """Start another one."""
        child = self._process.machine.process(args[-1])
        child.started_by(self._process, protocol)
        child.starting = Starting(child, self._process, protocol, args, options["childFDs"])
        return child.starting

    def adoptStreamConnection(self, descriptor: int, family: int, factory: Any) -> None:
        """Speak on a socket that stands for a simulated connection."""
        end = self._process.machine.end_of(descriptor)
        self._speak(end, factory.buildProtocol(None))

    def _speak(self, end: End, protocol: Any) -> None:
        end.protocol = protocol
        protocol.makeConnection(end)
        end.resumeProducing()

    # -- readers

    def addReader(self, reader: Any) -> None:
        """Have it read what there is to accept, now and later."""
        self._process.readers[reader] = None
        self._process.machine.readable()

    def removeReader(self, reader: Any) -> None:
        """Not any more."""
        self._process.readers.pop(reader, None)

    # -- Unix sockets

    def listenUNIX(self, address: str, factory: Any, backlog: int = 50, mode: int = 0, wantPID: bool = False) -> Any:
        """Listen at a path, of which there is a file."""
        with open(address, "wb"):
            pass
        listening = Listening(self._process, address, factory)
        self._process.machine.sockets[address] = listening
        return listening

    def connectUNIX(self, address: str, factory: Any, timeout: float = 30, checkPID: bool = False) -> Any:
        """Connect to one."""
        machine = self._process.machine
        connector = Connector(address)
        factory.startedConnecting(connector)
        self._process.at(machine.net.delay(), self._connect, connector, address, factory)
        return connector

    def _connect(self, connector: Connector, address: str, factory: Any) -> None:
        if connector.stopped:
            return
        machine = self._process.machine
        listening = machine.sockets.get(address)
        if listening is None:
            factory.clientConnectionFailed(None, Failure(ConnectError()))
            return
        near, far = machine.net.pair("link", "link")
        near.process, far.process = self._process, listening.process
        far.pauseProducing()
        listening.process.at(machine.net.delay(), listening.accept, far)
        self._speak(near, factory.buildProtocol(UNIXAddress(address)))


class Connector:
    """An attempt to connect to a Unix socket."""

    def __init__(self, address: str) -> None:
        self.stopped = False
        self._address = address

    def stopConnecting(self) -> None:
        self.stopped = True

    def getDestination(self) -> UNIXAddress:
        return UNIXAddress(self._address)


class Starting:
    """The transport of a process that is started: what its parent does with it."""

    def __init__(
        self, child: Process, parent: Process, protocol: Any, args: list[str], descriptors: dict[int, Any]
    ) -> None:
        self.pid = child.pid
        self._child = child
        self.parent = parent
        self._protocol = protocol
        self._args = args
        self._input = b""
        self._descriptors: dict[int, int] = {}
        machine = child.machine
        for number, descriptor in descriptors.items():
            if number == LINK and isinstance(descriptor, int):
                machine.join(descriptor, parent, child)
                self._descriptors[number] = os.dup(descriptor)
                machine.net.descriptors.hold(self._descriptors[number], child)
        if isinstance(descriptors[0], int):
            self.closeChildFD(0)

    def writeToChild(self, descriptor: int, data: bytes) -> None:
        """Write to its standard input."""
        self._input += data

    def closeChildFD(self, descriptor: int) -> None:
        """Its standard input is whole."""
        machine = self._child.machine
        self._child.at(machine.chance.choice(START_S), self._run)

    def _run(self) -> None:
        self._child.machine.main(self._child, self._args, self._input, self._descriptors)

    def say(self, text: bytes) -> None:
        """It writes to its standard output, which is read to its end before the parent learns that it has ended."""
        self.parent.at(0.0, self._protocol.outReceived, text)

    def signalProcess(self, number: int) -> None:
        """
        @raise ProcessExitedAlready: it has ended.
        """
        if not self._child.alive:
            raise ProcessExitedAlready
        self._child.kill()


class Listening:
    """A process listens at a Unix socket."""

    def __init__(self, process: Process, path: str, factory: Any) -> None:
        self.process = process
        self._path = path
        self._factory = factory

    def accept(self, end: End) -> None:
        """Somebody has connected."""
        end.protocol = self._factory.buildProtocol(UNIXAddress(""))
        end.protocol.makeConnection(end)
        self.process.machine.on_accept(end, self._path)
        end.resumeProducing()

    def stopListening(self) -> None:
        """Listen no more."""
        if self.process.machine.sockets.pop(self._path, None) is not None:
            os.unlink(self._path)
