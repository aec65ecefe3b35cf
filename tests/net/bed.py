"""Both networks on real sockets: a protocol that remembers, a server of it, and the reactor in a thread."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.threads import blockingCallFromThread
from twisted.python.failure import Failure
from zope.interface import implementer

from redisproxy.config import RawListenSettings, TcpAddress, UplinkSettings
from redisproxy.forwarding import twins
from redisproxy.net.tls import client_tls, server_tls
from tests.end_to_end.harness import Certificates, free_port, wait_until

reactor: Any = global_reactor
NETWORKS = ["twisted", *(["native"] if twins.NATIVE else [])]


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Call in the reactor's thread; the result, also of a Deferred."""
    return blockingCallFromThread(reactor, lambda: maybeDeferred(function, *args))


@implementer(IHalfCloseableProtocol)
class Recorder(Protocol):
    """Remembers what happens to it."""

    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.events: list[str] = []
        self.on_data: Callable[[Recorder, bytes], None] = lambda _, data: None

    def connectionMade(self) -> None:
        self.events.append("made")

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self.on_data(self, data)

    def readConnectionLost(self) -> None:
        self.events.append("half")

    def writeConnectionLost(self) -> None:
        self.events.append("write lost")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.events.append("lost")

    def pauseProducing(self) -> None:
        self.events.append("pause")

    def resumeProducing(self) -> None:
        self.events.append("resume")

    def stopProducing(self) -> None:
        self.events.append("stop")


class Server(Factory[Any]):
    noisy = False

    def __init__(self) -> None:
        self.accepted: list[Recorder] = []
        self.on_data: Callable[[Recorder, bytes], None] = lambda protocol, data: protocol.transport.write(data)

    def buildProtocol(self, addr: Any) -> Recorder:
        protocol = Recorder()
        protocol.on_data = self.on_data
        self.accepted.append(protocol)
        return protocol

    @property
    def last(self) -> Recorder:
        wait_until(lambda: self.accepted and self.accepted[-1].events, "a connection was accepted", 5)
        return self.accepted[-1]


class Bed:
    """One listening server of the network under test."""

    def __init__(self, network: Any, tls: Certificates | None = None, handshake_timeout_s: float = 30.0) -> None:
        self.network = network
        self.server = Server()
        self.tls = tls
        self.address = TcpAddress("127.0.0.1", free_port())
        creator = None
        if tls is not None:
            listen = RawListenSettings(addr=":1", tls=True, certfile=tls.cert, keyfile=tls.key)
            creator = server_tls(listen, handshake_timeout_s)
        self.port = call(network.listen, self.address, self.server, creator, 50)

    def client_tls(self) -> Any:
        """What a client needs to connect, if anything."""
        if self.tls is None:
            return None
        return client_tls(UplinkSettings(addr=":1", tls=True, cacertfile=self.tls.ca), "localhost")

    def connect(self) -> socket.socket:
        peer = socket.create_connection((self.address.host, self.address.port), 10)
        if self.tls is None:
            return peer
        context = ssl.create_default_context(cafile=self.tls.ca)
        return context.wrap_socket(peer, server_hostname="localhost")


def read_all(peer: socket.socket) -> bytes:
    chunks = []
    with contextlib.suppress(ConnectionResetError, ssl.SSLError):
        while chunk := peer.recv(65536):
            chunks.append(chunk)
    return b"".join(chunks)
