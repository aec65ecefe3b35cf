"""Replies that a client does not read: its transport tells, and what it has asked for waits at the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from redisproxy.client.reasons import Reason

if TYPE_CHECKING:
    from redisproxy.client.protocol import ClientProtocol

LEAVE_BYTES = 1048576
"""With so much unread a client gets its shared connection to itself; looked at again after as much."""


@implementer(IPushProducer)
class Backlog:
    """The producer of one client's transport.

    While replies pile up, the client's commands are not taken, and a connection on which nobody else waits is not read.
    """

    __slots__ = ("_client", "_size")

    def __init__(self, client: ClientProtocol) -> None:
        self._client = client
        self._size = 0

    def __bool__(self) -> bool:
        return self._size > 0

    def pauseProducing(self) -> None:
        """Replies pile up: take no more commands, and read a pinned connection no further."""
        self._size = 1
        self._client.sync_lane()
        self._client.block(Reason.SLOW_READER)
        self._client.route.stop_replies()

    def resumeProducing(self) -> None:
        """The client has read what it had not."""
        self._size = 0
        self._client.sync_lane()
        self._client.route.resume_replies()
        self._client.unblock(Reason.SLOW_READER)

    def stopProducing(self) -> None:
        """The transport is gone; it tells the protocol, too."""

    def grow(self, size: int) -> None:
        """Count `size` bytes more that were written although the client does not read."""
        before = self._size
        self._size += size
        if self._size > self._client.core.limits.output_hard_bytes:
            self._client.drop("slow_reader")
        elif self._size // LEAVE_BYTES > before // LEAVE_BYTES:
            self._client.route.leave_to_others()
