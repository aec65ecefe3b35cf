"""The network as the rest of the proxy sees it, and its twin on Twisted's own transports."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocol
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory


class Network(Protocol):
    """Listening, connecting, and the end of a turn of the reactor."""

    name: str

    def listen(self, address: Any, factory: Any, tls: Any, backlog: int) -> IListeningPort:
        """Listen on a TCP or unix address.

        @raise CannotListenError: the address can't be bound.
        """

    def connect(
        self, address: Any, protocol_factory: Callable[[], IProtocol], tls: Any, timeout_s: float
    ) -> Deferred[Any]:
        """Connect; with TLS fire after the handshake and verification."""

    def end_of_turn(self, call: Callable[[], None]) -> None:
        """Run `call` once, after everything that arrived in this turn of the reactor has been handled."""


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
        if tls is not None:
            factory = TLSMemoryBIOFactory(tls, False, factory, self._reactor)
        path = getattr(address, "path", None)
        if path is not None:
            _clear(path)
            port: IListeningPort = self._reactor.listenUNIX(path, factory, backlog=backlog)
        else:
            port = self._reactor.listenTCP(address.port, factory, backlog=backlog, interface=address.host)
        return port

    def connect(
        self, address: Any, protocol_factory: Callable[[], IProtocol], tls: Any, timeout_s: float
    ) -> Deferred[Any]:
        path = getattr(address, "path", None)
        if path is not None:
            endpoint: Any = UNIXClientEndpoint(self._reactor, path, timeout=timeout_s)
        else:
            endpoint = HostnameEndpoint(self._reactor, address.host, address.port, timeout=timeout_s)
        if tls is not None:
            endpoint = wrapClientTLS(tls, endpoint)
        connecting: Deferred[Any] = endpoint.connect(_Factory(protocol_factory))
        return connecting

    def end_of_turn(self, call: Callable[[], None]) -> None:
        if not self._calls:
            self._reactor.callLater(0, self._run)
        self._calls[call] = None

    def _run(self) -> None:
        calls, self._calls = self._calls, {}
        for call in calls:
            call()


def _clear(path: str) -> None:
    if os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode):
        probe = socket.socket(socket.AF_UNIX)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        finally:
            probe.close()


def set_keepalive(transport: Any, idle_s: int, interval_s: int, count: int) -> None:
    """Switch TCP keepalive on; nothing happens on a unix socket or with `idle_s` 0."""
    sock = transport.getHandle() if hasattr(transport, "getHandle") else None
    if idle_s and isinstance(sock, socket.socket) and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count)


__all__ = ["CannotListenError", "Network", "TwistedNetwork", "set_keepalive"]
