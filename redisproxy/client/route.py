"""Where a client's commands go: on their path this stands behind the gate, before the uplink connection's queue.

It finds the shared connection for the client's database, or gets a connection of its own when there is state to hold,
and gives it back or leaves it when there is none any more. Whatever has to be waited for becomes a L{Reason}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from redisproxy import resp
from redisproxy.client import pubsub, rules, tracking
from redisproxy.client.reasons import Reason
from redisproxy.forwarding.collector import Collector
from redisproxy.forwarding.interfaces import Connection, Key
from redisproxy.net.errors import DatabaseRefused, ServerBusy, UplinkMoved, UplinkUnavailable

if TYPE_CHECKING:
    from redisproxy.client.protocol import ClientProtocol


class Route:
    """The uplink connection of one client.

    @ivar connection: a shared connection, or a pinned one when `pinned`; None when the next command has to find one. It
        changes only when no reply is outstanding.
    @ivar unblocked: a CLIENT UNBLOCK may still be on its way to the pinned connection.
    @ivar was_tracked: the server remembers what was read on the pinned connection: nobody else may track on it.
    """

    __slots__ = ("_acquiring", "_client", "connection", "pinned", "unblocked", "was_tracked")

    def __init__(self, client: ClientProtocol) -> None:
        self._client = client
        self._acquiring: Deferred[Connection] | None = None
        self.connection: Connection | None = None
        self.pinned = False
        self.unblocked = self.was_tracked = False

    # -- finding one

    @property
    def at_hand(self) -> bool:
        """Whether plain commands can go now, without more ado: on a shared connection, or on a dedicated one."""
        connection = self.connection
        return connection is not None and connection.ready and self.pinned is self._client.share.dedicated

    def obtain(self, pinned: bool) -> bool:
        """Have `connection` be one that takes commands now, pinned or shared. False when that has to wait."""
        client = self._client
        needed = pinned or not client.core.multiplex
        pinned = needed or client.share.dedicated
        connection = self.connection
        if connection is not None and connection.alive and not connection.retired and pinned == self.pinned:
            if not connection.ready:
                self.wait_writable(connection)
            return connection.ready
        if not client.barrier():
            return False
        self.unpin()
        key = client.session.key
        self.connection = None if pinned else client.core.uplinks.shared(key)
        if self.connection is None:
            self.acquire(pinned, key, needed or not pinned)
        return not client.blocked and self.connection is not None

    def wait_writable(self, connection: Connection) -> None:
        """Wait until `connection` takes more bytes."""
        connection.back_pressure.wait(self)
        self._client.block(Reason.WRITABLE)

    def acquire(self, pinned: bool, key: Key, needed: bool = True) -> None:
        """Wait for a connection set to `key`; one that is not `needed` is done without when there is none to be had."""
        uplinks = self._client.core.uplinks
        own = uplinks.acquire_pinned if needed else uplinks.acquire_dedicated
        acquire = own if pinned else uplinks.acquire_shared
        self._client.block(Reason.UPLINK)
        acquiring = self._acquiring = acquire(key)
        acquiring.addCallbacks(self._acquired, self._not_acquired, callbackArgs=(pinned,), errbackArgs=(needed,))
        acquiring.addErrback(self._client.crashed)

    def _acquired(self, connection: Connection, pinned: bool) -> None:
        client = self._client
        self._acquiring = None
        if not pinned:
            if not self.pinned and (connection.db, connection.resp_version) == client.session.key:
                self.connection = connection
            if not connection.ready:
                self.wait_writable(connection)
            client.unblock(Reason.UPLINK)
            return
        if tracking.to_restore(client) and not client.core.gate.open:
            connection.uplinks.give_back(connection)  # what waits comes again when the gate has opened
            client.unblock(Reason.UPLINK)
            return
        self._hold(connection)
        if not tracking.restore(client, lambda: client.unblock(Reason.UPLINK)):
            client.unblock(Reason.UPLINK)

    def _hold(self, connection: Connection) -> None:
        self.connection = connection
        self.pinned = True
        self.unblocked = self.was_tracked = False
        connection.holder = self

    def _not_acquired(self, failure: Failure, needed: bool) -> None:
        self._acquiring = None
        client = self._client
        if failure.check(CancelledError) or client.closed:
            return
        if not needed and failure.check(UplinkUnavailable):
            client.share.denied()
        elif not failure.check(UplinkMoved):
            _refuse(client, failure)
        client.unblock(Reason.UPLINK)

    def know_server(self) -> bool:
        """True when something is known of the Redis server; else wait for a connection to it."""
        client = self._client
        uplinks = client.core.uplinks
        if uplinks.server or uplinks.shared(client.session.key) is not None:
            return True  # a server that does not know HELLO tells nothing
        self.acquire(False, client.session.key)
        return not client.blocked

    # -- changing it

    def forget_shared(self) -> None:
        """The next command needs another shared connection."""
        if not self.pinned:
            self.connection = None

    def unpin(self) -> None:
        """Give a pinned connection back. Only when nothing of the client's is on it."""
        if self.pinned and self.connection is not None:
            connection, self.connection = self.connection, None
            self.pinned = False
            connection.resume_reading()  # a slow reader may have stopped it
            if self._used_up:
                connection.holder = None
                connection.abort()
            else:
                connection.uplinks.give_back(connection)

    @property
    def _used_up(self) -> bool:
        return self.unblocked or self.was_tracked

    def settle(self) -> None:
        """The client's state may have left its pinned connection: give it back if so."""
        client = self._client
        held = client.session.bound or client.large.sending or client.pending or client.share.dedicated
        if self.pinned and client.core.multiplex and not held:
            self.unpin()

    def leave(self) -> None:
        """Close the pinned connection with whatever state is on it, WATCHes too. Only when no reply is outstanding."""
        if self.pinned and self.connection is not None:
            self._close_pinned()
            self._state_is_lost()

    def leave_quietly(self) -> None:
        """Close the pinned connection of a subscriber, or one that is tracked, who wants to be neither any more."""
        self._client.subscription = None
        self._client.session.tracking = None
        self.leave()

    def leave_unblocked(self) -> None:
        """A CLIENT UNBLOCK may still be on its way: nobody else may block on this connection."""
        if self._client.subscription is None:
            self.leave()
        else:
            self.unblocked = True

    def discard(self) -> None:
        """Have Redis forget the transaction that it has queued, and keep nothing else but messages coming."""
        if self._client.subscription is None or self.connection is None:
            self.leave()
        else:
            self.connection.submit_own(Collector(1, lambda _: None), resp.encode_command("DISCARD"), 1)

    # -- messages between the replies

    def stream(self) -> pubsub.Subscription:
        """What tells messages from replies on the pinned connection."""
        client = self._client
        assert self.pinned and self.connection is not None
        if client.subscription is None:
            client.subscription = pubsub.Subscription(client, self.connection)
        return client.subscription

    def settle_stream(self) -> None:
        """There may be no more messages to expect: then the connection is like any other, and is given back."""
        client, connection = self._client, self.connection
        if client.session.tracking is None and not client.session.subscribed and connection is not None:
            client.subscription = None
            connection.reader = None
            self.settle()

    def _close_pinned(self) -> None:
        connection, self.connection = self.connection, None
        if self.pinned and connection is not None:
            connection.holder = None
            connection.abort()
        self.pinned = False

    def _state_is_lost(self) -> None:
        client = self._client
        client.session.connection_lost()
        if client.subscription is not None:
            client.subscription.connection_lost()

    def adopt(self, connection: Connection, subscription: pubsub.Subscription | None = None) -> None:
        """Change over to a connection to another server, where the client's state has been made again."""
        self._close_pinned()
        self._client.subscription = subscription
        self._hold(connection)
        if subscription is not None:
            subscription.take_over()

    def set_version(self, version: int) -> None:
        """HELLO was answered: replies are of this RESP version from here on. No reply is outstanding."""
        session, connection = self._client.session, self.connection
        if self.pinned and connection is not None and version != connection.resp_version:
            self._say_hello(connection, version)
        elif version != session.resp_version and not self.pinned:
            self.forget_shared()
        session.resp_version = version

    def _say_hello(self, connection: Connection, version: int) -> None:
        """Tell the server. The next command waits, because it may turn the replies into a stream with messages."""
        client = self._client
        client.block(Reason.UPLINK)
        answered = Collector(1, lambda _: client.unblock(Reason.UPLINK))
        connection.submit_own(answered, resp.encode_command("HELLO", version), 1)
        connection.resp_version = version

    def tell_owed(self) -> None:
        """Tell a client that has left RESP2 what it could not be told there."""
        on = self._client.session.tracking
        if on is not None and on.owed:
            pubsub.forget_all(self._client)

    # -- the client reads slowly, or goes away

    def stop_replies(self) -> None:
        """Have no more replies read, if nobody else waits for any on the same connection."""
        client, connection = self._client, self.connection
        if connection is None or not (client.pending or client.session.subscribed):
            return  # invalidations that nobody reads count against the client, since no server bounds them
        if client.subscription is not None and client.subscription.reads_on:
            return
        if connection.outstanding.only_for(client):
            if not self.pinned:
                connection.uplinks.retire(connection)
            connection.stop_reading()

    def resume_replies(self) -> None:
        """Undo L{stop_replies}."""
        if self.connection is not None:
            self.connection.resume_reading()

    def leave_to_others(self) -> None:
        """Have the others get another shared connection. This one waits for its reader once nobody else waits on it."""
        connection = self.connection
        if connection is not None and not self.pinned and not connection.retired:
            connection.uplinks.retire(connection)
        self.stop_replies()

    def let_go(self) -> None:
        """The client has gone; what is in flight on a shared connection is still waited for."""
        client = self._client
        if self._acquiring is not None:
            self._acquiring.cancel()
        connection, self.connection = self.connection, None
        if connection is None:
            return
        multiplex = client.core.multiplex
        connection.back_pressure.forget(self)
        connection.resume_reading()
        if not self.pinned:
            if connection.retired and connection.outstanding.only_for(client):
                connection.abort()  # the rest of a large reply that nobody reads any more
        elif self._used_up or client.pending or client.session.bound or client.large.sending or not multiplex:
            connection.holder = None
            connection.abort()
        else:
            connection.uplinks.give_back(connection)

    # -- what the connection tells

    @property
    def pingable(self) -> bool:
        """Part of C{PinHolder}: only where nothing but messages is awaited, and the loss costs the client its cache."""
        session = self._client.session
        tracking = session.tracking
        lossless = tracking is not None and not tracking.broadcast and not session.subscribed
        return lossless and session.transaction is None and not session.watching

    def uplink_gone(self) -> None:
        """The pinned connection is closed; nothing was in flight there, or the sinks are told."""
        self.connection = None
        self.pinned = False
        self._state_is_lost()

    def uplink_writable(self) -> None:
        """The connection takes more bytes."""
        self._client.unblock(Reason.WRITABLE)


def _refuse(client: ClientProtocol, failure: Failure) -> None:
    """Answer the commands that waited for a connection which can't be had."""
    refused = bool(failure.check(DatabaseRefused, ServerBusy))
    text = failure.getErrorMessage()
    if not refused:
        text = f"MASTERDOWN redisproxy cannot reach its Redis server: {text}"
    unit, client.intake.current = client.intake.current, None
    if unit is not None:
        rules.unreachable(client, unit, text, refused=refused)
