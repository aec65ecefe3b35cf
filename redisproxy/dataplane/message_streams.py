"""Connections that bring messages, made again at the new server while the gate is closed.

They are those of subscribers, of clients with CLIENT TRACKING on (invalidations), and of those that MONITOR.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from redisproxy.net.deferreds import all_settled
from redisproxy.net.errors import UplinkUnavailable

if TYPE_CHECKING:
    from redisproxy.client import Client
    from redisproxy.client.message_stream import MessageStream
    from redisproxy.shared.registry import ClientRegistry
    from redisproxy.uplink import UplinkSet
    from redisproxy.uplink.connection import UplinkConnection


AHEAD_AT_ONCE = 25


class MessageStreams:
    """Moves the clients that have such a connection.

    What happens to one that can't be moved is C{Subscription.connection_lost}'s business.

    @param timeout_s: for each of them.
    """

    log = Logger(namespace="redisproxy.switch")

    def __init__(
        self, registry: ClientRegistry[Client], uplinks: UplinkSet, clock: IReactorTime, timeout_s: float
    ) -> None:
        self._registry = registry
        self._uplinks = uplinks
        self._clock = clock
        self._timeout_s = timeout_s
        self._connections: dict[Client, Any] = {}
        self._ahead: dict[Client, MessageStream] = {}
        self._copies: dict[Client, MessageStream] = {}

    async def open(self) -> None:
        """Open the connections that will be needed; before the gate is closed, because it takes time."""
        await self._all([client for client in self._registry if client.route.stream is not None], self._open)

    async def go_ahead(self) -> None:
        """Have the new server track already for clients without subscriptions, of which nothing counts yet.

        A few at a time, so that clients at work hardly notice.
        """
        ready = list(self._connections)
        for at in range(0, len(ready), AHEAD_AT_ONCE):
            await self._all(ready[at : at + AHEAD_AT_ONCE], self._go_ahead)

    async def copy(self) -> None:
        """Have the new server send the same, then have the old one's last messages passed on. The gate is closed."""
        self._take_those_ahead()
        left = [client for client in self._registry if client.route.stream is not None and client not in self._copies]
        await self._all(left, self._copy)

    async def _all(self, clients: list[Client], work: Any) -> None:
        works = [ensureDeferred(work(client)).addTimeout(self._timeout_s, self._clock) for client in clients]
        results = await all_settled(works)
        reasons = Counter(value.getErrorMessage() or value.type.__name__ for good, value in results if not good)
        for why, count in reasons.items():
            self.log.warn("{count} clients that get messages can't be moved: {why}", count=count, why=why)

    async def _open(self, client: Client) -> None:
        connection = await self._uplinks.acquire_pinned(client.session.key)
        self._connections[client] = connection

    async def _go_ahead(self, client: Client) -> None:
        connection, subscription = self._connections[client], client.route.stream
        if subscription is None or subscription or not connection.alive or _key(connection) != client.session.key:
            return
        del self._connections[client]
        try:
            self._ahead[client] = await subscription.copy_to(connection)
        except BaseException:
            connection.abort()
            raise

    def _take_those_ahead(self) -> None:
        for client, copy in self._ahead.items():
            if _is_as_asked(client, copy):
                self._copies[client] = copy
            else:
                copy.connection.abort()
        self._ahead.clear()

    async def _copy(self, client: Client) -> None:
        connection = self._connections.pop(client, None)
        if connection is None or not connection.alive or _key(connection) != client.session.key:
            if connection is not None:
                self._uplinks.give_back(connection)
            connection = await self._acquire(client)
        subscription = client.route.stream
        if subscription is None or client.closed:
            connection.abort()
            return
        try:
            copy = await subscription.copy_to(connection)
            if subscription:
                await subscription.last_messages()  # not in a MULTI, which a subscriber can't have
        except BaseException:
            connection.abort()
            raise
        self._copies[client] = copy

    def _acquire(self, client: Client) -> Deferred[UplinkConnection]:
        """One more connection. Nobody gives any back while the gate is closed, so nobody waits for that."""
        if self._uplinks.pinned_connections.exhausted:
            return fail(UplinkUnavailable(self._uplinks.pinned_connections.all_taken))
        return self._uplinks.acquire_pinned(client.session.key)

    def connections(self) -> dict[Client, Any]:
        """Where the clients will go on."""
        return {client: copy.connection for client, copy in self._copies.items()}

    def change_over(self, renewed: Mapping[Client, bool]) -> None:
        """Let the clients go on at the new server.

        @param renewed: those whose WATCH or MULTI has been made again there, and whether that was a WATCH.
        """
        for client, copy in self._copies.items():
            if client.closed or not copy.connection.alive or not _can_leave(client.route.stream):
                copy.connection.holder = None
                copy.connection.abort()
                continue
            client.route.adopt(copy.connection, copy)
            if client not in renewed:
                client.session.leave_behind()
            elif not renewed[client] and client.session.watching:
                client.session.lose_watch()
        for connection in self._connections.values():
            self._uplinks.give_back(connection)
        self._copies.clear()
        self._connections.clear()


def _can_leave(subscription: MessageStream | None) -> bool:
    """Whether the old connection is not in the middle of a message, whose end the client would never get."""
    return subscription is not None and not subscription.mid_message


def _is_as_asked(client: Client, copy: MessageStream) -> bool:
    """Whether the client still has just what was asked for at the new server."""
    tracking, here = client.session.tracking, client.route.stream
    if client.closed or tracking is None or here is None or here or not copy.connection.alive:
        return False
    return _key(copy.connection) == client.session.key and copy.asked == tracking.commands()


def _key(connection: Any) -> tuple[int, int]:
    return connection.db, connection.resp_version
