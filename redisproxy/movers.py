"""What subscribers have at the old server, made again at the new one while the gate is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from redisproxy.client.pubsub import Subscription
from redisproxy.together import together

if TYPE_CHECKING:
    from redisproxy.client import ClientProtocol
    from redisproxy.registry import ClientRegistry
    from redisproxy.uplink import UplinkSet


class Subscribers:
    """Moves the subscribers. One that can't be moved is disconnected by the switch, so that it knows.

    @param timeout_s: for each of them.
    """

    log = Logger(namespace="redisproxy.switch")

    def __init__(self, registry: ClientRegistry, uplinks: UplinkSet, clock: IReactorTime, timeout_s: float) -> None:
        self._registry = registry
        self._uplinks = uplinks
        self._clock = clock
        self._timeout_s = timeout_s
        self._connections: dict[ClientProtocol, Any] = {}
        self._copies: dict[ClientProtocol, Subscription] = {}

    async def open(self) -> None:
        """Open the connections that will be needed; before the gate is closed, because it takes time."""
        await self._each(self._open)

    async def copy(self) -> None:
        """Subscribe at the new server, then have the old one's last messages passed on. The gate is closed."""
        await self._each(self._copy)

    async def _each(self, work: Any) -> None:
        clients = [client for client in self._registry if client.subscription]
        works = [ensureDeferred(work(client)).addTimeout(self._timeout_s, self._clock) for client in clients]
        results = await together(works)
        for good, value in results:
            if not good:
                self.log.warn("a subscriber can't be moved: {why}", why=value.getErrorMessage() or value.type.__name__)

    async def _open(self, client: ClientProtocol) -> None:
        connection = await self._uplinks.acquire_pinned(client.session.key)
        self._connections[client] = connection

    async def _copy(self, client: ClientProtocol) -> None:
        connection = self._connections.pop(client, None)
        if connection is None or not connection.alive or _key(connection) != client.session.key:
            connection = await self._uplinks.acquire_pinned(client.session.key)
        subscription = client.subscription
        if subscription is None or client.closed:
            connection.abort()
            return
        copy = await subscription.copy_to(connection)
        await subscription.last_messages()
        self._copies[client] = copy

    def change_over(self) -> None:
        """Let the clients go on at the new server."""
        for client, copy in self._copies.items():
            if client.closed or client.subscription is None or not copy.connection.alive:
                copy.connection.holder = None
                copy.connection.abort()
            else:
                client.route.adopt(copy.connection, copy)
        for connection in self._connections.values():
            self._uplinks.give_back(connection)
        self._copies.clear()
        self._connections.clear()


def _key(connection: Any) -> tuple[int, int]:
    return connection.db, connection.resp_version
