"""The steps of a pass over one database: while one batch is handled, the old server works at the next one already.

The next step begins when the cursor has come, with which an answer begins; what was read is handed on in order.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime

if TYPE_CHECKING:
    from collections.abc import Callable

    from redisproxy.copying.batches import Batch, Batches
    from redisproxy.copying.pace import Pace

FIRST = LAST = b"0"
MOST_AHEAD = 4
"""So many steps are under way or wait to be handled, at the most: what is read has to be held."""


class Steps:
    """Reads the batches; the database is selected by whoever uses it.

    @param may_go_ahead: whether a batch may be read before the one before it is written.
    @param expiring: whether any key may have a time to live.
    """

    def __init__(
        self, batches: Batches, pace: Pace, may_go_ahead: Callable[[], bool], expiring: bool, clock: IReactorTime
    ) -> None:
        self._batches = batches
        self._pace = pace
        self._may_go_ahead = may_go_ahead
        self._expiring = expiring
        self._clock = clock
        self._cursor = FIRST
        self._done_at = 0.0
        self._reading: deque[Deferred[Batch]] = deque()

    @property
    def ahead(self) -> bool:
        """Whether the next step is under way."""
        return bool(self._reading)

    def begin(self) -> None:
        """Begin the next step, if it is not under way."""
        if not self._reading:
            self._begin(self._cursor)

    def _begin(self, cursor: bytes) -> None:
        self._reading.append(ensureDeferred(self._read(cursor)))

    async def _read(self, cursor: bytes) -> Batch:
        began = self._clock.seconds()
        batch = await self._batches.next(cursor, self._pace.count, self._expiring, self._cursor_came)
        done = self._clock.seconds()
        took, self._done_at = done - max(began, self._done_at), done  # before that, it waited for the one before
        await self._pace.step_took(took)
        return batch

    def _cursor_came(self, cursor: bytes) -> None:
        if cursor != LAST and len(self._reading) < MOST_AHEAD and self._pace.hurries and self._may_go_ahead():
            self._begin(cursor)

    async def next(self) -> Batch:
        """The next batch.

        @raise UplinkError: the server did not answer.
        """
        self.begin()
        batch = await self._reading[0]
        self._reading.popleft()
        self._cursor = batch.cursor
        return batch

    def end(self) -> None:
        """Read no further."""
        for reading in self._reading:
            reading.cancel()
            reading.addErrback(lambda _: None)
        self._reading.clear()
