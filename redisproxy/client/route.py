"""The uplink connection that a client has: on a command's path this stands behind the gate, before its queue.

It is the shared connection for the client's database, or one of its own (pinned) while there is state to hold there.
How it is come by is C{acquiring}'s business; here is how it is kept, given back and left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy import resp
from redisproxy.client.message_stream import MONITORS
from redisproxy.client.waiting import Reason
from redisproxy.forwarding.collector import Collector

if TYPE_CHECKING:
    from redisproxy.client.fair_share import FairShare
    from redisproxy.client.message_stream import MessageStream
    from redisproxy.client.receive_buffer import ReceiveBuffer
    from redisproxy.client.session import Session
    from redisproxy.client.waiting import Waiting
    from redisproxy.forwarding.interfaces import Connection
    from redisproxy.forwarding.twins import Lane
    from redisproxy.shared.core import Core


class Route:
    """The uplink connection of one client.

    @ivar connection: a shared connection, or a pinned one when `pinned`; None when the next command has to find one. It
        changes only when no reply is outstanding.
    @ivar stream: what tells messages from replies on the pinned connection, while there may be any.
    @ivar unblocked: a CLIENT UNBLOCK may still be on its way to the pinned connection.
    @ivar was_tracked: the server remembers what was read on the pinned connection: nobody else may track on it.
    """

    __slots__ = (
        "_core",
        "_lane",
        "_received",
        "_session",
        "_share",
        "_waiting",
        "connection",
        "pinned",
        "stream",
        "unblocked",
        "was_tracked",
    )

    def __init__(
        self, core: Core, lane: Lane, session: Session, received: ReceiveBuffer, waiting: Waiting, share: FairShare
    ) -> None:
        self._core = core
        self._lane = lane
        self._session = session
        self._received = received
        self._waiting = waiting
        self._share = share
        self.connection: Connection | None = None
        self.stream: MessageStream | None = None
        self.pinned = False
        self.unblocked = self.was_tracked = False

    @property
    def at_hand(self) -> bool:
        """Whether plain commands can go now, without more ado: on a shared connection, or on a dedicated one."""
        connection = self.connection
        return connection is not None and connection.ready and self.pinned is self._share.dedicated

    def barrier(self) -> bool:
        """True when no reply is outstanding, nor the rest of a large message; else wait for that."""
        if self._lane.pending or (self.stream is not None and self.stream.mid_message):
            self._waiting.block(Reason.REPLIES)
            return False
        return True

    def hold(self, connection: Connection) -> None:
        """Have this connection for the client alone."""
        self.connection = connection
        self.pinned = True
        self.unblocked = self.was_tracked = False
        connection.holder = self

    # -- giving it back

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

    @property
    def _in_use(self) -> bool:
        return self._session.bound or self._received.sending_upload or self._lane.pending > 0

    def settle(self) -> None:
        """The client's state may have left its pinned connection: give it back if so."""
        if self.pinned and self._core.multiplex and not self._share.dedicated and not self._in_use:
            self.unpin()

    # -- leaving it

    def leave(self) -> None:
        """Close the pinned connection with whatever state is on it, WATCHes too. Only when no reply is outstanding."""
        if self.pinned and self.connection is not None:
            self._close_pinned()
            self._state_is_lost()

    def leave_quietly(self) -> None:
        """Close the pinned connection of a subscriber, or one that is tracked, who wants to be neither any more."""
        self.stream = None
        self._session.tracking = None
        self.leave()
        self.connection = None

    def leave_unblocked(self) -> None:
        """A CLIENT UNBLOCK may still be on its way: nobody else may block on this connection."""
        if self.stream is None:
            self.leave()
        else:
            self.unblocked = True

    def discard(self) -> None:
        """Have Redis forget the transaction that it has queued, and keep nothing else but messages coming."""
        if self.stream is None or self.connection is None:
            self.leave()
        else:
            self.connection.submit_own(Collector(1, lambda _: None), resp.encode_command("DISCARD"), 1)

    def _close_pinned(self) -> None:
        connection, self.connection = self.connection, None
        if self.pinned and connection is not None:
            connection.holder = None
            connection.abort()
        self.pinned = False

    def _state_is_lost(self) -> None:
        self._session.connection_lost()
        if self.stream is not None:
            self.stream.connection_lost()

    def adopt(self, connection: Connection, stream: MessageStream | None = None) -> None:
        """Change over to a connection to another server, where the client's state has been made again."""
        self._close_pinned()
        self.stream = stream
        self.hold(connection)
        if stream is not None:
            stream.take_over()

    def let_go(self) -> None:
        """The client has gone; what is in flight on a shared connection is still waited for."""
        connection, self.connection = self.connection, None
        if connection is None:
            return
        connection.resume_reading()
        if not self.pinned:
            if connection.retired and connection.outstanding.only_for(self._lane.client):
                connection.abort()  # the rest of a large reply that nobody reads any more
        elif self._used_up or self._in_use or not self._core.multiplex:
            connection.holder = None
            connection.abort()
        else:
            connection.uplinks.give_back(connection)

    # -- what the connection tells

    @property
    def pingable(self) -> bool:
        """Part of C{Holder}: only where nothing but messages is waited for, and the loss costs the client its cache."""
        session = self._session
        tracking = session.tracking
        lossless = tracking is not None and not tracking.broadcast and not session.subscribed
        return lossless and session.transaction is None and not session.watching

    @property
    def takes_auth(self) -> bool:
        """Part of C{Holder}: it would be queued inside of a MULTI, and refused where a RESP2 client is subscribed."""
        stream = self.stream
        if self.connection is None or self._session.transaction is not None:
            return False
        return stream is None or (stream.FLAG != MONITORS and (not stream or self.connection.resp_version == 3))

    def uplink_gone(self) -> None:
        """The pinned connection is closed; nothing was in flight there, or the sinks are told."""
        self.connection = None
        self.pinned = False
        self._state_is_lost()
