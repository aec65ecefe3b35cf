"""Back-pressure of the Redis server: whether an uplink connection takes more bytes, and who waits for that."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from redisproxy.forwarding.interfaces import Waiter


@implementer(IPushProducer)
class BackPressure:
    """What the transport of one connection tells of its buffer. It is registered there as the producer.

    @param on_change: called when `writable` may have changed.
    @ivar writable: the transport takes more bytes.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.writable = True
        self._on_change = on_change
        self._waiters: dict[Waiter, None] = {}

    def wait(self, waiter: Waiter) -> None:
        """Call C{waiter.uplink_writable()} once the transport takes more bytes, or has gone."""
        self._waiters[waiter] = None

    def forget(self, waiter: Waiter) -> None:
        """`waiter` has gone away."""
        self._waiters.pop(waiter, None)

    def wake(self) -> None:
        """Call everybody who waits."""
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            waiter.uplink_writable()

    def pauseProducing(self) -> None:
        self.writable = False
        self._on_change()

    def resumeProducing(self) -> None:
        self.writable = True
        self._on_change()
        self.wake()

    def stopProducing(self) -> None:
        self.pauseProducing()
