"""A simulated TCP: delivers bytes in order, late and cut anywhere; bounded windows, half-closes, resets, lost hosts."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    TCPTimedOutError,
)
from twisted.internet.interfaces import IHalfCloseableProtocol, IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import classImplements

from redisproxy.config import TcpAddress
from redisproxy.net.acceptor import Acceptor
from redisproxy.net.detached import DetachedSocket, NotDetachable
from redisproxy.net.resolving import Pointing
from redisproxy.net.twisted_network import TwistedNetwork
from tests.simulation.clock import SimClock
from tests.simulation.descriptors import Descriptors

if TYPE_CHECKING:
    from tests.simulation.processes import Process

SMALL = (1, 2, 7, 30, 1000)
LARGE = (1, 700, 1460, 4000)
LARGE_BYTES = 2000
"""Pieces that something is cut into, in bytes; a large one into fewer, since each costs the run some time."""


@dataclass
class Conditions:
    """The state of the network at one moment; times in seconds, sizes in bytes.

    @ivar small_chunks: how often a delivery is cut short. @ivar window: what may be on its way in one direction.
    @ivar high_water: what a transport holds before it pauses its producer.
    """

    latency: float = 0.0005
    jitter: float = 0.0005
    small_chunks: float = 0.2
    window: int = 65536
    high_water: int = 65536


class Nobody:
    """The protocol of a connection whose process is gone."""

    def dataReceived(self, data: bytes) -> None:
        """Nobody reads it."""

    def connectionLost(self, reason: Failure) -> None:
        """Nobody is told."""


class End:
    """One end of a connection, with the interface of Twisted's transports.

    @ivar peer: the other end. @ivar process: whose it is; None for what is never killed or stopped.
    @ivar keys_stay: it can't go to another process, as if it had TLS.
    """

    def __init__(self, net: Net, address: IPv4Address, name: str) -> None:
        self.net = net
        self.name = name
        self.peer: End = self
        self.protocol: Any = None
        self.disconnecting = False
        self.gone = self.left = self.keys_stay = self._delivered_anyhow = False
        self.process: Process | None = None
        self._successor: End | None = None
        self._address = address
        self._written = self._sent = 0
        self._descriptors_out: list[tuple[int, int]] = []
        self._descriptors_in: list[int] = []
        self._out = bytearray()
        self._inbox = bytearray()
        self._reading = True
        self._shipping = False
        self._scheduled = False
        self._eof_out = self._eof_sent = self._eof_in = self._eof_told = False
        self._reset_by: Exception | None = None
        self._producer: Any = None
        self._producer_paused = False
        self.stalled_until = 0.0

    @property
    def socket(self) -> End:
        """Of a Unix socket, for whoever asks who is at its other end."""
        return self

    # -- what protocols call

    def write(self, data: bytes) -> None:
        if self.gone or self.left or self.disconnecting or not data:
            return
        if self._reset_by is not None:
            self.net.clock.at(0, self._lost, self._reset_by)
            return
        self._out += data
        self._written += len(data)
        if len(self._out) > self.net.now.high_water and self._producer is not None and not self._producer_paused:
            self._producer_paused = True
            self._producer.pauseProducing()
        self._ship()

    def sendFileDescriptor(self, descriptor: int) -> None:
        """Part of C{IUNIXTransport}: a copy arrives with what is written next."""
        if not (self.gone or self.left or self.disconnecting):
            self._descriptors_out.append((self._written, os.dup(descriptor)))

    def doWrite(self) -> None:
        """Part of C{IWriteDescriptor}: the system has what was written, and delivers it after a SIGKILL, too."""
        self._delivered_anyhow = True

    def writeSequence(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def loseConnection(self) -> None:
        if not self.gone and not self.disconnecting:
            self.disconnecting = True
            self._reading = False
            self._ship()

    def loseWriteConnection(self) -> None:
        self._eof_out = True
        self._ship()

    def abortConnection(self) -> None:
        if not self.gone:
            self.disconnecting = True
            self._reading = False
            self._out.clear()
            self._reset_by = ConnectionAborted()
            self.net.clock.callLater(0, self._lost, ConnectionAborted())
            self.net.clock.at(self.net.delay(), self.peer.reset)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert self._producer is None, "a producer is registered already"
        self._producer = producer
        if self.gone:
            producer.stopProducing()

    def unregisterProducer(self) -> None:
        self._producer = None
        self._producer_paused = False

    def pauseProducing(self) -> None:
        self._reading = False

    def resumeProducing(self) -> None:
        if not self.gone and not self.disconnecting and not self._reading:
            self._reading = True
            self._deliver_later()

    def stopProducing(self) -> None:
        self.loseConnection()

    def getPeer(self) -> IPv4Address:
        return self.peer._address

    def getHost(self) -> IPv4Address:
        return self._address

    def getHandle(self) -> None:
        return None

    # -- the socket leaves this end, and goes on at another one

    @property
    def detachable(self) -> bool:
        return not (self.gone or self.left or self.disconnecting or self.keys_stay)

    def detach(self) -> DetachedSocket:
        """See C{net.detached.Detachable}."""
        if not self.detachable:
            raise NotDetachable("the connection is closing")
        unsent, self._out = bytes(self._out), bytearray()
        self._written -= len(unsent)
        self._reading = False
        self._producer = None
        self.left = True
        return DetachedSocket(self.net.descriptors.make(self, self.process), b"", unsent)

    def come(self) -> None:
        """Connected, and not accepted by anybody yet."""
        self._reading = False
        self.left = True

    def moved(self, process: Process | None) -> End:
        """The end at which its socket goes on, in this process.

        @raise AssertionError: it goes on at another one already.
        """
        assert self._successor is None, "a socket is adopted twice: two processes serve one client"
        end = End(self.net, self._address, self.name)
        end.process, end.keys_stay = process, self.keys_stay
        end.peer, self.peer.peer = self.peer, end
        self._successor = end
        end._inbox, end._eof_in, end._reset_by = self._inbox, self._eof_in, self._reset_by
        self.gone = True
        self.net.open.ends.pop(self, None)
        self.net.open.add(end)
        end._deliver_later()
        if process is not None and not process.alive:
            end.die()
        return end

    def let_go(self) -> None:
        """Nobody has a descriptor of its socket any more: the connection ends if it has not gone on elsewhere."""
        if self._successor is None and not self.gone:
            self.left = False
            self.die()

    def die(self) -> None:
        """Its process is gone, and the system closes the connection: what was written may have left, or is lost."""
        self.net.clock.graves.append((self.protocol, self._producer))
        self.protocol, self._producer, self.process = Nobody(), None, None
        orderly = self._delivered_anyhow and not self._reset_by
        if not orderly and (self._inbox or self._reset_by is not None or self.net.chance.random() < 0.5):
            self._lost(ConnectionLost())
        else:
            self.disconnecting = True
            self._reading = False
            self._ship()

    # -- bytes on their way

    def _ship(self) -> None:
        if not self._shipping and not self.gone:
            self._shipping = True
            self.net.clock.at(self.net.delay(self._resumes_at), self._shipped)

    @property
    def _resumes_at(self) -> float:
        """When it goes on: its connection may stall, or its process."""
        return self.stalled_until if self.process is None else max(self.stalled_until, self.process.stopped_until)

    def _shipped(self) -> None:
        self._shipping = False
        if self.gone:
            return
        peer, net = self.peer, self.net
        if self._resumes_at > net.clock.seconds():
            self._ship()
            return
        room = net.now.window - len(peer._inbox)
        if self._out and room > 0:
            size = min(len(self._out), room)
            if net.chance.random() < net.now.small_chunks:
                size = min(size, net.chance.choice(SMALL if size < LARGE_BYTES else LARGE))
            data = bytes(self._out[:size])
            del self._out[:size]
            self._sent += size
            self._ship_descriptors()
            peer._arrive(data)
        if self._out:
            if room > 0:
                self._ship()  # else the peer asks for more when it has read
            return
        self._drained()

    def _ship_descriptors(self) -> None:
        while self._descriptors_out and self._descriptors_out[0][0] < self._sent:
            _, descriptor = self._descriptors_out.pop(0)
            if self.peer.gone:
                os.close(descriptor)
            else:
                self.peer._descriptors_in.append(descriptor)

    def _drained(self) -> None:
        if self._producer_paused and self._producer is not None:
            self._producer_paused = False
            self._producer.resumeProducing()
        if self._out:
            return
        if (self.disconnecting or self._eof_out) and not self._eof_sent:
            self._eof_sent = True
            self.peer._arrive_eof()
        if self.disconnecting:
            self._lost(ConnectionDone())

    def _arrive(self, data: bytes) -> None:
        if self.gone:
            self.net.clock.at(self.net.delay(), self.peer.reset)
            return
        if self.disconnecting:
            return
        self._inbox += data
        if not self._scheduled:
            self._deliver()

    def _arrive_eof(self) -> None:
        self._eof_in = True
        self._deliver_later()

    def _deliver_later(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self.net.clock.at(0, self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        if self.gone or not self._reading:
            return
        if self.process is not None and self.process.stopped_until > self.net.clock.seconds():
            self._scheduled = True
            self.net.clock.at(self.process.stopped_until - self.net.clock.seconds(), self._deliver)
            return
        if self._inbox:
            self._deliver_descriptors()
            data = bytes(self._inbox)
            self._inbox.clear()
            if self.peer._out:
                self.peer._ship()
            self.protocol.dataReceived(data)
            if self._inbox or self._eof_in:
                self._deliver_later()
        elif self._reset_by is not None:
            self._lost(self._reset_by)
        elif self._eof_in and not self._eof_told:
            self._eof_told = True
            if IHalfCloseableProtocol.providedBy(self.protocol):
                self.protocol.readConnectionLost()
            else:
                self.disconnecting = True
                self._lost(ConnectionDone())

    def _deliver_descriptors(self) -> None:
        descriptors, self._descriptors_in = self._descriptors_in, []
        for descriptor in descriptors:
            self.net.descriptors.hold(descriptor, self.process)
            self.protocol.fileDescriptorReceived(descriptor)

    # -- the end

    def reset(self) -> None:
        """Take a RST: what was not read is lost. Whoever does not read notices only when it reads again."""
        if self._successor is not None:
            self._successor.reset()
            return
        if self.left:
            self._reset_by = ConnectionLost()
            return
        if self.gone or self._reset_by is not None:
            return
        if self.process is not None and self.process.stopped_until > self.net.clock.seconds():
            self._inbox.clear()
            self._reset_by = ConnectionLost()
            self._deliver_later()
            return
        if self._reading or self.disconnecting or self._out or self.net.chance.random() < 0.7:
            self._lost(ConnectionLost())
        else:
            self._inbox.clear()
            self._reset_by = ConnectionLost()

    def _lost(self, error: Exception) -> None:
        if self.gone:
            return
        self.gone = True
        self._out.clear()
        self._inbox.clear()
        for descriptor in [*(each for _, each in self._descriptors_out), *self._descriptors_in]:
            os.close(descriptor)
        self._descriptors_out, self._descriptors_in = [], []
        if not self.peer.gone and not self._eof_sent:
            self.net.clock.at(self.net.delay(), self.peer.reset)
        self.net.open.discard_pair(self)
        if self.protocol is not None:  # else nobody has accepted it yet
            self.protocol.connectionLost(Failure(error))


classImplements(End, IWriteDescriptor)  # type: ignore[misc]  # of which links only make it write


class _OpenEnds:
    """The connections of which at least one end is open, in order."""

    def __init__(self) -> None:
        self.ends: dict[End, None] = {}

    def add(self, end: End) -> None:
        self.ends[end] = None

    def discard_pair(self, end: End) -> None:
        self.ends.pop(end, None)


class Net:
    """All connections and hosts.

    @ivar now: its conditions. @ivar hosts: who accepts at an address: called with the server's end; None refuses.
    @ivar run_program: runs the programs of processes at this network.
    @ivar names: the addresses of each name. @ivar looked_up: how often names were looked up.
    """

    def __init__(self, clock: SimClock, chance: Random) -> None:
        self.clock = clock
        self.chance = chance
        self.now = Conditions()
        self.open = _OpenEnds()
        self.hosts: dict[str, Any] = {}
        self.run_program: Any = None
        self.names: dict[str, list[str]] = {}
        self.looked_up = 0
        self.descriptors = Descriptors(self)
        self._port = 20000

    def delay(self, not_before: float = 0.0) -> float:
        """Draw how long the next piece takes."""
        late = self.now.latency + self.now.jitter * self.chance.random()
        return max(late, not_before - self.clock.seconds())

    def pair(self, near: str, far: str) -> tuple[End, End]:
        """Make a new connection, without protocols."""
        self._port += 1
        ends = (
            End(self, IPv4Address("TCP", "10.9.9.9", self._port), near),
            End(self, IPv4Address("TCP", "10.0.0.1", 1), far),
        )
        ends[0].peer, ends[1].peer = ends[1], ends[0]
        for end in ends:
            self.open.add(end)
        return ends

    def connections(self, near: str) -> list[End]:
        """The open ends of this name."""
        return [end for end in self.open.ends if end.name == near and not end.gone]


class Port:
    """What a network gives to whoever listens."""

    def __init__(self, acceptor: Acceptor) -> None:
        self._acceptor = acceptor

    def stopListening(self) -> None:
        self._acceptor.close()


class SimNetwork(TwistedNetwork):
    """The network as the proxy uses it.

    @ivar attempts: connections that are being opened, to these addresses.
    """

    name = "simulated"

    def __init__(self, net: Net, process: Process | None = None) -> None:
        super().__init__(net.clock if process is None else process.reactor)
        self._net = net
        self._process = process
        self.attempts: dict[Deferred[Any], str] = {}
        self.run_program = net.run_program

    def connect(self, address: Any, protocol_factory: Callable[[], Any], tls: Any, timeout_s: float) -> Deferred[Any]:
        net = self._net
        answer: Deferred[Any] = Deferred()
        self.attempts[answer] = str(address)
        answer.addBoth(self._over, answer)

        def time_out() -> None:
            if not answer.called:
                answer.errback(Failure(TCPTimedOutError()))

        def connect() -> None:
            if answer.called:
                return
            host = net.hosts.get(str(address))
            if host is None or host.down:
                answer.errback(Failure(ConnectionRefusedError()))
            elif host.unreachable:
                self._at(timeout_s, time_out)
            else:
                self._connected(host, protocol_factory(), answer)

        self._at(2 * net.delay(), connect)
        return answer

    def look_up(self, host: str, nameserver: TcpAddress | None) -> Deferred[Pointing]:
        """What a name points to."""
        self._net.looked_up += 1
        answer: Deferred[Pointing] = Deferred()
        self._at(2 * self._net.delay(), lambda: None if answer.called else self._answer(answer, host))
        return answer

    def _answer(self, answer: Deferred[Pointing], host: str) -> None:
        hosts = self._net.names.get(host, [])
        if answer.called:
            return
        if hosts:
            answer.callback(Pointing(tuple(hosts)))
        else:
            answer.errback(Failure(DNSLookupError(f"{host} can't be looked up")))

    def _at(self, delay: float, function: Callable[..., object]) -> None:
        """Have the process do something later."""
        (self._net.clock if self._process is None else self._process).at(delay, function)

    def adopt(self, detached: DetachedSocket, protocol_factory: Callable[[], Any]) -> Any:
        """Go on with a socket."""
        end = self._net.descriptors.adopt(detached.fd).moved(self._process)
        end.protocol = protocol_factory()
        end.write(detached.unsent)
        end.protocol.makeConnection(end)
        return end.protocol

    def serve(self, fd: int, factory: Any, tls: Any) -> None:
        """Serve a connection that another process has accepted."""
        self.adopt(DetachedSocket(fd), lambda: factory.buildProtocol(None))

    def listen_on(self, listening: Any, factory: Any, tls: Any) -> Any:
        """Accept from a socket that listens already."""
        assert self._process is not None
        acceptor = Acceptor(self._process.reactor, listening, lambda one: self.serve(one.detach(), factory, None))
        acceptor.resume()
        return Port(acceptor)

    def _over(self, result: Any, answer: Deferred[Any]) -> Any:
        del self.attempts[answer]
        return result

    def _connected(self, host: Any, protocol: Any, answer: Deferred[Any]) -> None:
        near, far = self._net.pair("uplink", "server")
        near.protocol, near.process = protocol, self._process
        host.accept(far)
        protocol.makeConnection(near)
        answer.callback(protocol)
