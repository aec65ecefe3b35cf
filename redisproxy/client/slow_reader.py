"""A client that does not read its replies: its transport tells, and what it has asked for waits at the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.client.waiting import Reason

if TYPE_CHECKING:
    from redisproxy.client.closing import Closing
    from redisproxy.client.output import Output
    from redisproxy.client.route import Route
    from redisproxy.client.session import Session
    from redisproxy.client.waiting import Waiting
    from redisproxy.forwarding.twins import Lane
    from redisproxy.shared.core import Core

LEAVE_BYTES = 1048576
"""With so much unread a client gets its shared connection to itself; looked at again after as much."""


class SlowReader:
    """What one client's transport tells as its producer.

    While replies pile up, the client's commands are not taken, and a connection on which nobody else waits is not read.
    """

    __slots__ = ("_closing", "_core", "_lane", "_output", "_route", "_session", "_waiting")

    def __init__(
        self,
        core: Core,
        lane: Lane,
        session: Session,
        output: Output,
        waiting: Waiting,
        closing: Closing,
        route: Route,
    ) -> None:
        self._core = core
        self._lane = lane
        self._session = session
        self._output = output
        self._waiting = waiting
        self._closing = closing
        self._route = route
        output.on_unread = self.grow

    def pauseProducing(self) -> None:
        """Replies pile up: take no more commands, and read a pinned connection no further."""
        self._output.unread = 1
        self._output.sync()
        self._waiting.block(Reason.SLOW_READER)
        self.stop_replies()

    def resumeProducing(self) -> None:
        """The client has read what it had not."""
        self._output.unread = 0
        self._output.sync()
        if self._route.connection is not None:
            self._route.connection.resume_reading()
        self._waiting.unblock(Reason.SLOW_READER)

    def grow(self, size: int) -> None:
        """Count `size` bytes more that were written although the client does not read."""
        output, before = self._output, self._output.unread
        output.unread += size
        if output.unread > self._core.limits.output_hard_bytes:
            self._closing.drop("slow_reader")
        elif output.unread // LEAVE_BYTES > before // LEAVE_BYTES:
            self._leave_to_others()

    def _leave_to_others(self) -> None:
        """Have the others get another shared connection. This one waits for its reader once nobody else waits on it."""
        connection = self._route.connection
        if connection is not None and not self._route.pinned and not connection.retired:
            connection.uplinks.retire(connection)
        self.stop_replies()

    def stop_replies(self) -> None:
        """Have no more replies read, if nobody else waits for any on the same connection."""
        route, connection = self._route, self._route.connection
        if connection is None or not (self._lane.pending or self._session.subscribed):
            return  # invalidations that nobody reads count against the client, since no server bounds them
        if route.stream is not None and route.stream.reads_on:
            return
        if connection.outstanding.only_for(self._lane.client):
            if not route.pinned:
                connection.uplinks.retire(connection)
            connection.stop_reading()
