"""Sentinels and servers in memory: a network of peers that answer on a Clock, and a proxy that can be moved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hiredis
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock

from redisproxy.config import Address, Settings, TcpAddress
from redisproxy.control.configuration import Configuration
from redisproxy.control.control import Control
from redisproxy.dataplane.interface import ClientInFlight, GateStatus, Hold, Release
from redisproxy.forwarding.gate import Gate, GateState
from redisproxy.sentinel.finder import Finder
from tests.wire import OK, Transport

NAME = "mymaster"
OLD, NEW = TcpAddress("10.0.0.1", 6379), TcpAddress("10.0.0.2", 6379)


def bulk(*values: str) -> bytes:
    """An array of bulk strings."""
    return b"*%d\r\n" % len(values) + b"".join(b"$%d\r\n%b\r\n" % (len(each), each.encode()) for each in values)


class PeerTransport(Transport):
    """A transport whose other end is a peer; what it sends back arrives a turn later."""

    def __init__(self, clock: Clock, peer: Peer) -> None:
        super().__init__(clock, 1)
        self._reader = hiredis.Reader()
        self._peer = peer

    def write(self, data: bytes) -> None:
        super().write(data)
        self._reader.feed(data)
        while (command := self._reader.gets()) is not False:
            self._peer.asked.append(b" ".join(command).decode())
            self.arrive(self._peer.answer(self, [part.decode() for part in command]))

    def arrive(self, data: bytes) -> None:
        """Let bytes of the peer arrive."""
        self._clock.callLater(0, lambda: self.gone or self.protocol.dataReceived(data))


class Peer:
    """Something that speaks Redis.

    @ivar asked: the commands that came. @ivar connections: those that are open.
    @ivar silent: it answers nothing.
    """

    silent = False

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.all: list[PeerTransport] = []

    @property
    def connections(self) -> list[PeerTransport]:
        return [each for each in self.all if not each.gone]

    def answer(self, transport: PeerTransport, command: list[str]) -> bytes:
        return b"" if self.silent else self.reply(transport, command)

    def reply(self, transport: PeerTransport, command: list[str]) -> bytes:
        raise NotImplementedError


class SentinelPeer(Peer):
    """A sentinel.

    @ivar where: what it answers when asked for the primary, in the place of an address.
    """

    def __init__(self, primary: TcpAddress = OLD, epoch: int = 0) -> None:
        super().__init__()
        self.primary = primary
        self.epoch = epoch
        self.where: bytes | None = None
        self.deaf = b""
        self.listeners: list[PeerTransport] = []
        self.channels: list[str] = []

    def reply(self, transport: PeerTransport, command: list[str]) -> bytes:
        if command[0] == "SUBSCRIBE":
            self.listeners.append(transport)
            self.channels = command[1:]
            return self.deaf or b"".join(
                b"*3\r\n$9\r\nsubscribe\r\n" + bulk(name)[4:] + b":%d\r\n" % number
                for number, name in enumerate(command[1:], 1)
            )
        if command[1] == "MASTER":
            return bulk("name", NAME, "config-epoch", str(self.epoch))
        if self.where is not None:
            return self.where
        return bulk(self.primary.host, str(self.primary.port)) if command[2] == NAME else b"*-1\r\n"

    @property
    def queries(self) -> int:
        """How often it was asked for the primary."""
        return sum("GET-MASTER" in each for each in self.asked)

    def publish(self, message: str, channel: str = "+switch-master") -> None:
        """Tell those who listen."""
        for transport in self.listeners if channel in self.channels else ():
            transport.arrive(bulk("message", channel, message))

    def switch(self, primary: TcpAddress, epoch: int) -> None:
        """The primary has changed; say so."""
        old, self.primary, self.epoch = self.primary, primary, epoch
        self.publish(f"{NAME} {old.host} {old.port} {primary.host} {primary.port}")


class ServerPeer(Peer):
    """A Redis server with a role; C{answers} replaces those to some commands."""

    def __init__(self, role: str = "master") -> None:
        super().__init__()
        self.role = role
        self.answers: dict[str, bytes] = {}

    def reply(self, transport: PeerTransport, command: list[str]) -> bytes:
        if command[0] in self.answers:
            return self.answers[command[0]]
        if command[0] == "AUTH":
            return OK
        return bulk(self.role) if command[0] == "ROLE" else bulk(f"# Replication\nrole:{self.role}\n")[4:]


class PeerNetwork:
    """The peers by address; nobody is at any other address."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.peers: dict[TcpAddress, Peer] = {}
        self.attempts: list[TcpAddress] = []

    def connect(self, address: TcpAddress, factory: Callable[[], Any], tls: Any, timeout_s: float) -> Deferred[Any]:
        self.attempts.append(address)
        peer = self.peers.get(address)
        if peer is None:
            return fail(ConnectionRefusedError())
        transport = PeerTransport(self.clock, peer)
        peer.all.append(transport)
        transport.protocol = protocol = factory()
        protocol.makeConnection(transport)
        connected: Deferred[Any] = Deferred()
        self.clock.callLater(0, connected.callback, protocol)
        return connected


