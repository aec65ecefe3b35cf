"""Twisted's TLS, and what it lacks: waiting for the end of a handshake, a deadline for it, a socket that stays put."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IHandshakeListener, IReactorTime
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from redisproxy.net.detached import DetachedSocket, NotDetachable

if TYPE_CHECKING:
    from redisproxy.net.tls import ServerTLS

KEYS_STAY = "its TLS keys lie in OpenSSL's memory and can't be passed on"


class TLSTransport(BufferingTLSTransport):
    """Twisted's TLS on another transport; it would let the other one be detached, and strand the client."""

    detachable = False

    def detach(self) -> DetachedSocket:
        """TLS stays where it is.

        @raise NotDetachable: always.
        """
        raise NotDetachable(KEYS_STAY)


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

    def __init__(self, protocol: Any, clock: IReactorTime, tls: ServerTLS) -> None:
        self._protocol = protocol
        self._clock = clock
        self._tls = tls

    def makeConnection(self, transport: Any) -> None:
        self._transport = transport
        self._deadline = self._clock.callLater(self._tls.handshake_timeout_s, transport.abortConnection)
        self._protocol.makeConnection(transport)

    def handshakeCompleted(self) -> None:
        self._stop_deadline()
        self._tls.handshakes.done += 1
        self._transport.wrappedProtocol = self._protocol

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_deadline()
        self._tls.handshakes.failed += 1
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
        return self.protocol(self, _Hurried(protocol, self._time, self._tls))


class TLSClientFactory(TLSMemoryBIOFactory):
    """Twisted's TLS around the protocol of one connection."""

    protocol: Any = TLSTransport

    def __init__(self, tls: Any, waiter: HandshakeWaiter, clock: Any) -> None:
        super().__init__(tls, True, waiter, clock)
