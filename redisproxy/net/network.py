"""The network as the rest of the proxy sees it, and the choice of one.

There are two behind the same interface: on the compiled transports, where those are to be had, and on Twisted's own.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IProtocol, IReactorFDSet

from redisproxy.config import TcpAddress
from redisproxy.forwarding import twins
from redisproxy.net.detached import DetachedSocket
from redisproxy.net.password_programs import PasswordPrograms
from redisproxy.net.program import Ended
from redisproxy.net.resolving import Pointing
from redisproxy.net.twisted_network import TwistedNetwork


class Network(Protocol):
    """Listening, connecting, and the end of a turn of the reactor.

    @ivar passwords: what programs print for connections that log in; one for each process.

    The transports of clients, accepted or adopted, are L{detached.Detachable}, to be handed to another process.
    """

    name: str
    passwords: PasswordPrograms

    def listen(self, address: Any, factory: Any, tls: Any, backlog: int) -> IListeningPort:
        """Listen on a TCP or unix address.

        @param tls: a L{redisproxy.tls.ServerTLS}, or None. A client that has not shaken hands within its
            C{handshake_timeout_s} is disconnected.
        @raise CannotListenError: the address can't be bound.
        """

    def listen_on(self, listening: socket.socket, factory: Any, tls: Any) -> IListeningPort:
        """Accept from a TCP or unix socket that listens already, which is also another process's.

        When the port stops listening, the other process's socket goes on, and a unix socket's file stays.

        @param listening: not blocking; the port owns it from now on. @param tls: see L{listen}.
        """

    def connect(
        self, address: Any, protocol_factory: Callable[[], IProtocol], tls: Any, timeout_s: float
    ) -> Deferred[Any]:
        """Connect; fire with the protocol, with TLS after the handshake and verification. Can be cancelled."""

    def look_up(self, host: str, nameserver: TcpAddress | None) -> Deferred[Pointing]:
        """What a name points to; see L{resolving.look_up}."""

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

    def run_program(self, command: Sequence[str], limit_s: float, stdin: bytes, max_output: int) -> Deferred[Ended]:
        """Run a program within bounds; see L{program.run}."""

    def end_of_turn(self, call: Callable[[], None]) -> None:
        """Run `call` once, after everything that arrived in this turn of the reactor has been handled."""


class ServingNetwork(Network, Protocol):
    """A network that goes on with connections of other processes."""

    def serve(self, fd: int, factory: Any, tls: Any) -> None:
        """Have `factory` serve a connection that another process has accepted, as if it had been accepted here.

        @param fd: the connection's from now on; it is closed when this method raises.
        @param tls: as for L{Network.listen}; nothing of the handshake has passed yet.
        @raise ValueError: it is no TCP or unix stream socket.
        @raise OSError: it is no open socket.
        """


def best_network(reactor: Any) -> ServingNetwork:
    """The fastest network that works here."""
    if twins.NATIVE and IReactorFDSet.providedBy(reactor):
        from redisproxy.net.native_network import NativeNetwork

        return NativeNetwork(reactor)
    return TwistedNetwork(reactor)
