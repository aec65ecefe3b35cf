"""Twisted's accepted transports and ports, with sockets that can be detached and adopted.

Nothing private of Twisted is touched: ports take the class of their transports from C{transport}, what is to be sent
passes through C{writeSomeData}, and both are documented as things to be replaced.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IDelayedCall, IProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.net.detached import DetachedSocket, NotDetachable
from redisproxy.net.sockets import stream_socket

# Mostly without types in Twisted.
_Server: Any = tcp.Server


class TcpTransport(_Server):  # type: ignore[misc]
    """An accepted TCP connection; a L{detached.Detachable}."""

    log = Logger(namespace="redisproxy.network")
    _closing = False
    _paused = False
    _unread = b""
    _delivery: IDelayedCall | None = None

    @property
    def detachable(self) -> bool:
        """Whether L{detach} would return."""
        return not self._obstacle()

    def detach(self) -> DetachedSocket:
        """Let the socket go; see L{detached.Detachable.detach}.

        @raise NotDetachable: it is closing, or lost.
        """
        if obstacle := self._obstacle():
            raise NotDetachable(obstacle)
        self.unregisterProducer()
        unsent, unread = self._take_unsent(), self._take_unread()
        self.stopReading()
        self.stopWriting()
        sock = self.socket
        # As connectionLost leaves it: whatever the reactor or a protocol calls now finds nothing to act on.
        self.connected, self.disconnected = 0, 1
        self.startWriting = lambda: None
        del self.protocol, self.socket, self.fileno
        return DetachedSocket(sock.detach(), unread, unsent)

    def _obstacle(self) -> str:
        if not self.connected:
            return "the connection is lost"
        return "the connection is closing" if self.disconnecting or self._closing else ""

    def _take_unsent(self) -> bytes:
        """What was written and not sent; Twisted offers it to C{writeSomeData} only."""
        parts: list[bytes] = []

        def take(data: Any) -> int:
            parts.append(bytes(data))
            return len(data)

        self.writeSomeData = take
        self.doWrite()
        while parts[-1]:
            self.doWrite()
        unsent = b"".join(parts)
        parts.clear()
        return unsent

    def _take_unread(self) -> bytes:
        if self._delivery is not None:
            self._delivery.cancel()
        unread, self._unread, self._delivery = self._unread, b"", None
        return bytes(unread)

    # -- an adopted one begins with what its socket was detached with

    def begin(self, detached: DetachedSocket) -> None:
        """Send what is unsent, and have the protocol made a connection of, which then gets what is unread."""
        self.write(detached.unsent)
        if detached.unread:
            self._unread = detached.unread
            # Like this, and not as a method of the class, it costs other transports nothing.
            self.doRead = self._deliver
            self._deliver_later()
        self._guarded(self.protocol.makeConnection, self)

    def _deliver_later(self) -> None:
        if self._unread and self._delivery is None:
            self._delivery = self.reactor.callLater(0, self._deliver_in_time)

    def _deliver_in_time(self) -> None:
        self._delivery = None
        if not self._paused and not self.disconnecting:
            self._deliver()

    def _deliver(self) -> None:
        if unread := self._take_unread():
            del self.doRead
            self._guarded(self.protocol.dataReceived, unread)

    def _guarded(self, call: Callable[[Any], None], argument: Any) -> None:
        try:
            call(argument)
        except Exception:
            failure = Failure()
            self.log.failure("a protocol failed; its connection is closed", failure=failure)
            self.connectionLost(failure)

    # -- what else happens to a transport

    def pauseProducing(self) -> None:
        self._paused = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        self._paused = False
        super().resumeProducing()
        self._deliver_later()

    def loseWriteConnection(self) -> None:
        self._closing = True
        super().loseWriteConnection()

    def abortConnection(self) -> None:
        self._closing = True
        self._take_unread()
        super().abortConnection()

    def connectionLost(self, reason: Failure) -> None:
        self._take_unread()
        super().connectionLost(reason)


class UnixTransport(TcpTransport, unix.Server):
    """An accepted connection on a unix socket."""


class TcpPort(tcp.Port):
    """A listening TCP socket."""

    transport: Any = TcpTransport


class UnixPort(unix.Port):
    """A listening unix socket."""

    transport: Any = UnixTransport


def adopt(reactor: Any, detached: DetachedSocket, protocol_factory: Callable[[], IProtocol]) -> Any:
    """Go on with a socket; see L{network.Network.adopt}."""
    sock = stream_socket(detached.fd)
    try:
        protocol = protocol_factory()
    except BaseException:
        sock.detach()
        raise
    kind: Any = UnixTransport if sock.family == socket.AF_UNIX else TcpTransport
    transport = kind(sock, protocol, _peer(sock), None, 0, reactor)
    transport.repstr = f"<{type(protocol).__name__} on an adopted socket>"
    transport.begin(detached)
    return protocol


def _peer(sock: socket.socket) -> Any:
    """What the peer is called. One that has reset the connection has no name any more; the first read will tell."""
    try:
        return sock.getpeername()
    except OSError:
        return {socket.AF_INET: ("", 0), socket.AF_INET6: ("", 0, 0, 0)}.get(sock.family, "")
