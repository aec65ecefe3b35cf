"""The raw listener: an unmanaged full-duplex relay to the uplink, outside of the gate.

Each raw client has a connection of its own to the Redis server of the moment and logs in there itself. A pause does not
hold it and a switch does not move it; the operator ends what is left with C{terminate-raw-connections}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from redisproxy.net.few_lines import FewLines

if TYPE_CHECKING:
    from redisproxy.figures.metrics import Metrics

Connect = Callable[[Callable[[], IProtocol]], "Deferred[IProtocol]"]


@implementer(IHalfCloseableProtocol)
class _Side(Protocol):
    """One of the two connections of a relay; `other` gets everything that arrives here."""

    other: _Side | None = None
    transport: Any
    input_ended = output_ended = False

    def dataReceived(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)

    def readConnectionLost(self) -> None:
        self.input_ended = True
        other = self.other
        if other is not None and other.connected:
            other.end_writing()
        self._close_if_done()

    def writeConnectionLost(self) -> None:
        """Twisted's transports tell of each half-close, which was ours."""

    def end_writing(self) -> None:
        """Half-close where the transport can, close where it can't (TLS)."""
        self.output_ended = True
        if hasattr(self.transport, "loseWriteConnection"):
            self.transport.loseWriteConnection()
            self._close_if_done()
        else:
            self.finish()

    def _close_if_done(self) -> None:
        """A connection of which both halves have ended stays open until it is closed."""
        if self.input_ended and self.output_ended:
            self.finish()

    def finish(self) -> None:
        """Close after what was written has left."""
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        other, self.other = self.other, None
        if other is not None:
            other.other = None
            if other.connected:
                other.finish()

    def join(self, other: _Side) -> None:
        """Relay from here to `other`, reading no faster than it takes."""
        self.other = other
        other.transport.registerProducer(self.transport, True)


class _Uplink(_Side):
    """The Redis side."""


class RawClient(_Side):
    """The client's side of one relay; nothing is read from it before the Redis side is there."""

    def __init__(self, factory: RawFactory) -> None:
        self._factory = factory
        self._connecting: Deferred[IProtocol] | None = None
        self._early: list[bytes] = []

    def connectionMade(self) -> None:
        if not self._factory.add(self):
            self.transport.write(b"-ERR max number of clients reached\r\n")
            self.transport.loseConnection()
            return
        self._connecting = self._factory.connect(_Uplink)
        self._connecting.addCallbacks(self._joined, self._failed)

    def dataReceived(self, data: bytes) -> None:
        if self.other is not None:
            super().dataReceived(data)
        else:
            # Pausing any earlier would stop a TLS handshake.
            self._early.append(data)
            self.transport.pauseProducing()

    def _joined(self, protocol: IProtocol) -> None:
        self._connecting = None
        uplink = protocol
        assert isinstance(uplink, _Uplink)
        uplink.join(self)
        self.join(uplink)
        if self._early:
            uplink.transport.write(b"".join(self._early))
            self._early.clear()
            self.transport.resumeProducing()
        if self.input_ended:
            uplink.end_writing()

    def _failed(self, failure: Failure) -> None:
        self._connecting = None
        if not failure.check(CancelledError):
            self._factory.failed(failure.getErrorMessage())
            self.terminate()

    def terminate(self) -> None:
        """Close both sides at once."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        self._factory.remove(self)
        super().connectionLost(reason)


class RawFactory(Factory[Protocol]):
    """The factory of raw listeners.

    @ivar connect: opens a connection to the Redis server of the moment; a reload replaces it for new clients.
    @ivar changed: called when a client has come or gone.
    """

    log = Logger(namespace="redisproxy.raw")
    noisy = False

    def __init__(self, connect: Connect, max_connections: int, metrics: Metrics) -> None:
        self.connect = connect
        self.max_connections = max_connections
        self.changed: Callable[[], None] = lambda: None
        self._metrics = metrics
        self._clients: dict[RawClient, None] = {}
        self._failures = FewLines()

    def __len__(self) -> int:
        return len(self._clients)

    def buildProtocol(self, addr: IAddress | None) -> RawClient:
        return RawClient(self)

    def add(self, client: RawClient) -> bool:
        """Count a client in; False when there are too many."""
        if len(self._clients) >= self.max_connections:
            self._metrics.clients.closed["max_clients"] += 1
            return False
        self._clients[client] = None
        self.changed()
        return True

    def remove(self, client: RawClient) -> None:
        """Count a client out."""
        self._clients.pop(client, None)
        self.changed()

    def failed(self, error: str) -> None:
        """A client gets no connection to the Redis server."""
        more = self._failures.another()
        if more is not None:
            self.log.warn("raw client: no connection to the uplink: {error}{more}", error=error, more=more)

    def terminate_all(self) -> int:
        """Close every raw connection; say how many there were."""
        clients = list(self._clients)
        for client in clients:
            client.terminate()
        return len(clients)
