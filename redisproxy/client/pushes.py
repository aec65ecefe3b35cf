"""Push messages of the proxy's own to one client: they go between its replies, never into one.

Whether a push has to wait is found out only when there is one: the connection that the client's replies come from knows
whether one of them has arrived in part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redisproxy.client.protocol import ClientProtocol


class Pushes:
    """The push messages of one client.

    @ivar held: those that wait for the end of the reply that is under way.
    @ivar composing: a piece of a reply is being made and not written; what is pushed meanwhile comes after it.
    """

    __slots__ = ("_client", "_size", "composing", "held")

    def __init__(self, client: ClientProtocol) -> None:
        self._client = client
        self._size = 0
        self.composing = False
        self.held: list[bytes] = []

    def send(self, data: bytes) -> None:
        """Send a push at once, or after the reply that is under way."""
        if not self._client.closed:
            self.held.append(data)
            self._size += len(data)
            self.look()

    def look(self) -> None:
        """Send what is held, unless a reply is under way still."""
        if self._amid_reply():
            self._keep()
            return
        data = b"".join(self.held)
        self.held.clear()
        self._size = 0
        self._client.sync_lane()
        self._client.write(data)

    def _keep(self) -> None:
        client = self._client
        if self._size > client.core.limits.output_hard_bytes:
            client.drop("slow_reader")
        client.sync_lane()

    def _amid_reply(self) -> bool:
        client = self._client
        if self.composing or (client.subscription is not None and client.subscription.amid):
            return True
        connection = client.route.connection
        return bool(client.pending) and connection is not None and connection.queue.amid(client)
