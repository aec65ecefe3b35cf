"""The network on Twisted's own transports; see L{network.Network}."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IListeningPort, IProtocol
from twisted.internet.protocol import Factory

from redisproxy.config import TcpAddress
from redisproxy.net import program
from redisproxy.net.detached import DetachedSocket
from redisproxy.net.password_programs import PasswordPrograms
from redisproxy.net.resolving import Pointing, look_up
from redisproxy.net.sockets import clear_stale_socket, closed_on_error, tcp_socket, without_delay
from redisproxy.net.twisted_passed_port import PassedPort
from redisproxy.net.twisted_tls import HandshakeWaiter, TLSClientFactory, TLSServerFactory
from redisproxy.net.twisted_transports import TcpPort, UnixPort, adopt


class _Factory(Factory[Any]):
    noisy = False

    def __init__(self, make: Callable[[], IProtocol]) -> None:
        self._make = make

    def buildProtocol(self, addr: Any) -> Any:
        return self._make()


class TwistedNetwork:
    """The network on Twisted's own transports."""

    name = "twisted"

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.passwords = PasswordPrograms(reactor)
        self.run_program = partial(program.run, reactor)
        self._calls: dict[Callable[[], None], None] = {}

    def listen(self, address: Any, factory: Any, tls: Any, backlog: int) -> IListeningPort:
        """Listen on a TCP or unix address.

        @raise CannotListenError: the address can't be bound.
        """
        if tls is not None:
            factory = TLSServerFactory(tls, factory, self._reactor)
        path = getattr(address, "path", None)
        if path is not None:
            clear_stale_socket(path)
            port: Any = UnixPort(path, factory, backlog, reactor=self._reactor)
            port.startListening()
        else:
            port = TcpPort(address.port, factory, backlog, address.host, self._reactor)
            port.startListening()
            # Accepted connections inherit it: TLS writes before a protocol could ask for it.
            without_delay(port.socket)
        listening: IListeningPort = port
        return listening

    def listen_on(self, listening: socket.socket, factory: Any, tls: Any) -> IListeningPort:
        """Accept from a socket that listens already, which is also another process's; see L{network.Network}."""
        if tls is not None:
            factory = TLSServerFactory(tls, factory, self._reactor)
        return PassedPort(self._reactor, listening, factory)

    def connect(
        self, address: Any, protocol_factory: Callable[[], IProtocol], tls: Any, timeout_s: float
    ) -> Deferred[Any]:
        """Connect; with TLS fire after the handshake and verification."""
        path = getattr(address, "path", None)
        if path is not None:
            endpoint: Any = UNIXClientEndpoint(self._reactor, path, timeout=timeout_s)
        else:
            endpoint = HostnameEndpoint(self._reactor, address.host, address.port, timeout=timeout_s)
        if tls is None:
            connecting: Deferred[Any] = endpoint.connect(_Factory(protocol_factory))
            return connecting.addCallback(_connected)
        waiter = HandshakeWaiter(protocol_factory())
        opened: Deferred[Any] = endpoint.connect(TLSClientFactory(tls, waiter, self._reactor))
        opened.addCallback(_connected).addCallback(lambda _: waiter.done)
        return opened.addTimeout(timeout_s, self._reactor)

    def look_up(self, host: str, nameserver: TcpAddress | None) -> Deferred[Pointing]:
        """What a name points to; see L{resolving.look_up}."""
        return look_up(self._reactor, host, nameserver)

    def adopt(self, detached: DetachedSocket, protocol_factory: Callable[[], IProtocol]) -> Any:
        """Go on with a socket that a transport has let go; see L{network.Network.adopt}."""
        return adopt(self._reactor, detached, protocol_factory)

    def serve(self, fd: int, factory: Any, tls: Any) -> None:
        """Serve a connection that another process has accepted; see L{network.ServingNetwork.serve}."""
        if tls is not None:
            factory = TLSServerFactory(tls, factory, self._reactor)
        with closed_on_error(fd):
            adopt(self._reactor, DetachedSocket(fd), lambda: factory.buildProtocol(None))

    def end_of_turn(self, call: Callable[[], None]) -> None:
        """Run `call` once, after everything that arrived in this turn of the reactor has been handled."""
        if not self._calls:
            self._reactor.callLater(0, self._run)
        self._calls[call] = None

    def _run(self) -> None:
        calls, self._calls = self._calls, {}
        for call in calls:
            call()


def _connected(protocol: Any) -> Any:
    with tcp_socket(protocol.transport) as sock:
        if sock is not None:
            without_delay(sock)
    return protocol
