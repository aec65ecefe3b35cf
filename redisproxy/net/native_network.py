"""The network on the compiled transports: the twin of L{twisted_network.TwistedNetwork}, behind the same interface.

One epoll descriptor holds every socket and is itself one reader of the Twisted reactor. TLS contexts and connections
are pyOpenSSL's; records pass through OpenSSL's functions directly where its library tells their addresses, and else
through Twisted's TLS, wrapped around these transports as around any other.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, succeed
from twisted.internet.error import ConnectError, TimeoutError, getConnectError
from twisted.internet.interfaces import IListeningPort, IProtocol, IReadDescriptor
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import classImplements, implementer

from redisproxy._native.core import Connection, Dialer, Hub, Listener, TLSConnection
from redisproxy.config import TcpAddress
from redisproxy.net import program
from redisproxy.net.detached import DetachedSocket, NotDetachable
from redisproxy.net.native_tls import DIRECT_TLS, Verification, pointers
from redisproxy.net.password_programs import PasswordPrograms
from redisproxy.net.resolving import Pointing, look_up
from redisproxy.net.shortage import REST_S, Shortage
from redisproxy.net.sockets import address_from, closed_on_error, listening_socket, stream_socket
from redisproxy.net.twisted_tls import HandshakeWaiter, TLSClientFactory, TLSServerFactory

classImplements(Hub, IReadDescriptor)


def _address_of(fd: int, peer: bool) -> Any:
    if fd < 0:
        return IPv4Address("TCP", "", 0)
    with socket.socket(fileno=os.dup(fd)) as handle:
        try:
            return address_from(handle.getpeername() if peer else handle.getsockname())
        except OSError:
            return IPv4Address("TCP", "", 0)


def serve(connection: Any, factory: Any, tls: Any, reactor: Any) -> None:
    """Have `factory` serve a connection that was accepted, with TLS if there is `tls`."""
    try:
        shaking = tls.serverConnectionForTLS(connection) if tls is not None else None
        protocol = factory.buildProtocol(None)
    except Exception:
        connection.discard()
        raise
    if protocol is None:
        connection.discard()
        return
    connection.begin(protocol)
    if shaking is not None:
        deadline = reactor.callLater(tls.handshake_timeout_s, connection.overdue)
        connection.start_tls(shaking, pointers(shaking), True, None, deadline, tls.handshakes)


@implementer(IListeningPort)
class NativePort:
    """One listening socket.

    @param path: of a unix socket's file, which goes when it stops listening; None leaves it.
    """

    def __init__(
        self, hub: Hub, reactor: Any, listening: socket.socket, factory: Any, tls: Any, path: str | None = None
    ) -> None:
        self._factory = factory
        self._reactor = reactor
        self._tls = tls
        self._path = path
        self._host = address_from(listening.getsockname())
        is_tcp, kind = listening.family != socket.AF_UNIX, Connection if tls is None else TLSConnection
        self._listener: Listener | None = Listener(hub, listening.detach(), self._accepted, is_tcp, kind)
        factory.doStart()

    def _accepted(self, connection: Any) -> None:
        serve(connection, self._factory, self._tls, self._reactor)

    def startListening(self) -> None:
        """It listens from the beginning."""

    def stopListening(self) -> Deferred[None]:
        """Listen no more."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            self._factory.doStop()
            if self._path is not None and os.path.exists(self._path):
                os.unlink(self._path)
        return succeed(None)

    def getHost(self) -> Any:
        """Where it listens."""
        return self._host


