"""Opening connections to one Redis server: connect, log in, and after a failure wait before the next attempt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.forwarding.interfaces import Key
from redisproxy.net.errors import DatabaseRefused, ServerBusy, UplinkError
from redisproxy.uplink.backoff import Backoff
from redisproxy.uplink.connection import Owner as ConnectionOwner
from redisproxy.uplink.connection import UplinkConnection
from redisproxy.uplink.login import Credentials, CredentialSource, Login

Connect = Callable[[Callable[[], IProtocol]], "Deferred[IProtocol]"]


class Owner(ConnectionOwner, Protocol):
    """Who wants the connections.

    @ivar has_connection: there is one that is logged in.
    """

    @property
    def has_connection(self) -> bool: ...

    def opening(self, connection: UplinkConnection, pinned: bool) -> None:
        """An attempt begins."""

    def opened(self, connection: UplinkConnection, key: Key, pinned: bool) -> None:
        """The connection is logged in, and free."""

    def refused(self, key: Key, pinned: bool, error: DatabaseRefused | ServerBusy) -> None:
        """The server does not let anybody into this database now; that is the answer to who wants to go there."""

    def not_opened(self, connection: UplinkConnection) -> None:
        """There will be no such connection: it could not even be made."""

    def unreachable(self, why: str) -> None:
        """An attempt has failed; L{serve} comes when it is time for the next one."""

    def serve(self) -> None:
        """Open what is missing."""


class ConnectionOpener:
    """Everything that is on its way to be a connection.

    @param connect: opens one transport for the protocol that the given callable makes.
    @param source: is asked for each login, before it connects.
    @param jitter: see L{Backoff}.
    @ivar server: the server's last answer to HELLO; empty before the first login and with servers that do not know it.
    @ivar last_error: why the last attempt failed; empty since one succeeded.
    """

    log = Logger(namespace="redisproxy.uplink")

    def __init__(
        self, owner: Owner, connect: Connect, source: CredentialSource, jitter: Callable[[float, float], float]
    ) -> None:
        self.server: dict[bytes, object] = {}
        self.last_error = ""
        self._owner = owner
        self._connect = connect
        self._source = source
        self._backoff = Backoff(owner.context.clock, owner.context.limits, jitter, owner.serve)
        self._closed = False
        self._opening: dict[UplinkConnection, tuple[Key, bool]] = {}
        self._attempts: dict[Deferred[IProtocol], None] = {}
        self._timeouts: dict[UplinkConnection, IDelayedCall] = {}

    def __bool__(self) -> bool:
        return bool(self._opening)

    @property
    def may_open(self) -> bool:
        """Whether nothing has to be waited for before the next attempt."""
        return not self._closed and not self._backoff.waiting

    @property
    def pinned_count(self) -> int:
        """How many pinned connections are being opened."""
        return sum(1 for _, pinned in self._opening.values() if pinned)

    def open_shared(self, key: Key) -> None:
        """Begin to open the shared connection for `key`, unless that is under way."""
        if (key, False) not in self._opening.values():
            self._open(key, pinned=False)

    def open_another(self, key: Key) -> None:
        """Like L{open_shared}, beside one that there is, if nothing has to be waited for."""
        if self.may_open:
            self.open_shared(key)

    def open_pinned(self, keys: list[Key]) -> None:
        """Begin to open pinned connections."""
        for key in keys:
            self._open(key, pinned=True)

    def _open(self, key: Key, pinned: bool) -> None:
        connection = UplinkConnection(self._owner, *key)
        connection.queue.pinned = pinned
        self._opening[connection] = (key, pinned)
        self._owner.opening(connection, pinned)
        attempt = self._source.ask().addCallback(self._connect_as, connection)
        self._attempts[attempt] = None
        attempt.addCallbacks(lambda _: None, self._connect_failed, errbackArgs=(connection,))
        attempt.addBoth(lambda _: self._attempts.pop(attempt, None))

    def _connect_as(self, credentials: Credentials, connection: UplinkConnection) -> Deferred[IProtocol]:
        connection.credentials = credentials
        return self._connect(lambda: connection)

    def _connect_failed(self, failure: Failure, connection: UplinkConnection) -> None:
        self._owner.not_opened(connection)
        self._failed(connection, failure.getErrorMessage() or "the connection failed")

    def is_wanted(self, connection: UplinkConnection) -> bool:
        """Whether the connection is one that is being opened, and not given up."""
        return connection in self._opening

    def log_in(self, connection: UplinkConnection) -> None:
        """The transport is there: log in."""
        context = self._owner.context
        self._timeouts[connection] = context.clock.callLater(context.limits.connect_timeout_s, connection.abort)

        def done(error: UplinkError | None, server: dict[bytes, object]) -> None:
            self._logged_in(connection, error, server)

        Login(connection, connection.credentials, done, ask_for_data=not self._owner.has_connection).start()

    def _logged_in(self, connection: UplinkConnection, error: UplinkError | None, server: dict[bytes, object]) -> None:
        self._stop_timeout(connection)
        if connection not in self._opening:
            return
        if error is not None:
            self._login_refused(connection, error)
            return
        key, pinned = self._opening.pop(connection)
        server_id = server.get(b"id")
        connection.logged_in(server_id if isinstance(server_id, int) else None)
        self._backoff.succeeded()
        self.server = server or self.server
        self.last_error = ""
        self._owner.opened(connection, key, pinned)

    def _login_refused(self, connection: UplinkConnection, error: UplinkError) -> None:
        if not isinstance(error, DatabaseRefused | ServerBusy):
            self._source.refused(connection.credentials)
            self._failed(connection, str(error))
            connection.abort()
            return
        key, pinned = self._opening.pop(connection)
        connection.abort()
        self._owner.refused(key, pinned, error)

    def lost(self, connection: UplinkConnection) -> None:
        """The connection is gone; it may have been in the middle of its login."""
        self._stop_timeout(connection)
        self._failed(connection, "the connection was closed while logging in")

    def _stop_timeout(self, connection: UplinkConnection) -> None:
        timeout = self._timeouts.pop(connection, None)
        if timeout is not None and timeout.active():
            timeout.cancel()

    def _failed(self, connection: UplinkConnection, why: str) -> None:
        if self._opening.pop(connection, None) is None or self._closed:
            return
        if why != self.last_error:
            self.log.warn("{name}: {why}", name=self._owner.context.name, why=why)
        self.last_error = why
        self._backoff.failed()
        self._owner.unreachable(why)  # last, because it may close this opener, or want a connection at once

    def close(self) -> None:
        """Give up everything that is on its way."""
        self._closed = True
        self._backoff.cancel()
        self._opening.clear()
        for attempt in list(self._attempts):
            attempt.cancel()
