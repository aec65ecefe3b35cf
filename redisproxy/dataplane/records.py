"""The orders that ask what has passed, carried out in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed

if TYPE_CHECKING:
    from redisproxy.figures.seconds import Second, Seconds


class LocalRecords:
    """Implements C{interface.RecordOrders}."""

    def __init__(self, seconds: Seconds) -> None:
        self._seconds = seconds

    def seconds(self, after: int) -> Deferred[tuple[Second, ...]]:
        return succeed(self._seconds.after(after))
