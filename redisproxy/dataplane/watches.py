"""WATCHes across a switchover: it is proven at the old server which of them hold, and they are made again.

An open MULTI of a client whose connection brings messages is queued again as well, because its connection is replaced
while the gate is closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime

from redisproxy.forwarding.collector import Collector
from redisproxy.net.deferreds import all_settled
from redisproxy.resp import encode_command

if TYPE_CHECKING:
    from redisproxy.client import Client
    from redisproxy.shared.registry import ClientRegistry
    from redisproxy.uplink import UplinkSet

OK, QUEUED = b"OK", b"QUEUED"
NO_KEY, NO_TIME_TO_LIVE = -2, -1


class Watches:
    """Renews WATCHes of which it is proven that no watched key has changed.

    The proof is Redis's own word. Outside of MULTI: an empty transaction on the client's connection, which EXEC runs
    only if nothing has changed. With a MULTI open, that connection can only queue, so another one asks: CLIENT LIST has
    the flag C{d} when a watched key was touched. Either holds for as long as nobody can write, so only behind a fence.
    A key with a time to live proves nothing, because it may expire in between. Without a proof the next EXEC answers
    nil, as if a key had changed.
    """

    def __init__(
        self, registry: ClientRegistry[Client], uplinks: UplinkSet, clock: IReactorTime, timeout_s: float
    ) -> None:
        self._registry = registry
        self._uplinks = uplinks
        self._clock = clock
        self._timeout_s = timeout_s
        self._proven: list[Client] = []
        self._renewed: dict[Client, Any] = {}
        self._on_copies: dict[Client, bool] = {}

    async def prove(self) -> None:
        """See which WATCHes still hold. The gate is closed, nothing is in flight, and the server takes no writes."""
        clients = [client for client in self._registry if client.route.pinned and _may_be_proven(client)]
        await self._all([self._prove(client) for client in clients])

    async def _prove(self, client: Client) -> None:
        by_exec = client.session.transaction is None
        try:
            proven = await (_proof_by_exec if by_exec else _proof_by_flag)(client)
        except CancelledError:
            if by_exec:
                _lose(client)  # it may have been touched, and is made again in this moment
            raise
        if proven and not client.closed and client.session.watching:
            self._proven.append(client)
        elif proven is False and by_exec:
            _lose(client)

    async def renew(self, copies: Mapping[Client, Any]) -> None:
        """WATCH again at the new server, before anybody can write there, and queue again what was queued.

        @param copies: connections at the new server that clients will go on with anyway.
        """
        proven, self._proven = self._proven, []
        alone = [client for client in proven if client.route.stream is None]
        held = [client for client in copies if client in proven or client.session.transaction is not None]
        again = [self._renew_on(copies[client], client, client in proven) for client in held]
        await self._all([*(self._renew(client) for client in alone), *again])

    async def _renew(self, client: Client) -> None:
        connection = await self._uplinks.acquire_pinned(client.session.key)
        connection.holder = _Nobody()
        if await _made_again(client, connection, watch=True) and client.session.watching and not client.closed:
            self._renewed[client] = connection
        else:
            connection.abort()

    async def _renew_on(self, connection: Any, client: Client, watch: bool) -> None:
        transaction = client.session.transaction
        if not watch and (transaction is None or transaction.dead or not transaction.replayable):
            return
        try:
            made = await _made_again(client, connection, watch)
            clean = made or await _forgotten(connection)
        except CancelledError:
            connection.abort()
            raise
        if made:
            self._on_copies[client] = watch
        elif not clean:
            connection.abort()

    async def _all(self, works: list[Any]) -> None:
        running = [ensureDeferred(work).addTimeout(self._timeout_s, self._clock) for work in works]
        await all_settled(running)

    @property
    def on_copies(self) -> dict[Client, bool]:
        """Whose state was made again on a copy, and whether that was a WATCH."""
        return self._on_copies

    def change_over(self) -> None:
        """Let the clients go on at the new server that are not on copies."""
        for client, connection in self._renewed.items():
            if client.closed or not client.session.watching or not connection.alive:
                connection.abort()
            else:
                client.route.adopt(connection)
        self._renewed.clear()


class _Nobody:
    pingable = takes_auth = False

    def uplink_gone(self) -> None:
        """Part of C{PinHolder}; who waits for replies hears of it."""


async def _made_again(client: Client, connection: Any, watch: bool) -> bool:
    """Send what the client has at its old connection: its WATCH, if asked for, and its MULTI, if one is open."""
    session = client.session
    wanted, data = [], b""
    if watch:
        wanted, data = [OK], encode_command("WATCH", *(session.watched or ()))
    transaction = session.transaction
    if transaction is not None:
        queued, count = transaction.replay()
        data += queued
        wanted += [OK] * (count - transaction.count) + [QUEUED] * transaction.count
    return await _answers(connection, data, len(wanted)) == wanted


async def made_besides(client: Client, connection: Any, watch: bool) -> bool:
    """Make the client's WATCH, if asked for, and its MULTI, if one is open, at another connection to the same server.

    What the server has refused to queue it refuses again, and EXEC fails at both connections.
    """
    transaction = client.session.transaction
    data, count = (b"", 0) if transaction is None else transaction.replay()
    begins = count + watch - (0 if transaction is None else transaction.count)
    if watch:
        data = encode_command("WATCH", *(client.session.watched or ())) + data
    replies = await _answers(connection, data, count + watch)
    return replies is not None and replies[:begins] == [OK] * begins


async def still_holds(client: Client, by_exec: bool) -> bool | None:
    """Whether no key has changed that the client watches; None when there is no answer.

    For a client whose WATCH was made at another connection to the same server before: who changes a key later, or lets
    it expire, is seen there.

    @param by_exec: no MULTI is open; the WATCH ends with the proof.
    """
    if not by_exec:
        return await _proof_by_flag(client, same_server=True)
    replies = await _answers(client.route.connection, encode_command("MULTI") + encode_command("EXEC"), 2)
    return None if replies is None else replies[0] == OK and isinstance(replies[1], list)


async def _forgotten(connection: Any) -> bool:
    """Have the server forget what was made again in part, so that the client can go on there without it."""
    return await _answers(connection, encode_command("DISCARD") + encode_command("UNWATCH"), 2) is not None


def _may_be_proven(client: Client) -> bool:
    session, transaction = client.session, client.session.transaction
    idle = client.route.connection is not None and client.route.connection.alive and not client.lane.pending
    queued_again = transaction is None or (transaction.replayable and not transaction.dead and not transaction.lost)
    # A subscriber changes over with its subscriptions and without its WATCHes.
    return bool(idle and not session.subscribed and session.watching and session.watched and queued_again)


def _lose(client: Client) -> None:
    if client.session.watching and not client.closed:
        client.session.lose_watch()
        if client.route.stream is None:
            client.route.leave()


async def _proof_by_exec(client: Client) -> bool | None:
    """None when there is no answer. The WATCH ends, and is made again."""
    keys, connection = client.session.watched or (), client.route.connection
    times = [encode_command("PTTL", key) for key in keys]
    commands = [encode_command("MULTI"), *times, encode_command("EXEC"), encode_command("WATCH", *keys)]
    replies = await _answers(connection, b"".join(commands), len(commands))
    if replies is None:
        return None
    executed = replies[-2]
    ran = isinstance(executed, list) and all(time in (NO_KEY, NO_TIME_TO_LIVE) for time in executed)
    return ran and replies[-1] == OK


async def _proof_by_flag(client: Client, same_server: bool = False) -> bool | None:
    """None when there is no answer.

    @param same_server: the WATCH was made again, so that a key may expire later, but must not have done so before.

    A key that has expired is gone for PTTL while it is still in memory and its WATCH not touched: MEMORY USAGE tells.
    """
    keys, connection = client.session.watched or (), client.route.connection
    assert connection is not None
    if connection.server_id is None:
        return False
    asking = await connection.uplinks.acquire_shared((client.session.db, 2))
    times = [encode_command("PTTL", key) for key in keys]
    sizes = [encode_command("MEMORY", "USAGE", key, "SAMPLES", 1) for key in keys]
    commands = [*times, *sizes, encode_command("CLIENT", "LIST", "ID", connection.server_id)]
    replies = await _answers(asking, b"".join(commands), len(commands))
    if replies is None:
        return None
    pairs = zip(replies[: len(keys)], replies[len(keys) : -1], strict=True)
    lasting = all(
        time == NO_TIME_TO_LIVE
        or (time == NO_KEY and size is None)
        or (same_server and isinstance(time, int) and time >= 0)
        for time, size in pairs
    )
    return lasting and _watches_untouched(replies[-1])


def _watches_untouched(listed: object) -> bool:
    """Whether this line of CLIENT LIST is of a connection with a transaction that nothing has touched."""
    words = listed.split() if isinstance(listed, bytes) else []
    flags = next((word[6:] for word in words if word.startswith(b"flags=")), b"")
    return b"x" in flags and b"d" not in flags


async def _answers(connection: Any, data: bytes, count: int) -> list[object] | None:
    """The replies to `count` commands of the proxy's own on this connection; None when it was lost."""
    answered: Deferred[list[object] | None] = Deferred()

    def done(replies: list[object] | None) -> None:
        if not answered.called:
            answered.callback(replies)

    connection.submit_own(Collector(count, done), data, count)
    return await answered
