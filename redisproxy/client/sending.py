"""Sends a client's commands on the uplink connection that it has, and counts them as in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.client.noted_reply import NotedReply
from redisproxy.client.queued_replies import QueuedReplies
from redisproxy.client.waiting import Reason
from redisproxy.forwarding.collector import Collector

if TYPE_CHECKING:
    from redisproxy.client.noted_reply import Changes
    from redisproxy.client.open_transaction import Transaction
    from redisproxy.client.route import Route
    from redisproxy.client.session import Session
    from redisproxy.client.waiting import Waiting
    from redisproxy.forwarding.interfaces import Connection, Pending, ReplySink
    from redisproxy.forwarding.twins import Lane
    from redisproxy.shared.core import Core


class Sender:
    """Sends for one client. The gate is open, and its route has a connection that takes commands.

    @ivar to_note: what the command that is handled now changes silently; empty while nothing is noted.
    """

    __slots__ = ("_flow", "_gate", "_lane", "_notes", "_route", "_session", "_waiting", "to_note")

    def __init__(self, core: Core, lane: Lane, session: Session, waiting: Waiting, route: Route) -> None:
        self.to_note: Changes = ()
        self._notes = core.notes
        self._gate = core.gate
        self._flow = core.gate.flow
        self._lane = lane
        self._session = session
        self._waiting = waiting
        self._route = route

    def plain(self, data: bytes, count: int) -> None:
        """Send `count` commands whose replies go to the client as they are."""
        self._plain(self._lane, data, count)

    def queued(self, transaction: Transaction, data: bytes, count: int) -> None:
        """The same, for commands that the server queues."""
        self._plain(QueuedReplies(self._lane, self._lane.client, transaction, count), data, count)

    def _plain(self, sink: ReplySink, data: bytes, count: int) -> None:
        connection, lane = self._route.connection, self._lane
        assert connection is not None
        if self._session.tracking is not None:
            self._say_caching(connection)
        self._gate.admit(count)
        lane.pending += count
        entry = connection.submit(self._noted(sink) if self.to_note else sink, data, count)
        self._flow.begun(entry, data, count, lane.arrived_ns)
        if lane.pending >= lane.limit:
            self._waiting.block(Reason.IN_FLIGHT)

    def one(self, sink: ReplySink, data: bytes, timed: bool = True) -> Pending:
        """Send one command, with `sink` for its reply."""
        if self._session.tracking is not None:
            self._say_caching(self._route.connection)
        return self._send(sink, data, 1, timed)

    def many(self, sink: ReplySink, data: bytes, replies: int) -> None:
        """Send one command that gets several replies, all for `sink`."""
        if self._session.tracking is not None:
            self._say_caching(self._route.connection)
        self._send(sink, data, replies, True)

    def before_caching(self, sink: ReplySink, data: bytes) -> None:
        """Like L{one}, but a CLIENT CACHING before it speaks of the command after it."""
        self._send(sink, data, 1, True)

    def _send(self, sink: ReplySink, data: bytes, replies: int, timed: bool) -> Pending:
        connection = self._route.connection
        assert connection is not None
        self._gate.admit(replies)
        self._lane.pending += replies
        entry = connection.submit(self._noted(sink) if self.to_note else sink, data, replies, timed)
        # What may wait by itself, or is still arriving, says nothing of how quick the server is.
        self._flow.begun(entry, data, 1, self._lane.arrived_ns if timed else 0)
        return entry

    def _noted(self, sink: ReplySink) -> ReplySink:
        changes, self.to_note = self.to_note, ()
        return NotedReply(sink, self._lane.client, changes, self._notes)

    def _say_caching(self, connection: Connection | None) -> None:
        """Send the CLIENT CACHING that speaks of the command that is sent next."""
        on = self._session.tracking
        if on is None or connection is None or not on.caching:
            return
        data, on.caching = on.caching_command(), b""

        def answered(replies: list[object] | None) -> None:
            if replies is not None and replies != [b"OK"]:
                self._lane.lost()  # the client counts on it, and its command's reply is on its way

        connection.submit_own(Collector(1, answered), data, 1)
