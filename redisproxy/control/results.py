"""What came of the last moves: kept for the pages, counted and logged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from redisproxy.control.errors import SHUTTING_DOWN, BadRequest, OperationError, Unavailable, WrongState
from redisproxy.control.in_words import LEVELS, move_in_words, upgrade_in_words
from redisproxy.dataplane.interface import DataPlaneLost, Rejected
from redisproxy.figures.spans import Span
from redisproxy.net.errors import UplinkError

if TYPE_CHECKING:
    from redisproxy.control.answers import Answer
    from redisproxy.figures.metrics import OperationFigures

KEPT_REPORTS = 10
_TRACED = ("from", "to", "result", "reason", "pause_ms", "held", "state")
"""Of an answer or a report, what is told to whoever traces moves."""
T = TypeVar("T")


class Results:
    """The last results.

    @ivar reload: of the last one, or for what else the configuration was rejected last (C{for}).
    @ivar switchovers, upgrades: reports of the last ones, the newest first.
    @ivar way_back: the way back of the last switchover as a plain value, with secrets: it is handed on, and not shown.
    """

    log = Logger(namespace="redisproxy.control")

    def __init__(self, metrics: OperationFigures, clock: IReactorTime) -> None:
        self._metrics = metrics
        self._clock = clock
        self.reload: Answer = {}
        self.switchovers: list[Answer] = []
        self.way_back: Answer = {}
        self.upgrades: list[Answer] = []

    def now(self) -> float:
        """In seconds since 1970."""
        return self._clock.seconds()

    def ended(self, name: str, began: float, result: Answer | Failure) -> None:
        """A move has ended, however. @param began: when it began, as L{now} told."""
        error = result.getErrorMessage() if isinstance(result, Failure) else ""
        answer = getattr(result.value, "details", {}) if isinstance(result, Failure) else result
        told = {**answer, **(answer.get("report") or {})}
        attributes = {key: told[key] for key in _TRACED if isinstance(told.get(key), str | int | float)}
        steps = tuple((each["name"], each["ms"] / 1000) for each in told.get("steps", ()))
        self._metrics.on_span(Span(name, self.now() - began, error, attributes, steps))

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
        failed = result in ("rolled_back", "refused", "unknown") and not report.get("dry_run")
        self._metrics.switchovers_failed_total += failed
        self._tell(report)

    def amended(self, report: Answer) -> None:
        """More is known of the last switchover, which had ended without it."""
        if self.switchovers:
            self.switchovers[0] = {**self.switchovers[0], **report}
        self._tell(report)

    def _tell(self, report: Answer) -> None:
        level = LogLevel.lookupByName(LEVELS.get(report["result"], "error"))
        self.log.emit(level, "{text}", text=move_in_words(report), report=report)

    def upgraded(self, report: Answer) -> None:
        """An upgrade has ended, however."""
        self.upgrades.insert(0, {**report, "at": self._clock.seconds()})
        del self.upgrades[KEPT_REPORTS:]
        self._metrics.upgrades_total += report["ok"]
        self._metrics.upgrades_failed_total += not report["ok"]
        level = LogLevel.info if report["ok"] else LogLevel.error
        self.log.emit(level, "{text}", text=upgrade_in_words(report), report=report)

    def history(self, upgrade: Answer) -> dict[str, Any]:
        """What the process that takes this one's place goes on with. @param upgrade: the report of this one."""
        upgrades = [{**upgrade, "at": self._clock.seconds()}, *self.upgrades][:KEPT_REPORTS]
        shown = {"reload": self.reload, "switchovers": self.switchovers, "upgrades": upgrades}
        return {**shown, "way_back": self.way_back}

    def take_history(self, history: Mapping[str, Any]) -> None:
        """Go on with what another process has handed on; its program may be another one."""
        self.reload = _of_kind(dict, history.get("reload"))
        self.switchovers = _of_kind(list, history.get("switchovers"))
        self.upgrades = _of_kind(list, history.get("upgrades"))
        self.way_back = _of_kind(dict, history.get("way_back")) or self.way_back

    def failed(self, failure: Failure, name: str) -> Failure:
        """A move has failed; return with what it is answered."""
        if failure.check(CancelledError):
            return Failure(WrongState(SHUTTING_DOWN))  # nothing else cancels it
        if failure.check(OperationError):
            return failure
        self._metrics.reloads_rejected_total += 1
        if failure.check(DataPlaneLost):
            return self._lost(failure.getErrorMessage(), name)
        if not failure.check(Rejected, UplinkError):
            self.log.failure("the {name} failed", failure=failure, name=name)
            self._note({"ok": False, "error": "internal error, see the log", "for": name})
            return failure
        text = failure.getErrorMessage()
        self.log.error("configuration rejected, nothing has changed: {text}", text=text)
        self._note({"ok": False, "error": text, "for": name})
        return Failure(BadRequest(text))

    def _lost(self, text: str, name: str) -> Failure:
        self.log.error("the {name} has not come to its end: {text}", name=name, text=text)
        self._note({"ok": False, "error": text, "for": name})
        return Failure(Unavailable(text))

    def _note(self, result: Answer) -> None:
        self.reload = {**result, "at": self._clock.seconds()}


def _of_kind(kind: type[T], value: object) -> T:
    return value if isinstance(value, kind) else kind()
