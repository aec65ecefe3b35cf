"""Push messages of the proxy's own to one client: they go between its replies, never into one.

Whether a push has to wait is found out only when there is one: the connection that the client's replies come from knows
whether one of them has arrived in part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.client.tracking_options import INVALIDATE_ALL

if TYPE_CHECKING:
    from redisproxy.client.closing import Closing
    from redisproxy.client.output import Output
    from redisproxy.client.route import Route
    from redisproxy.client.session import Session
    from redisproxy.forwarding.twins import Lane
    from redisproxy.shared.core import Core


class PushMessages:
    """The push messages of one client.

    @ivar held: those that wait for the end of the reply that is under way.
    """

    __slots__ = ("_closing", "_core", "_lane", "_output", "_route", "_session", "_size", "held")

    def __init__(
        self, core: Core, lane: Lane, session: Session, output: Output, route: Route, closing: Closing
    ) -> None:
        self._core = core
        self._lane = lane
        self._session = session
        self._output = output
        self._route = route
        self._closing = closing
        self._size = 0
        self.held: list[bytes] = []

    def send(self, data: bytes) -> None:
        """Send a push at once, or after the reply that is under way, whatever the reply mode is."""
        if not self._output.closed:
            self.held.append(data)
            self._size += len(data)
            self.look()

    def forget_all(self) -> None:
        """Tell the client to forget what it has cached. At no time in the middle of a reply or of a message."""
        tracking = self._session.tracking
        if tracking is None:
            return
        tracking.owed = self._session.resp_version == 2
        if not tracking.owed:
            self.send(INVALIDATE_ALL)

    def tell_owed(self) -> None:
        """Tell a client that has left RESP2 what it could not be told there."""
        tracking = self._session.tracking
        if tracking is not None and tracking.owed:
            self.forget_all()

    def look(self) -> None:
        """Send what is held, unless a reply is under way still."""
        output = self._output
        output.holding = self._amid_reply()
        if output.holding:
            if self._size > self._core.limits.output_hard_bytes:
                self._closing.drop("slow_reader")
            output.sync()
            return
        data = b"".join(self.held)
        self.held.clear()
        self._size = 0
        output.sync()
        output.write(data)

    def _amid_reply(self) -> bool:
        stream = self._route.stream
        if self._output.composing or (stream is not None and stream.amid):
            return True
        connection = self._route.connection
        return self._lane.pending > 0 and connection is not None and connection.queue.amid(self._lane.client)
