"""What came of the last moves: kept for the pages, counted and logged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.control.errors import SHUTTING_DOWN, BadRequest, OperationError, WrongState
from redisproxy.dataplane.interface import DataPlaneLost, Rejected
from redisproxy.net.errors import UplinkError

if TYPE_CHECKING:
    from redisproxy.control.answers import Answer
    from redisproxy.figures.metrics import OperationFigures

KEPT_REPORTS = 10


class Results:
    """The last results.

    @ivar reload: of the last one. @ivar switchovers: reports of the last ones, the newest first.
    """

    log = Logger(namespace="redisproxy.control")

    def __init__(self, metrics: OperationFigures, clock: IReactorTime) -> None:
        self._metrics = metrics
        self._clock = clock
        self.reload: Answer = {}
        self.switchovers: list[Answer] = []

    def reloaded(self, answer: Answer) -> None:
        """A reload was done."""
        self._metrics.reloads_total += 1
        self.log.info(
            "configuration reloaded, changed: {changed}; clients were held for {ms} ms",
            changed=", ".join(answer["changed"]) or "nothing",
            ms=answer["pause_ms"],
        )
        self._note({"ok": True, **answer})

    def switched_over(self, report: Answer) -> None:
        """A switchover has ended, however."""
        result = report["result"]
        self.switchovers.insert(0, {**report, "at": self._clock.seconds()})
        del self.switchovers[KEPT_REPORTS:]
        self._metrics.switchovers_total += result == "done"
        self._metrics.switchovers_failed_total += result in ("rolled_back", "refused")
        self.log.info("switchover {result}: {report}", result=result, report=json.dumps(report, default=str))

    def failed(self, failure: Failure, name: str) -> Failure:
        """A move has failed; return with what it is answered."""
        if failure.check(CancelledError):
            return Failure(WrongState(SHUTTING_DOWN))  # nothing else cancels it
        if failure.check(OperationError):
            return failure
        self._metrics.reloads_rejected_total += 1
        if not failure.check(Rejected, UplinkError, DataPlaneLost):
            self.log.failure("the {name} failed", failure=failure, name=name)
            self._note({"ok": False, "error": "internal error, see the log"})
            return failure
        text = failure.getErrorMessage()
        self.log.error("configuration rejected, nothing has changed: {text}", text=text)
        self._note({"ok": False, "error": text})
        return Failure(BadRequest(text))

    def _note(self, result: Answer) -> None:
        self.reload = {**result, "at": self._clock.seconds()}