class HeldGate:
    """Orders to a real gate, behind which nobody is."""

    def __init__(self, gate: Gate, events: list[str]) -> None:
        self._gate = gate
        self._events = events

    def _status(self) -> GateStatus:
        return GateStatus(self._gate.state.value, tuple(sorted(self._gate.reasons)), self._gate.in_flight)

    def state(self) -> Deferred[GateStatus]:
        return succeed(self._status())

    def hold(self, reason: str) -> Deferred[Hold]:
        closed = self._gate.open
        self._gate.close(reason)
        self._events += ["closed"] if closed else []
        return succeed(Hold(closed, self._status()))

    def release(self, reason: str) -> Deferred[Release]:
        assert "closed" in self._events
        closed = not self._gate.open
        self._gate.reopen(reason)
        return succeed(Release(closed and self._gate.open, self._status(), 0.0))

    def drained(self) -> Deferred[None]:
        return self._gate.drained()

    def drop_in_flight(self) -> Deferred[tuple[ClientInFlight, ...]]:
        count = self._gate.in_flight
        self._gate.release(count)
        return succeed(tuple(ClientInFlight(number, "", "", "get", 1, 0.0) for number in range(count)))


class Moves:
    """Orders to go to another server, of which only the address counts.

    @ivar trouble: what connecting fails with, once each. @ivar connecting: what the next ones wait for.
    """

    def __init__(self, gate: Gate, events: list[str]) -> None:
        self._gate = gate
        self._events = events
        self._address: Any = None
        self.trouble: list[Exception] = []
        self.connecting: Deferred[None] = succeed(None)

    def prepare(self, settings: Settings, same_listeners: bool = False) -> Deferred[None]:
        assert self._address is None
        self._address = settings.uplink.address
        self._events.append(f"prepare {self._address}")
        return succeed(None)

    def connect(self) -> Deferred[None]:
        return fail(self.trouble.pop()) if self.trouble else self.connecting

    def bring(self) -> Deferred[None]:
        assert self._gate.state is GateState.PAUSED
        return succeed(None)

    def swap(self) -> Deferred[None]:
        assert self._gate.state is GateState.PAUSED
        self._events.append(f"swap {self._address}")
        self._address = None
        return succeed(None)

    def abandon(self) -> Deferred[None]:
        self._address = None
        return succeed(None)


class MovableDataPlane:
    """A data plane without clients and connections, which can be moved."""

    def __init__(self, clock: Clock) -> None:
        self.flow = Gate(clock)
        self.events: list[str] = []
        self.gate = HeldGate(self.flow, self.events)
        self.move = Moves(self.flow, self.events)
        self.clients: Any = None  # nobody asks for them here
        self.is_connected = True


class World:
    """Three sentinels, an old and a new server, and a follower in between."""

    def __init__(self, folder: Path, **uplink: Any) -> None:
        self.clock = Clock()
        self.network = PeerNetwork(self.clock)
        self.sentinels = [SentinelPeer() for _ in range(3)]
        self.places = [TcpAddress("10.0.1.1", 26379 + number) for number in range(3)]
        self.old, self.new = ServerPeer(), ServerPeer()
        self.network.peers = {**dict(zip(self.places, self.sentinels, strict=True)), OLD: self.old, NEW: self.new}
        self.settings = self.configured(**uplink)
        self.dataplane = MovableDataPlane(self.clock)
        self.gate, self.events = self.dataplane.flow, self.dataplane.events
        network: Any = self.network
        path = folder / "config.json"
        path.write_text(json.dumps(self.document(**uplink)))
        self.configuration = Configuration(str(path), self.settings, network, self.clock)
        seam: Any = self.dataplane
        self.control = Control(self.configuration, seam, network, self.clock, lambda low, high: high)

    def configured(self, **uplink: Any) -> Settings:
        """A configuration with these sentinels."""
        return Settings.model_validate(self.document(**uplink))

    def document(self, **uplink: Any) -> dict[str, Any]:
        """The same as a file has it."""
        keys = {"sentinels": [str(place) for place in self.places], "master_name": NAME, **uplink}
        return {"uplink": keys, "listen": {"addr": "10.0.0.9:7010"}}

    def new_finder(self, settings: Settings, before: Finder | None = None) -> Finder:
        return Finder(settings, self.network, self.clock, before)  # type: ignore[arg-type]

    @property
    def finder(self) -> Finder:
        assert isinstance(self.configuration.finder, Finder)
        return self.configuration.finder

    @property
    def server(self) -> Address:
        """The server in use."""
        return self.configuration.settings.uplink.address

    def start(self) -> None:
        """Begin to follow, and arrive at the old server."""
        self.tick()
        self.advance(0.3)

    def tick(self) -> None:
        """Have the follower look around, which happens every 100 ms."""
        self.control.follower.tick(self.dataplane.is_connected)

    def advance(self, seconds: float) -> None:
        """Let time pass, with a tick every 100 ms."""
        for _ in range(round(seconds * 10)):
            self.turn()
            self.clock.advance(0.1)
            self.tick()
        self.turn()

    def turn(self) -> None:
        """Let what is due happen."""
        for _ in range(30):
            self.clock.advance(0)
