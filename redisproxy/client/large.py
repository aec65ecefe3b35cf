"""Commands that are too large to hold: each piece goes its way as it arrives, past everything that holds commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.client.blocking import Blocking
from redisproxy.client.observers import Observed

if TYPE_CHECKING:
    from redisproxy.client.protocol import ClientProtocol
    from redisproxy.forwarding.interfaces import Pending


class Large:
    """The large command of one client, if one is under way.

    @ivar discarding: it was refused, and its rest is thrown away.
    """

    __slots__ = ("_client", "_pending", "_timed", "discarding")

    def __init__(self, client: ClientProtocol) -> None:
        self._client = client
        self._pending: Pending | None = None
        self._timed = True
        self.discarding = False

    @property
    def sending(self) -> bool:
        """Whether its beginning was sent, and more is to come."""
        return self._pending is not None

    @property
    def under_way(self) -> bool:
        """Whether what arrives next is a piece of it."""
        return self._pending is not None or self.discarding

    def begin(self, data: bytes, timed: bool) -> None:
        """Send its beginning on the connection that there is."""
        # Its time starts when all of it has been sent: how fast a client sends is not the server's doing.
        client = self._client
        sink = Observed(client, lambda _: client.route.settle()) if timed else Blocking(client, None)
        self._pending = client.submit(sink, data, timed=False)
        self._timed = timed
        if isinstance(sink, Blocking):
            client.blocking = sink

    def discard(self) -> bool:
        """It was refused: throw its rest away. True, because it is dealt with."""
        self.discarding = True
        return True

    def go_on(self, data: bytes, end: bool) -> bool:
        """Take its next piece. False when that has to wait, or the client was dropped."""
        if self.discarding:
            self.discarding = not end
            return True
        client, connection = self._client, self._client.route.connection
        if connection is None or not connection.alive:
            client.drop("uplink_lost")
            return False
        if not connection.ready:
            client.route.wait_writable(connection)
            return False
        connection.queue.send(data)
        if end and self._pending is not None:
            self._pending.timed = self._timed
            self._pending = None
            client.route.settle()
        return True
