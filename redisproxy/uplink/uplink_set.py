"""What the rest of the proxy uses of one Redis server: connections for its clients, and supervision of them."""

from __future__ import annotations

import random
from collections.abc import Callable

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger

from redisproxy.forwarding.interfaces import Key
from redisproxy.net.errors import UplinkMoved
from redisproxy.uplink.busy_probe import BusyProbe
from redisproxy.uplink.connection import UplinkConnection
from redisproxy.uplink.context import UplinkContext
from redisproxy.uplink.head_of_line import HeadOfLineWatch
from redisproxy.uplink.login import CredentialSource
from redisproxy.uplink.opener import Connect
from redisproxy.uplink.own_commands import OwnCommands
from redisproxy.uplink.pool import ConnectionPool
from redisproxy.uplink.reauthentication import Reauthentication
from redisproxy.uplink.registry import ConnectionRegistry
from redisproxy.uplink.urgent_commands import UrgentCommands
from redisproxy.uplink.warm_up import WarmUp


class UplinkSet:
    """All connections to one Redis server.

    @param connect, jitter: see L{ConnectionOpener}.
    @ivar registry: the connections that are open.
    @ivar shared_connections, pinned_connections: those of the pool.
    @ivar own_commands: sends commands of the proxy's own.
    @ivar warm_up: opens connections before clients need them.
    @ivar busy_probe: knows whether the server runs a script.
    @ivar head_of_line: sees that nobody waits behind another client for long.
    """

    log = Logger(namespace="redisproxy.uplink")

    def __init__(
        self,
        connect: Connect,
        source: CredentialSource,
        context: UplinkContext,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.context = context
        self.registry = ConnectionRegistry(context.metrics)
        self._urgent = UrgentCommands(context, connect, source)
        self._pool = pool = ConnectionPool(context, self.registry, connect, source, jitter)
        self.shared_connections, self.pinned_connections = pool.shared, pool.pinned
        self.own_commands = OwnCommands(pool.acquire_shared)
        self.warm_up = WarmUp(pool, self.own_commands)
        self.busy_probe = BusyProbe(context.name, self.urgent)
        self._reauthentication = Reauthentication(self.registry, source, context)
        self.head_of_line = HeadOfLineWatch(self.registry, pool.shared, pool.opener.open_another, self.busy_probe)

    # -- for clients

    def shared(self, key: Key) -> UplinkConnection | None:
        """The shared connection for `key` if it takes commands right now."""
        return self.shared_connections.get(key)

    def acquire_shared(self, key: Key) -> Deferred[UplinkConnection]:
        """Fire with the shared connection for `key` once there is one.

        Fails with L{DatabaseRefused}, L{UplinkUnavailable} after the wait limit, L{UplinkMoved}. Can be cancelled.
        """
        return self._pool.acquire_shared(key)

    def acquire_pinned(self, key: Key) -> Deferred[UplinkConnection]:
        """Fire with a connection of the caller's own, set to `key`; it sets C{holder} and gives it back.

        Fails and can be cancelled like L{acquire_shared}.
        """
        return self._pool.acquire(key, pinned=True)

    def acquire_dedicated(self, key: Key) -> Deferred[UplinkConnection]:
        """Like L{acquire_pinned}, for a caller that can do without: it fails as soon as there is none to be had."""
        return self._pool.acquire(key, pinned=True, patient=False)

    def give_back(self, connection: UplinkConnection) -> None:
        """Take back a pinned connection that holds no state; one with replies outstanding is closed."""
        self._pool.give_back(connection)

    def retire(self, connection: UplinkConnection) -> None:
        """Send nothing new on a shared connection; what is in flight there is still answered, then it is closed."""
        self._pool.retire(connection)

    def urgent(self, data: bytes, resp_version: int) -> Deferred[bytes]:
        """Send one command on a connection made for it, whatever others wait for; fire with the reply as it came.

        Fails with L{UplinkError}.
        """
        if self.closed:
            return fail(UplinkMoved("this uplink has been left"))
        return self._urgent.send(data, resp_version)

    @property
    def crowded(self) -> bool:
        """See L{PinnedConnections.crowded}."""
        return self.pinned_connections.crowded

    @property
    def short(self) -> bool:
        """Whether there are no more connections for single clients to be had now."""
        return self._pool.short

    # -- what is known of the server

    @property
    def server(self) -> dict[bytes, object]:
        """The server's answer to HELLO; empty before the first login and with servers that do not know HELLO."""
        return self._pool.opener.server

    @property
    def last_error(self) -> str:
        """Why the last attempt to connect failed; empty since one succeeded."""
        return self._pool.opener.last_error

    # -- supervision

    def tick(self, now: float) -> None:
        """Close what has been idle too long; to be called about once a second."""
        self.pinned_connections.close_unused(now)
        self._reauthentication.tick(now)

    def ping(self, now: float) -> None:
        """Close what hangs; to be called about once a second.

        @param now: on a clock that runs when this process does.
        """
        if self.context.limits.ping_interval_s:
            for connection in self.registry.ping(now, self.context.limits):
                self._pool.opener.last_error = "the server does not answer PING"
                self.log.warn("{name}: {error}; reconnecting", name=self.context.name, error=self.last_error)
                connection.abort()

    @property
    def closed(self) -> bool:
        """Whether this server has been left."""
        return self._pool.closed

    def close(self) -> None:
        """Leave this server: refuse what waits, close every connection (what is in flight is lost), open no more."""
        self._pool.close()
        self._urgent.close()
        self._reauthentication.close()
        self.registry.close()

    def stop(self) -> None:
        """Close, and do not even wait for what L{urgent} has sent."""
        self.close()
        self._urgent.stop()

    @property
    def quiet(self) -> bool:
        """Whether there is nothing left that L{stop} would end after L{close}."""
        return not self._urgent
