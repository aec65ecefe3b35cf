"""Lets an operator abort the switchover that runs: at any time before the new server is promoted."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, fail

from redisproxy.control.answers import Answer
from redisproxy.control.errors import WrongState

if TYPE_CHECKING:
    from redisproxy.switchover.effects import Effects
    from redisproxy.switchover.report import Report

TOO_LATE = "too late: the new server is promoted or about to be, and the clients go on there"


class Abortable(Protocol):
    """A switchover or a failover.

    @ivar effects: what it has changed so far.
    """

    @property
    def effects(self) -> Effects: ...

    @property
    def report(self) -> Report: ...


class Abort:
    """Runs one switchover after the other, and ends the one that runs.

    @ivar ordered: the one that runs is aborted.
    """

    def __init__(self) -> None:
        self.ordered = False
        self._switchover: Abortable | None = None
        self._working: Deferred[Answer] | None = None
        self._waiting: list[Deferred[Answer]] = []

    async def run(self, work: Coroutine[Deferred[Any], Any, Answer]) -> Answer:
        """Wait for `work`.

        @raise WrongState: it was aborted before it had a report.
        """
        self._switchover, self.ordered = None, False
        working = self._working = ensureDeferred(work)
        try:
            return await working
        except CancelledError:
            if not self.ordered:
                raise
            raise WrongState("aborted by an operator before anything had begun") from None
        finally:
            self._working = None
            self._answer()

    def watch(self, switchover: Abortable) -> None:
        """C{work} runs this one now."""
        self._switchover = switchover

    def order(self) -> Deferred[Answer]:
        """Abort what runs. Fires when everything is undone; fails with L{WrongState} when nothing runs, or too late."""
        switchover = self._switchover
        if self._working is None:
            return fail(WrongState("no switchover is running, and no failover"))
        if switchover is not None and switchover.effects.too_late:
            return fail(WrongState(TOO_LATE))
        answer: Deferred[Answer] = Deferred()
        self._waiting.append(answer)
        first, self.ordered = not self.ordered, True
        if first and (switchover is None or switchover.effects.abort()):
            self._working.cancel()
        return answer

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        report = self._switchover.report if self._switchover is not None else {}
        for each in waiting:
            if report.get("result") in ("done", "unknown"):
                each.errback(WrongState(report["error"] or TOO_LATE, report=report))
            else:
                each.callback({"state": "aborted", "report": report})
