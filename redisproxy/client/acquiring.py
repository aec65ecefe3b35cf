"""How a client comes by its uplink connection, and waits for it; what has to be waited for becomes a L{Reason}."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from redisproxy.client.waiting import Reason
from redisproxy.net.errors import UplinkMoved, UplinkUnavailable

if TYPE_CHECKING:
    from redisproxy.client.closing import Closing
    from redisproxy.client.fair_share import FairShare
    from redisproxy.client.route import Route
    from redisproxy.client.session import Session
    from redisproxy.client.waiting import Waiting
    from redisproxy.forwarding.interfaces import Connection, Key
    from redisproxy.shared.core import Core


class Recovery(Protocol):
    """What is done for the client's state when it has got another connection, or can't have one."""

    @property
    def needed(self) -> bool:
        """Whether state has to be made again before the next command."""

    def restore(self, on_done: Callable[[], None]) -> bool:
        """Make it again; say whether there is anything to wait for until `on_done` is called."""

    def refuse(self, failure: Failure) -> None:
        """Answer the commands that waited for a connection which can't be had."""


class Acquirer:
    """Gets connections for one client.

    @ivar recovery: set before the first command is taken.
    """

    __slots__ = ("_acquiring", "_closing", "_core", "_route", "_session", "_share", "_waiting", "recovery")

    recovery: Recovery

    def __init__(
        self, core: Core, session: Session, waiting: Waiting, share: FairShare, route: Route, closing: Closing
    ) -> None:
        self._core = core
        self._session = session
        self._waiting = waiting
        self._share = share
        self._route = route
        self._closing = closing
        self._acquiring: Deferred[Connection] | None = None

    def obtain(self, pinned: bool) -> bool:
        """Have the route's connection take commands now, pinned or shared. False when that has to wait."""
        route, needed = self._route, pinned or not self._core.multiplex
        pinned = needed or self._share.dedicated
        connection = route.connection
        if connection is not None and connection.alive and not connection.retired and pinned == route.pinned:
            if not connection.ready:
                self.wait_writable(connection)
            return connection.ready
        if not route.barrier():
            return False
        route.unpin()
        key = self._session.key
        route.connection = None if pinned else self._core.uplinks.shared(key)
        if route.connection is None:
            self.acquire(pinned, key, needed or not pinned)
        return not self._waiting.reasons and route.connection is not None

    def wait_writable(self, connection: Connection) -> None:
        """Wait until `connection` takes more bytes."""
        connection.back_pressure.wait(self)
        self._waiting.block(Reason.WRITABLE)

    def uplink_writable(self) -> None:
        """Part of C{Waiter}: the connection takes more bytes."""
        self._waiting.unblock(Reason.WRITABLE)

    def acquire(self, pinned: bool, key: Key, needed: bool = True) -> None:
        """Wait for a connection set to `key`; one that is not `needed` is done without when there is none to be had."""
        uplinks = self._core.uplinks
        own = uplinks.acquire_pinned if needed else uplinks.acquire_dedicated
        acquire = own if pinned else uplinks.acquire_shared
        self._waiting.block(Reason.UPLINK)
        acquiring = self._acquiring = acquire(key)
        acquiring.addCallbacks(
            self._acquired_pinned if pinned else self._acquired_shared, self._not_acquired, errbackArgs=(needed,)
        )
        acquiring.addErrback(self._closing.crashed)

    def _acquired_shared(self, connection: Connection) -> None:
        self._acquiring = None
        route = self._route
        if not route.pinned and (connection.db, connection.resp_version) == self._session.key:
            route.connection = connection
        if not connection.ready:
            self.wait_writable(connection)
        self._waiting.unblock(Reason.UPLINK)

    def _acquired_pinned(self, connection: Connection) -> None:
        self._acquiring = None
        if self.recovery.needed and not self._core.gate.open:
            connection.uplinks.give_back(connection)  # what waits comes again when the gate has opened
            self._go_on()
            return
        self._route.hold(connection)
        if not self.recovery.restore(self._go_on):
            self._go_on()

    def _go_on(self) -> None:
        self._waiting.unblock(Reason.UPLINK)

    def _not_acquired(self, failure: Failure, needed: bool) -> None:
        self._acquiring = None
        if failure.check(CancelledError) or self._closing.closed:
            return
        if not needed and failure.check(UplinkUnavailable):
            self._share.denied()
        elif not failure.check(UplinkMoved):
            self.recovery.refuse(failure)
        self._go_on()

    def know_server(self) -> bool:
        """True when something is known of the Redis server; else wait for a connection to it."""
        uplinks, key = self._core.uplinks, self._session.key
        if uplinks.server or uplinks.shared(key) is not None:
            return True  # a server that does not know HELLO tells nothing
        self.acquire(False, key)
        return not self._waiting.reasons

    def give_up(self) -> None:
        """Wait for no connection any more; the command that wants one comes again."""
        acquiring, self._acquiring = self._acquiring, None
        if acquiring is not None:
            acquiring.cancel()
            self._waiting.unblock(Reason.UPLINK)

    def let_go(self) -> None:
        """The client has gone: wait for nothing."""
        if self._acquiring is not None:
            self._acquiring.cancel()
        if self._route.connection is not None:
            self._route.connection.back_pressure.forget(self)
