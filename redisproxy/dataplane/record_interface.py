"""What a data plane keeps of what has passed, for people to look at. Used through L{redisproxy.dataplane.interface}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from redisproxy.figures.hot_keys import Hot
    from redisproxy.figures.seconds import Second
    from redisproxy.figures.slow_log import SlowCommand


class RecordOrders(Protocol):
    """Asking for what was kept. At any time."""

    def seconds(self, after: int) -> Deferred[tuple[Second, ...]]:
        """What was measured in each of the last seconds, in order; 300 at the most.

        @param after: only those that have ended later, in seconds since 1970.
        """

    def slow_commands(self) -> Deferred[tuple[SlowCommand, ...]]:
        """The commands that took long, the newest first; as many as C{slowlog.max_entries} says."""

    def hot_keys(self) -> Deferred[Hot]:
        """What sampling has found: the keys that are used most, and the largest replies."""
