"""The orders that ask what has passed, carried out in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed

if TYPE_CHECKING:
    from redisproxy.figures.hot_keys import Hot, HotKeys
    from redisproxy.figures.seconds import Second, Seconds
    from redisproxy.figures.slow_log import SlowCommand, SlowLog


class LocalRecords:
    """Implements C{interface.RecordOrders}."""

    def __init__(self, seconds: Seconds, slow_log: SlowLog, hot_keys: HotKeys) -> None:
        self._seconds = seconds
        self._slow_log = slow_log
        self._hot_keys = hot_keys

    def seconds(self, after: int) -> Deferred[tuple[Second, ...]]:
        return succeed(self._seconds.after(after))

    def slow_commands(self) -> Deferred[tuple[SlowCommand, ...]]:
        return succeed(self._slow_log.entries())

    def hot_keys(self) -> Deferred[Hot]:
        return succeed(self._hot_keys.hot())
