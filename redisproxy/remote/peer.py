"""Two data planes of one server: one gives clients to the other over a Unix socket, with the descriptors of theirs.

The one that takes clients in listens (L{listen}); the one that they leave connects (L{reach}) and is a
C{dataplane.handover.Target} away from it. Both ends are those of orders, with which a newer program speaks to an older.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from redisproxy.dataplane.handover_orders import Peer
from redisproxy.dataplane.interface import DataPlaneLost, HandoverOrders
from redisproxy.remote import orders
from redisproxy.remote.order_client import OrderClient
from redisproxy.remote.order_server import OrderServer
from redisproxy.remote.served import of_handover

if TYPE_CHECKING:
    from twisted.internet.interfaces import IListeningPort

log = Logger(namespace="redisproxy.handover")
PRIVATE = 0o600
"""Whoever may connect may give clients of any user."""


class RemoteTarget:
    """Implements C{dataplane.handover_orders.Peer}."""

    def __init__(self, link: OrderClient) -> None:
        self._link = link

    async def prepare(self, state: bytes, marker: bytes) -> None:
        """Make at the server what the client has there."""
        await self._link.give(orders.Expect, state=state, marker=marker)

    async def adopt(self, state: bytes, fd: int) -> None:
        """Go on with the client; its descriptor here is closed once it goes on there."""
        await self._link.give(orders.Adopt, state=state, descriptor=fd)
        os.close(fd)

    def abandon(self, client_id: int) -> None:
        """Leave no trace of what was prepared for this client."""
        forgotten = self._link.give(orders.Forget, client_id=client_id)
        forgotten.addErrback(lambda failure: log.warn("{error}", error=failure.getErrorMessage()))

    def close(self) -> None:
        """Close the connection, once everything has left."""
        transport: Any = self._link.transport
        if transport is not None:
            transport.loseConnection()


def reach(reactor: Any, path: str) -> Deferred[Peer]:
    """Connect to the data plane that listens at `path`.

    @raise DataPlaneLost: it can't be reached.
    @raise VersionRefused: its program does not speak the version of this one.
    """
    return ensureDeferred(_reach(reactor, path))


async def _reach(reactor: Any, path: str) -> Peer:
    link = OrderClient(reactor, lambda link: None)
    connecting: Deferred[Any] = connectProtocol(UNIXClientEndpoint(reactor, path), link)
    try:
        await connecting
    except ConnectError as error:
        raise DataPlaneLost(f"the data plane at {path} can't be reached: {error}") from None
    await link.greet()
    return RemoteTarget(link)


def listen(reactor: Any, path: str, handover: HandoverOrders) -> IListeningPort:
    """Take clients of other data planes in at `path`, which only this user may connect to.

    @raise CannotListenError: the path can't be bound.
    """
    factory: Any = Factory()
    factory.buildProtocol = lambda address: OrderServer(reactor, of_handover(handover), lambda link: None)
    factory.noisy = False
    port: IListeningPort = reactor.listenUNIX(path, factory, mode=PRIVATE)
    return port
