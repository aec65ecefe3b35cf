"""What clients have at the old server that is not data, made again at the new one while the gate is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from redisproxy.client.pubsub import Subscription
from redisproxy.resp import encode_command
from redisproxy.sinks import Collector

if TYPE_CHECKING:
    from redisproxy.client import ClientProtocol
    from redisproxy.registry import ClientRegistry
    from redisproxy.uplink import UplinkSet


class Watches:
    """Renews WATCHes of which it is proven that no watched key has changed.

    The proof is Redis's own word: an empty transaction on the client's connection, which EXEC runs only if nothing has
    changed. It holds for as long as nobody can write, so only behind a fence. A key with a time to live proves nothing,
    because it may expire in between. Without a proof the next EXEC answers nil, as if a key had changed.
    """

    def __init__(self, registry: ClientRegistry, uplinks: UplinkSet, clock: IReactorTime, timeout_s: float) -> None:
        self._registry = registry
        self._uplinks = uplinks
        self._clock = clock
        self._timeout_s = timeout_s
        self._proven: list[ClientProtocol] = []
        self._renewed: dict[ClientProtocol, Any] = {}

    async def prove(self) -> None:
        """See which WATCHes still hold. The gate is closed, nothing is in flight, and the server takes no writes."""
        clients = [client for client in self._registry if client.pinned and _may_be_proven(client)]
        await self._all([self._prove(client) for client in clients])

    async def _prove(self, client: ClientProtocol) -> None:
        keys, connection = client.session.watched or [], client.connection
        assert connection is not None
        times = [encode_command("PTTL", key) for key in keys]
        commands = [encode_command("MULTI"), *times, encode_command("EXEC"), encode_command("WATCH", *keys)]
        replies = await _answers(connection, commands)
        if replies is None or client.closed or not client.session.watching:
            return
        executed = replies[-2]
        if isinstance(executed, list) and replies[-1] == b"OK" and all(time in (-1, -2) for time in executed):
            self._proven.append(client)
        else:
            client.session.lose_watch()
            client.leave()

    async def renew(self) -> None:
        """WATCH again at the new server, before anybody can write there."""
        proven, self._proven = self._proven, []
        await self._all([self._renew(client) for client in proven])

    async def _renew(self, client: ClientProtocol) -> None:
        connection = await self._uplinks.acquire_pinned(client.session.key)
        connection.holder = _Nobody()
        replies = await _answers(connection, [encode_command("WATCH", *(client.session.watched or []))])
        if replies == [b"OK"] and client.session.watching and not client.closed:
            self._renewed[client] = connection
        else:
            connection.abort()

    async def _all(self, works: list[Any]) -> None:
        running = [ensureDeferred(work).addTimeout(self._timeout_s, self._clock) for work in works]
        await DeferredList(running, consumeErrors=True)

    def change_over(self) -> None:
        """Let the clients go on at the new server."""
        for client, connection in self._renewed.items():
            if client.closed or not client.session.watching or not connection.alive:
                connection.abort()
            else:
                client.adopt(connection)
        self._renewed.clear()


class _Nobody:
    def uplink_gone(self) -> None:
        """Part of C{Holder}; who waits for replies hears of it."""


def _may_be_proven(client: ClientProtocol) -> bool:
    session = client.session
    idle = client.connection is not None and client.connection.alive and not client.pending
    return bool(idle and session.watching and session.watched and session.transaction is None)


async def _answers(connection: Any, commands: list[bytes]) -> list[object] | None:
    """The replies to commands of the proxy's own on this connection; None when it was lost."""
    answered: Deferred[list[object] | None] = Deferred()

    def done(replies: list[object] | None) -> None:
        if not answered.called:
            answered.callback(replies)

    connection.submit_own(Collector(len(commands), done), b"".join(commands), len(commands))
    return await answered


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
        results = await DeferredList(works, consumeErrors=True)
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
                client.adopt(copy.connection, copy)
        for connection in self._connections.values():
            self._uplinks.give_back(connection)
        self._copies.clear()
        self._connections.clear()


def _key(connection: Any) -> tuple[int, int]:
    return connection.db, connection.resp_version
