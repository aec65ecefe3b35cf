"""PING on a connection where nothing is going on: whether the server is still there."""

from __future__ import annotations

from redisproxy.forwarding.collector import Collector
from redisproxy.forwarding.twins import Queue
from redisproxy.resp import encode_command


class Keepalive:
    """The pings of one connection."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._last: float | None = None
        self._sent_at: float | None = None

    def ping_when_due(self, now: float, interval_s: float) -> None:
        """Send a PING, `interval_s` after the last one. Not inside of a MULTI, which would queue it."""
        if self._last is None:
            self._last = now
        elif now - self._last >= interval_s:
            self.ping(now)

    def ping(self, now: float) -> None:
        """Ask whether the server is there; L{unanswered_s} tells."""
        self._last = self._sent_at = now
        self._queue.submit(Collector(1, self._answered), encode_command("PING"), 1, False)

    def _answered(self, replies: list[object] | None) -> None:
        self._sent_at = None

    def unanswered_s(self, now: float) -> float:
        """For how many seconds a PING has not been answered; 0 when none is out."""
        return 0.0 if self._sent_at is None else now - self._sent_at
