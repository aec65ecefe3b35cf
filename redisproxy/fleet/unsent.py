"""What is sent to a peer that does not read it: counted from the moment in which the transport has enough."""

from __future__ import annotations

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

MAX_UNSENT_BYTES = 8 * 1024 * 1024


@implementer(IPushProducer)
class Unsent:
    """That of one connection; registered as the producer of its transport, which says when it has enough."""

    def __init__(self) -> None:
        self._counting = False
        self._bytes = 0

    def add(self, size: int) -> bool:
        """So many bytes more are written; whether the other side has left too many unread."""
        self._bytes += size if self._counting else 0
        return self._bytes > MAX_UNSENT_BYTES

    def pauseProducing(self) -> None:
        """Part of C{IPushProducer}."""
        self._counting = True

    def resumeProducing(self) -> None:
        """Part of C{IPushProducer}."""
        self._counting, self._bytes = False, 0

    def stopProducing(self) -> None:
        """Part of C{IProducer}."""
