"""The network as the rest of the proxy sees it, and its twin on Twisted's own transports."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IHandshakeListener, IListeningPort, IProtocol, IReactorTime
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from redisproxy.net.detached import DetachedSocket
from redisproxy.net.twisted_sockets import TcpPort, TLSTransport, UnixPort, adopt

if TYPE_CHECKING:
    from redisproxy.net.tls import ServerTLS


class Network(Protocol):
    """Listening, connecting, and the end of a turn of the reactor.

    The transports of clients, accepted or adopted, are L{detached.Detachable}, to be handed to another process.
    """

    name: str

    def listen(self, address: Any, factory: Any, tls: Any, backlog: int) -> IListeningPort:
        """Listen on a TCP or unix address.

        @param tls: a L{redisproxy.tls.ServerTLS}, or None. A client that has not shaken hands within its
            C{handshake_timeout_s} is disconnected.
        @raise CannotListenError: the address can't be bound.
        """

    def connect(
        self, address: Any, protocol_factory: Callable[[], IProtocol], tls: Any, timeout_s: float
    ) -> Deferred[Any]:
        """Connect; fire with the protocol, with TLS after the handshake and verification. Can be cancelled."""

    def adopt(self, detached: DetachedSocket, protocol_factory: Callable[[], IProtocol]) -> Any:
        """Go on with a socket that a transport has let go, or that was accepted elsewhere.

        The protocol's C{makeConnection} is called at once; it sets keepalive as for an accepted connection. What is
        unsent leaves before anything that the protocol writes. What is unread comes before anything that arrives, and
        as if it had just arrived: not before this method has returned, and not while the transport is paused. Behind it
        come the kernel's bytes, and the end of the input if the peer has ended it. A connection that was lost meanwhile
        is lost for the new protocol a moment later. The transport is a L{detached.Detachable}.

        @param detached: the transport owns its descriptor from now on; when this method raises, the caller does.
        @return: the protocol.
        @raise ValueError: it is no TCP or unix stream socket.
        @raise OSError: it is no open socket.
        """

    def end_of_turn(self, call: Callable[[], None]) -> None:
        """Run `call` once, after everything that arrived in this turn of the reactor has been handled."""


@implementer(IHandshakeListener)
class _Handshaking:
    """Stands before a protocol until TLS has verified the peer; the protocol's C{connectionMade} comes only then."""

    def __init__(self, protocol: Any, done: Deferred[Any]) -> None:
        self._protocol = protocol
        self._done = done
        self._transport: Any = None

    def makeConnection(self, transport: Any) -> None:
        self._transport = transport

    def handshakeCompleted(self) -> None:
        self._transport.wrappedProtocol = self._protocol
        self._protocol.makeConnection(self._transport)
        self._done.callback(self._protocol)

    def dataReceived(self, data: bytes) -> None:
        self._protocol.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._done.called:
            self._done.errback(reason)
        else:
            self._protocol.connectionLost(reason)

    def abort(self) -> None:
        """Give up."""
        if self._transport is not None:
            self._transport.abortConnection()


class HandshakeWaiter(Factory[Any]):
    """A factory for one TLS connection.

    @ivar done: fires with the protocol when the handshake is over and the peer verified; fails with the reason else.
    """

    noisy = False

    def __init__(self, protocol: Any) -> None:
        self.done: Deferred[Any] = Deferred(self._cancelled)
        self._waiting = _Handshaking(protocol, self.done)

    def buildProtocol(self, addr: Any) -> Any:
        return self._waiting

    def _cancelled(self, done: Deferred[Any]) -> None:
        done.errback(Failure(CancelledError()))
        self._waiting.abort()


@implementer(IHandshakeListener)
class _Hurried:
    """Stands before a protocol on the server's side, and disconnects a client that takes too long to shake hands."""

    def __init__(self, protocol: Any, clock: IReactorTime, timeout_s: float) -> None:
        self._protocol = protocol
        self._clock = clock
        self._timeout_s = timeout_s

    def makeConnection(self, transport: Any) -> None:
        self._transport = transport
        self._deadline = self._clock.callLater(self._timeout_s, transport.abortConnection)
        self._protocol.makeConnection(transport)

    def handshakeCompleted(self) -> None:
        self._stop_deadline()
        self._transport.wrappedProtocol = self._protocol

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_deadline()
        self._protocol.connectionLost(reason)

    def _stop_deadline(self) -> None:
        if self._deadline.active():
            self._deadline.cancel()


class TLSServerFactory(TLSMemoryBIOFactory):
    """Twisted's TLS around the protocols of `factory`, with a deadline for the handshake."""

    protocol: Any = TLSTransport

    def __init__(self, tls: ServerTLS, factory: Any, clock: Any) -> None:
        super().__init__(tls, False, factory, clock)
        self._tls = tls
        self._time = clock

    def buildProtocol(self, addr: Any) -> Any:
        protocol = self.wrappedFactory.buildProtocol(addr)
        if protocol is None:
            return None
        return self.protocol(self, _Hurried(protocol, self._time, self._tls.handshake_timeout_s))


class TLSClientFactory(TLSMemoryBIOFactory):
    """Twisted's TLS around the protocol of one connection."""

    protocol: Any = TLSTransport

    def __init__(self, tls: Any, waiter: HandshakeWaiter, clock: Any) -> None:
        super().__init__(tls, True, waiter, clock)


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
            _without_delay(port.socket)
        listening: IListeningPort = port
        return listening

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

    def adopt(self, detached: DetachedSocket, protocol_factory: Callable[[], IProtocol]) -> Any:
        """Go on with a socket that a transport has let go; see L{Network.adopt}."""
        return adopt(self._reactor, detached, protocol_factory)

    def end_of_turn(self, call: Callable[[], None]) -> None:
        """Run `call` once, after everything that arrived in this turn of the reactor has been handled."""
        if not self._calls:
            self._reactor.callLater(0, self._run)
        self._calls[call] = None

    def _run(self) -> None:
        calls, self._calls = self._calls, {}
        for call in calls:
            call()


def clear_stale_socket(path: str) -> None:
    """Remove a unix socket that nobody listens on any more; anything else at `path` stays.

    @raise CannotListenError: something else is there, or somebody listens.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise CannotListenError(None, path, OSError(17, "there is a file that is no socket"))
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError as error:
            raise CannotListenError(None, path, error) from None
    raise CannotListenError(None, path, OSError(98, "Address already in use"))


def set_keepalive(transport: Any, idle_s: int, interval_s: int, count: int) -> None:
    """Switch TCP keepalive on; nothing happens on a unix socket or with `idle_s` 0."""
    sock = _tcp_socket(transport) if idle_s else None
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count)


def set_user_timeout(transport: Any, milliseconds: int) -> None:
    """Have the kernel give the connection up when what was sent stays unacknowledged for so long (Linux)."""
    sock = _tcp_socket(transport)
    if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def _connected(protocol: Any) -> Any:
    sock = _tcp_socket(protocol.transport)
    if sock is not None:
        _without_delay(sock)
    return protocol


def _without_delay(sock: socket.socket) -> None:
    """Send what is written at once (Nagle's algorithm would hold the second small reply until the first is
    acknowledged, which takes 40 ms)."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _tcp_socket(transport: Any) -> socket.socket | None:
    sock = transport.getHandle() if hasattr(transport, "getHandle") else None
    is_tcp = isinstance(sock, socket.socket) and sock.family in (socket.AF_INET, socket.AF_INET6)
    return sock if is_tcp else None
