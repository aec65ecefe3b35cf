"""Taking clients in from another data plane, which goes on with them where that one has stopped.

It is the L{handover.Target} in this process. What a client has at the server is made on a connection of this data plane
before its socket comes, so that it never waits for that.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import TimeoutError, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from redisproxy.client.message_stream import MessageStream
from redisproxy.client.session_value import ClientValue, InvalidState, from_bytes
from redisproxy.dataplane.values import HandedClient, HandoverRefused
from redisproxy.dataplane.watches import made_besides
from redisproxy.handlers.monitor import monitoring_at
from redisproxy.handlers.stream_marker import begin_cut, cut_for
from redisproxy.handlers.subscription import subscribed_at
from redisproxy.net.detached import DetachedSocket
from redisproxy.net.errors import UplinkError, UplinkUnavailable
from redisproxy.serving import ClientFactory
from redisproxy.serving.arriving import Arriving


class Adoption:
    """Takes clients in.

    @param factory_of: the factory of the listener with this name; None when there is no such listener.
    @param network: makes transports of sockets; see C{net.transports.Network.adopt}.
    @param timeout_s: for what a client has at the server.
    """

    def __init__(
        self, factory_of: Callable[[str], ClientFactory | None], network: Any, clock: IReactorTime, timeout_s: float
    ) -> None:
        self._factory_of = factory_of
        self._network = network
        self._clock = clock
        self._timeout_s = timeout_s
        self._coming: dict[int, tuple[Arriving, Any]] = {}

    @property
    def expected(self) -> int:
        """How many clients are on their way here."""
        return len(self._coming)

    async def prepare(self, state: bytes, marker: bytes) -> None:
        """Part of L{handover.Target}."""
        value = _read(state)
        arriving = self._begin(value)
        making = ensureDeferred(self._make(arriving, value, marker))
        try:
            await making.addTimeout(self._timeout_s, self._clock)
        except (UplinkError, TimeoutError) as error:
            self._forget(arriving)
            why = "the server does not answer" if isinstance(error, TimeoutError) else str(error)
            raise HandoverRefused(f"what it has at the server can't be made again: {why}") from error
        except BaseException:
            self._forget(arriving)
            raise

    async def take(self, client: HandedClient) -> None:
        """Like L{adopt}, but the descriptor is closed when the client is refused."""
        try:
            await self.adopt(client.state, client.descriptor)
        except BaseException:
            os.close(client.descriptor)
            raise

    async def adopt(self, state: bytes, fd: int) -> None:
        """Part of L{handover.Target}."""
        value = _read(state)
        if value.id not in self._coming:
            self._begin(value)
        arriving, protocol = self._coming[value.id]
        if value.needs_connection and (arriving.connection is None or not arriving.connection.alive):
            self.abandon(value.id)
            raise HandoverRefused("the connection on which it was to go on is lost")
        arriving.take_in(value)
        try:
            self._network.adopt(DetachedSocket(fd, b"", value.unsent), lambda: protocol)
        except (OSError, ValueError) as error:
            self.abandon(value.id)
            raise HandoverRefused(f"its socket can't be used: {error}") from error
        del self._coming[value.id]
        arriving.client.core.metrics.clients.taken_in_total += 1
        try:
            arriving.go_on(value)
        except Exception:
            arriving.client.closing.crashed(Failure())

    def abandon(self, client_id: int) -> None:
        """Part of L{handover.Target}."""
        coming = self._coming.get(client_id)
        if coming is not None:
            self._forget(coming[0])

    def _forget(self, arriving: Arriving) -> None:
        """Leave nothing of this one; another one with its id may be coming."""
        arriving.give_up()
        client = arriving.client
        if self._coming.get(client.id, (None,))[0] is arriving:
            del self._coming[client.id]
            client.registry.unreserve(client.id)

    def _begin(self, value: ClientValue) -> Arriving:
        factory = self._factory_of(value.listener)
        if factory is None:
            raise HandoverRefused(f"there is no listener {value.listener!r} here")
        if factory.registry.full:
            raise HandoverRefused("there are as many clients as there may be (limits.max_clients)")
        protocol = factory.protocol_of_new_client()
        arriving = Arriving(protocol.client, value)
        if not factory.registry.reserve(value.id):
            raise HandoverRefused(f"there is a client with the id {value.id} already")
        self._coming[value.id] = arriving, protocol
        return arriving

    async def _make(self, arriving: Arriving, value: ClientValue, marker: bytes) -> None:
        """Make at the server what the client has there."""
        client = arriving.client
        connection = await client.core.uplinks.acquire_pinned(client.session.key)
        if self._coming.get(value.id, (None,))[0] is not arriving:
            connection.uplinks.give_back(connection)
            return
        arriving.connection, connection.holder = connection, arriving
        subscription, session = value.subscription, client.session
        if subscription is not None:
            arriving.stream = await self._stream(arriving, value, marker)
        elif session.tracking is not None:
            arriving.stream = await subscribed_at(client, connection, {})
        transaction = session.transaction
        queue = transaction is not None and not transaction.dead
        watch = value.session.watching
        if watch or (queue and arriving.stream is not None):
            if not await made_besides(client, connection, watch):
                raise UplinkUnavailable("the server does not take its WATCH or its MULTI")
            arriving.with_watch, arriving.with_transaction = watch, queue
        connection.holder = arriving

    async def _stream(self, arriving: Arriving, value: ClientValue, text: bytes) -> MessageStream:
        client, connection, subscription = arriving.client, arriving.connection, value.subscription
        assert connection is not None and subscription is not None
        cut, marker = cut_for(client, text, subscription.monitor, is_old=False)
        if subscription.monitor:
            stream: MessageStream = await monitoring_at(client, connection, None)
        else:
            stream = await subscribed_at(client, connection, subscription.by_prefix)
        await begin_cut(stream, cut, marker)
        return stream


def _read(state: bytes) -> ClientValue:
    try:
        return from_bytes(state)
    except InvalidState as error:
        raise HandoverRefused(str(error)) from error
