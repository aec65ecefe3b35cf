"""Two data planes of one server: one gives clients to the other over a Unix socket, with the descriptors of theirs.

The one that takes clients in listens (L{listen}); the one that they leave connects (L{reach}) and is a
C{dataplane.handover.Target} away from it. Both ends are those of orders, with which a newer program speaks to an older.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError
from twisted.logger import Logger

from redisproxy.client.session_value import InvalidState, from_bytes
from redisproxy.dataplane.handover_orders import Peer
from redisproxy.dataplane.interface import DataPlaneLost, HandedClient, HandoverOrders, HandoverRefused
from redisproxy.net.private_port import listen_privately
from redisproxy.remote import orders
from redisproxy.remote.errors import NotSent
from redisproxy.remote.order_client import OrderClient
from redisproxy.remote.order_server import Handler, OrderServer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IListeningPort

    from redisproxy.remote.link import Link
    from redisproxy.remote.order import Order

log = Logger(namespace="redisproxy.handover")


class RemoteTarget:
    """Implements C{dataplane.handover_orders.Peer}."""

    def __init__(self, link: OrderClient) -> None:
        self._link = link

    async def prepare(self, state: bytes, marker: bytes) -> None:
        """Make at the server what the client has there."""
        await self._give(orders.Expect, state=state, marker=marker)

    async def adopt(self, state: bytes, fd: int) -> None:
        """Go on with the client; its descriptor here is closed once it goes on there."""
        await self._give(orders.Adopt, state=state, descriptor=fd)
        os.close(fd)

    async def _give(self, order: type[Order], **arguments: Any) -> None:
        if self._link.lost:
            raise HandoverRefused("the connection to the other data plane is lost")
        try:
            await self._link.give(order, **arguments)
        except NotSent as error:
            raise HandoverRefused(f"what it holds can't be sent: {error}") from None

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


class Giver:
    """One data plane that gives clients to this one. What it has announced and not given is forgotten when it is lost.

    @param handover: carries its orders out.
    """

    def __init__(self, handover: HandoverOrders) -> None:
        self._handover = handover
        self._expected: set[int] = set()
        self._lost = False

    def link(self, clock: Any) -> OrderServer:
        """The protocol for its connection."""
        handlers: dict[type[Order], Handler] = {
            orders.Expect: self._expect,
            orders.Adopt: self._adopt,
            orders.Forget: self._forget,
        }
        return OrderServer(clock, handlers, self._gone)

    async def _expect(self, state: bytes, marker: bytes) -> None:
        await self._handover.expect(state, marker)
        self._expected.add(from_bytes(state).id)
        if self._lost:
            self._forget_all()

    async def _adopt(self, state: bytes, descriptor: int) -> None:
        try:
            await self._handover.adopt(HandedClient(state, descriptor))
        finally:
            with suppress(InvalidState):
                self._expected.discard(from_bytes(state).id)

    async def _forget(self, client_id: int) -> None:
        self._expected.discard(client_id)
        await self._handover.forget(client_id)

    def _gone(self, link: Link) -> None:
        self._lost = True
        self._forget_all()

    def _forget_all(self) -> None:
        expected, self._expected = self._expected, set()
        for client_id in expected:
            log.warn("the data plane that had client {client} is lost: it does not come", client=client_id)
            self._handover.forget(client_id)


def listen(reactor: Any, path: str, handover: HandoverOrders) -> IListeningPort:
    """Take clients of other data planes in at `path`. Whoever may connect may give clients of any user.

    @raise CannotListenError: the path can't be bound.
    """
    return listen_privately(reactor, path, lambda: Giver(handover).link(reactor))