class NativeNetwork:
    """The network on the compiled transports.

    @param reactor: has to take readers (C{addReader}); reactors on epoll, poll and select do.
    """

    name = "native"
    log = Logger(namespace="redisproxy.network")

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.passwords = PasswordPrograms(reactor)
        self.run_program = partial(program.run, reactor)
        self._shortage = Shortage(reactor.seconds)
        self._hub = Hub(
            self._schedule, self._failed, _address_of, self._rest, connect_error, DetachedSocket, NotDetachable
        )
        self.end_of_turn: Callable[[Callable[[], None]], None] = self._hub.end_of_turn
        reactor.addReader(self._hub)

    def _schedule(self, call: Callable[[], None]) -> None:
        self._reactor.callLater(0, call)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("a protocol failed; its connection is closed", failure=failure)

    def _rest(self, error: int, listener: Listener) -> None:
        self._shortage.tell(error)
        self._reactor.callLater(REST_S, listener.resume)

    def listen(self, address: Any, factory: Any, tls: Any, backlog: int) -> IListeningPort:
        """Listen on a TCP or unix address.

        @raise CannotListenError: the address can't be bound.
        """
        return self._port(listening_socket(address, backlog), factory, tls, getattr(address, "path", None))

    def listen_on(self, listening: socket.socket, factory: Any, tls: Any) -> IListeningPort:
        """Accept from a socket that listens already, which is also another process's; see L{network.Network}."""
        return self._port(listening, factory, tls)

    def _port(self, listening: socket.socket, factory: Any, tls: Any, path: str | None = None) -> IListeningPort:
        if tls is not None and not DIRECT_TLS:
            factory, tls = TLSServerFactory(tls, factory, self._reactor), None
        port: IListeningPort = NativePort(self._hub, self._reactor, listening, factory, tls, path)
        return port

    def connect(
        self, address: Any, protocol_factory: Callable[[], IProtocol], tls: Any, timeout_s: float
    ) -> Deferred[Any]:
        """Connect, trying every address of a name in turn; with TLS fire after the handshake and verification."""
        work = ensureDeferred(self._connect(address, protocol_factory, tls))
        work.addTimeout(timeout_s, self._reactor, onTimeoutCancel=_timed_out)
        return work

    def look_up(self, host: str, nameserver: TcpAddress | None) -> Deferred[Pointing]:
        """What a name points to; see L{resolving.look_up}."""
        return look_up(self._reactor, host, nameserver)

    def adopt(self, detached: DetachedSocket, protocol_factory: Callable[[], IProtocol]) -> Any:
        """Go on with a socket that a transport has let go; see L{network.Network.adopt}."""
        sock = stream_socket(detached.fd)
        try:
            protocol = protocol_factory()
        finally:
            fd = sock.detach()
        Connection(self._hub, fd).adopt(protocol, detached.unread, detached.unsent)
        return protocol

    def serve(self, fd: int, factory: Any, tls: Any) -> None:
        """Serve a connection that another process has accepted; see L{network.ServingNetwork.serve}."""
        if tls is not None and not DIRECT_TLS:
            factory, tls = TLSServerFactory(tls, factory, self._reactor), None
        kind = Connection if tls is None else TLSConnection
        with closed_on_error(fd):
            stream_socket(fd).detach()
        serve(kind(self._hub, fd), factory, tls, self._reactor)

    async def _connect(self, address: Any, protocol_factory: Callable[[], IProtocol], tls: Any) -> Any:
        direct = tls is not None and DIRECT_TLS
        connection: Any = await self._open(address, TLSConnection if direct else Connection)
        if direct:
            await self._shake_hands(connection, tls)
        protocol = protocol_factory()
        if tls is None or direct:
            connection.begin(protocol)
            return protocol
        waiter = HandshakeWaiter(protocol)
        wrapped = TLSClientFactory(tls, waiter, self._reactor).buildProtocol(None)
        connection.begin(wrapped)
        return await waiter.done

    async def _shake_hands(self, connection: Any, creator: Any) -> None:
        tls = creator.clientConnectionForTLS(Verification(connection))
        done: Deferred[Any] = Deferred(lambda _: connection.abortConnection())
        connection.start_tls(tls, pointers(tls), False, done, None)
        await done

    async def _open(self, address: Any, kind: type[Connection]) -> Connection:
        if (path := getattr(address, "path", None)) is not None:
            return await self._dial(socket.AF_UNIX, path, kind)
        error: Exception = ConnectError(string="the name has no address")
        for family, place in await self._resolve(address.host, address.port):
            try:
                return await self._dial(family, place, kind)
            except ConnectError as failed:
                error = failed
        raise error

    async def _resolve(self, host: str, port: int) -> list[tuple[int, Any]]:
        if _is_literal(host):
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        else:
            pool = self._reactor.getThreadPool()
            found = await deferToThreadPool(
                self._reactor, pool, socket.getaddrinfo, host, port, type=socket.SOCK_STREAM
            )
        return [(family, place) for family, _, _, _, place in found]

    async def _dial(self, family: int, place: Any, kind: type[Connection]) -> Connection:
        dialing = socket.socket(family)
        dialing.setblocking(False)
        if family != socket.AF_UNIX:
            dialing.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            dialing.connect(place)
        except BlockingIOError:
            pass
        except OSError as error:
            dialing.close()
            raise getConnectError(error) from None
        waiting: Deferred[Connection] = Deferred()
        dialer = Dialer(self._hub, dialing.detach(), kind, waiting)
        try:
            return await waiting
        except CancelledError:
            dialer.cancel()
            raise


def connect_error(number: int) -> Exception:
    """The exception for an error number of connect()."""
    error: Exception = getConnectError((number, os.strerror(number)))
    return error


def _timed_out(result: Any, timeout_s: float) -> Any:
    if isinstance(result, Failure) and result.check(CancelledError):
        return Failure(TimeoutError(string=f"no connection within {timeout_s} s"))
    return result


def _is_literal(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return True
    return "%" in host
