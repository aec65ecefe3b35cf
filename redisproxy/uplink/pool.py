"""The pool of connections to one Redis server: who wants one gets a shared, a spare or a new one."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.forwarding.interfaces import Key
from redisproxy.net.errors import DatabaseRefused, ServerBusy, UplinkMoved, UplinkUnavailable
from redisproxy.uplink.checkout import Checkout
from redisproxy.uplink.connection import UplinkConnection
from redisproxy.uplink.context import UplinkContext
from redisproxy.uplink.login import CredentialSource
from redisproxy.uplink.opener import Connect, ConnectionOpener
from redisproxy.uplink.pinned_connections import MOST_SPARE, PinnedConnections
from redisproxy.uplink.registry import ConnectionRegistry
from redisproxy.uplink.shared_connections import SharedConnections
from redisproxy.uplink.wait_queue import WaitQueue

MAX_OPENING = 64


class ConnectionPool:
    """Brings together who waits, what there is, and what is being opened. It is what C{connection.uplinks} names.

    @param connect, jitter: see L{ConnectionOpener}.
    @ivar fail_fast: until a connection has been opened, the first failure is the answer to everybody who waits.
    """

    log = Logger(namespace="redisproxy.uplink")

    def __init__(
        self,
        context: UplinkContext,
        registry: ConnectionRegistry,
        connect: Connect,
        source: CredentialSource,
        jitter: Callable[[float, float], float],
    ) -> None:
        self.context = context
        self.closed = False
        self.fail_fast = False
        self.requests = WaitQueue(context.clock, context.limits.wait_limit_s, self._cause, context.metrics.uplink.waits)
        self.shared = SharedConnections(self.requests)
        self.pinned = PinnedConnections(context.name, context.limits.max_pinned)
        self.opener = ConnectionOpener(self, connect, source, jitter)
        self._registry = registry
        self._checkout = Checkout(self.requests, self.pinned, self._serve_soon)
        self._is_connected = False

    # -- for who wants a connection

    def acquire(self, key: Key, pinned: bool, patient: bool = True) -> Deferred[UplinkConnection]:
        """Fire with a connection set to `key`. Who is not `patient` can do without one.

        Fails with L{DatabaseRefused}, L{UplinkUnavailable} after the wait limit, L{UplinkMoved}. Can be cancelled.
        """
        if self.closed:
            return fail(UplinkMoved("this uplink has been left"))
        request = self.requests.add(key, pinned, patient)
        self.serve()
        self._refuse_impatient()
        return request.answer

    def acquire_shared(self, key: Key) -> Deferred[UplinkConnection]:
        """Like L{acquire}, for the shared one."""
        return self.acquire(key, pinned=False)

    def give_back(self, connection: UplinkConnection) -> None:
        """Take back a pinned connection that holds no state; one with replies outstanding is closed."""
        connection.holder = None
        if not connection.alive:
            return
        if self.closed or connection.outstanding or self.pinned.spare >= MOST_SPARE:
            connection.abort() if connection.outstanding else connection.close()
            return
        self.pinned.keep(connection, self.context.clock.seconds())
        if self.requests:
            self.context.end_of_turn(self.serve)

    def retire(self, connection: UplinkConnection) -> None:
        """Send nothing new on a shared connection; what is in flight there is still answered, then it is closed."""
        self.shared.remove(connection)
        connection.retire()

    @property
    def short(self) -> bool:
        """Whether there are no more connections for single clients to be had now."""
        return not self.pinned.spare and (self.pinned.full or not self.opener.may_open)

    def _cause(self) -> str:
        if self.opener.last_error:
            return self.opener.last_error
        return self.pinned.all_taken if self.pinned.full else "no connection became free in time"

    def _refuse_impatient(self) -> None:
        if self.requests.pinned_count and self.short:
            self.requests.refuse_impatient(self.opener.pinned_count, UplinkUnavailable(self._cause()))

    # -- serving who waits

    def serve(self) -> None:
        """Hand out what there is, and open what is missing."""
        self.shared.serve()
        self._checkout.serve()
        if self.requests and self.opener.may_open:
            for key in self.requests.shared_keys():
                self.opener.open_shared(key)
            self._open_pinned()

    def _serve_soon(self) -> None:
        if not self.closed:
            self.context.end_of_turn(self.serve)

    def _open_pinned(self) -> None:
        if self.requests.pinned_count:
            self.pinned.warn_when_full(self.context.clock.seconds())
            opening = self.opener.pinned_count
            room = max(0, min(MAX_OPENING - opening, self.pinned.room))
            self.opener.open_pinned(self.requests.pinned_keys(opening, opening + room))

    # -- opener.Owner

    @property
    def has_connection(self) -> bool:
        """Part of L{opener.Owner}."""
        return self._registry.connected

    def opening(self, connection: UplinkConnection, pinned: bool) -> None:
        """Part of L{opener.Owner}."""
        if pinned:
            self.pinned.add(connection)

    def connection_made(self, connection: UplinkConnection) -> None:
        """Part of L{connection.Owner}."""
        if self.opener.is_wanted(connection):
            self._registry.add(connection)
            self.opener.log_in(connection)
        else:
            connection.abort()

    def opened(self, connection: UplinkConnection, key: Key, pinned: bool) -> None:
        """Part of L{opener.Owner}."""
        self.fail_fast = False
        if not self._is_connected:
            self._is_connected = True
            self.log.info("{name}: connected", name=self.context.name)
        now = self.context.clock.seconds()
        if pinned:
            self.pinned.keep(connection, now)
        else:
            self.shared.add(key, connection, now)
        self.serve()

    def refused(self, key: Key, pinned: bool, error: DatabaseRefused | ServerBusy) -> None:
        """Part of L{opener.Owner}."""
        self.requests.refuse_key(key, pinned, error)

    def not_opened(self, connection: UplinkConnection) -> None:
        """Part of L{opener.Owner}."""
        self.pinned.remove(connection)

    def unreachable(self, why: str) -> None:
        """Part of L{opener.Owner}."""
        self.context.metrics.uplink.failures_total += 1
        if self.fail_fast:
            self.requests.refuse_all(UplinkUnavailable(why))
        self._refuse_impatient()

    def connection_lost(self, connection: UplinkConnection, reason: Failure) -> None:
        """Part of L{connection.Owner}."""
        self._registry.remove(connection)
        if self._is_connected and not self.has_connection and not self.closed:
            self._is_connected = False
            self.log.warn("{name}: lost ({why})", name=self.context.name, why=reason.getErrorMessage())
        self.opener.lost(connection)
        self.pinned.remove(connection)
        self.shared.remove(connection)
        if self.requests:
            self._serve_soon()

    def close(self) -> None:
        """Refuse what waits, and open no more."""
        self.closed = True
        self.requests.refuse_all(UplinkMoved("this uplink has been left"))
        self.opener.close()
