"""One client on its way from another data plane: made here from its value, given its socket at last.

C{serving/leaving.py} tells what it brings and how; C{dataplane/adoption.py} does it in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import TimeoutError

from redisproxy.client.waiting import Reason

if TYPE_CHECKING:
    from redisproxy.client.client import Client
    from redisproxy.client.message_stream import MessageStream
    from redisproxy.client.session_value import ClientValue
    from redisproxy.forwarding.interfaces import Connection

MARKER_LIMIT_S = 1.0


class Arriving:
    """One client that is to arrive.

    It is the holder of the uplink connection on which its state has been made again, until the client is.

    @ivar connection: that connection; None when it needs none, or it was lost.
    @ivar stream: what brings messages there. @ivar with_watch: its WATCH was made there.
    @ivar with_transaction: its MULTI was queued there.
    """

    pingable = takes_auth = False

    def __init__(self, client: Client, value: ClientValue) -> None:
        self.client = client
        self.connection: Connection | None = None
        self.stream: MessageStream | None = None
        self.with_watch = self.with_transaction = False
        self.take_in(value)

    def take_in(self, value: ClientValue) -> None:
        """Have the client be what the other data plane says, but for what is on its way to it."""
        client, limits = self.client, self.client.core.limits
        now, identity = client.core.clock.seconds(), client.identity
        identity.id, identity.listener = value.id, value.listener
        identity.created, identity.last_seen = now - value.age_s, now - value.idle_s
        identity.last_command = value.last_command
        client.lane.active = False
        client.session.take_in(value.session, limits.max_transaction_commands, limits.max_transaction_bytes)
        client.session.subscribed = value.subscription is not None
        client.waiting.reasons = Reason.HANDOVER
        client.apply_framing()

    def uplink_gone(self) -> None:
        """Part of C{Holder}: the connection is lost before the client has come."""
        self.connection = self.stream = None

    def give_up(self) -> None:
        """It does not come."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.holder = None
            connection.abort()

    def go_on(self, value: ClientValue) -> None:
        """The client has its socket: it goes on."""
        client = self.client
        if self.connection is not None:
            self._take_connection(self.connection, value)
        if value.maintenance is not None:
            wish = value.maintenance
            client.core.maintenance.take_in(client, wish.endpoint_type, wish.told, wish.sequence)
        if value.dedicated:
            client.share.dedicate()
        mode = client.session.reply_mode
        mode.skipped = client.received.take_in(value.unread, value.session.skipped_waits)
        cut = self.stream.cut if self.stream is not None else None
        if cut is None or cut.passed:
            self._take_commands()
        else:
            # The server would count the marker's channel in its replies to commands that come before its end.
            marked = cut.reached().addTimeout(MARKER_LIMIT_S, client.core.clock)
            marked.addErrback(lambda failure: failure.trap(TimeoutError)).addCallback(lambda _: self._take_commands())

    def _take_commands(self) -> None:
        self.client.waiting.unblock(Reason.HANDOVER)

    def _take_connection(self, connection: Connection, value: ClientValue) -> None:
        session, watches = self.client.session, self.with_watch and value.session.watching
        if self.stream is None and not watches:
            self.give_up()  # what is left is made again with the next command
            return
        if watches:
            session.watching, session.watch_lost = True, value.session.watch_lost
        if self.with_transaction and session.transaction is not None:
            session.transaction.lost = False
        if session.tracking is not None:
            session.tracking.lost = False
        self.client.route.adopt(connection, self.stream)
