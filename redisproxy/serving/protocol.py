"""The Twisted protocol of one client connection: what its transport tells, passed on to the parts of the client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from redisproxy.handlers.recovery import Recovery
from redisproxy.net.sockets import set_keepalive
from redisproxy.serving.pump import Pump

if TYPE_CHECKING:
    from redisproxy.client.client import Client
    from redisproxy.config import KeepaliveSettings


@implementer(IHalfCloseableProtocol, IPushProducer)
class ClientProtocol(Protocol):
    """One client's connection, and the producer of its transport.

    @ivar client: the client, which goes with the connection.
    """

    __slots__ = ("_keepalive", "_lane", "_output", "client", "connected", "transport")

    def __init__(self, client: Client, keepalive: KeepaliveSettings | None = None) -> None:
        self.client = client
        self._keepalive = keepalive
        self._lane = client.lane
        self._output = client.output
        client.waiting.pump = Pump(client)
        client.acquirer.recovery = Recovery(client)

    def connectionMade(self) -> None:
        client = self.client
        transport: Any = self.transport
        transport.registerProducer(self, True)
        self._output.transport = self._lane.transport = transport
        if self._keepalive is not None:
            keep = self._keepalive
            set_keepalive(transport, keep.idle_s, keep.interval_s, keep.count)
        if client.id:
            self._goes_on()
            return
        client.identity.id = client.registry.add(client)
        client.apply_framing()
        if client.core.log_clients:
            client.log.debug("client {id} connected from {address}", id=client.id, address=client.address)

    def _goes_on(self) -> None:
        """The client comes from another data plane, or comes back from there."""
        client = self.client
        client.registry.take_in(client, client.id)
        if client.output.unread:
            client.slow_reader.resumeProducing()
        client.waiting.begin_reading()
        if client.core.log_clients:
            client.log.debug("client {id} goes on here, from {address}", id=client.id, address=client.address)

    def dataReceived(self, data: bytes) -> None:
        if not self._output.closed and not self._lane.take(data):
            self.client.look()

    def pauseProducing(self) -> None:
        """What was written piles up."""
        self.client.slow_reader.pauseProducing()

    def resumeProducing(self) -> None:
        """All of it has been read."""
        self.client.slow_reader.resumeProducing()

    def stopProducing(self) -> None:
        """The transport is gone; L{connectionLost} tells, too."""

    def readConnectionLost(self) -> None:
        """The client sends no more."""
        self.client.waiting.pump.no_more_comes()

    def writeConnectionLost(self) -> None:
        """The client reads no more."""
        self.client.closing.drop("")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.client.closing.lost(reason)
        self.client.registry.remove(self.client.id)
