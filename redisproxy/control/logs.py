"""The log of the process: one line an event, as text or JSON, from the level on that is in force.

twistd's own options for the log (C{-l}, C{--syslog}, C{-n}) keep their meaning; whoever names another C{--logger} gets
that. What clients have sent may be in a line, so whatever could not be printed is escaped.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.logger import (
    FileLogObserver,
    ILogObserver,
    LegacyLogObserverWrapper,
    formatEvent,
    formatEventAsClassicLogText,
)
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile
from zope.interface import implementer

from redisproxy.net.log_levels import level_of

if TYPE_CHECKING:
    from twisted.logger import LogEvent

    from redisproxy.config import Settings

LEVELS = ("debug", "info", "warn", "error", "critical")
TRACEBACK = "Traceback (most recent call last)"
_NEXT_LINE = "\n\t"
_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


@implementer(ILogObserver)
class Logs:
    """The observer of everything that is logged.

    @param options: those of twistd. @param settings: gives those in force.
    """

    def __init__(self, options: Mapping[str, Any], settings: Callable[[], Settings]) -> None:
        self._options = options
        self._settings = settings
        self._in_the_reactor: Callable[[Callable[[], None]], object] = lambda call: call()
        self._observer: Callable[[LogEvent], None] | None = None

    def follow(self, settings: Callable[[], Settings], in_the_reactor: Callable[[Callable[[], None]], object]) -> None:
        """Take level and format from these settings from now on.

        @param in_the_reactor: has a call made between two turns of the reactor; it is used by signal handlers.
        """
        self._settings, self._in_the_reactor = settings, in_the_reactor

    @property
    def wanted(self) -> bool:
        """Whether twistd's options leave the log to this."""
        return not self._options.get("logger")

    def open(self) -> Logs:
        """Begin to write, where the options say."""
        if self._options.get("syslog"):
            from twisted.python.syslog import SyslogObserver

            syslog: Any = SyslogObserver(self._options.get("prefix", "")).emit
            self._observer = LegacyLogObserverWrapper(syslog)
        else:
            self._observer = FileLogObserver(self._file(), self._line)
        return self

    def __call__(self, event: LogEvent) -> None:
        settings = self._settings()
        if self._observer is not None and LEVELS.index(_level(event)) >= LEVELS.index(settings.log_level):
            self._observer(event)

    def _line(self, event: LogEvent) -> str | None:
        text = as_json(event) if self._settings().log_format == "json" else as_text(event)
        return None if text is None else text.translate(_ESCAPED)

    def _file(self) -> Any:
        """Where twistd would log to; SIGUSR1 begins another file, as with twistd."""
        name, here = self._options.get("logfile") or "", self._options.get("nodaemon")
        if name == "-" and not here:
            sys.exit("Daemons cannot log to stdout, exiting!")
        if name == "-" or (here and not name):
            return sys.stdout
        file = LogFile.fromFullPath(name or "twistd.log")
        if not signal.getsignal(signal.SIGUSR1):
            signal.signal(signal.SIGUSR1, lambda number, frame: self._in_the_reactor(file.rotate))
        return file


class LoggedService(Service):
    """A service that logs by L{Logs} when twistd runs it; twist has a log of its own.

    @ivar logs: set before the service has a parent.
    """

    logs: Logs | None = None

    def setServiceParent(self, parent: Any) -> None:
        """twistd takes what logs from the application, unless its options name a logger."""
        if self.logs is not None and self.logs.wanted and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self.logs.open())
        service: Any = super()
        service.setServiceParent(parent)


def as_text(event: LogEvent) -> str | None:
    """An event as a line of text, with the C{report} of a move behind it; only a traceback takes several."""
    text = formatEventAsClassicLogText(event, _time)
    if text is None or TRACEBACK in text:
        return text
    report = json.dumps(event["report"], default=str) if isinstance(event.get("report"), dict) else ""
    return f"{text.rstrip().replace(_NEXT_LINE, '; ')} {report}".rstrip() + "\n"


def _time(when: float | None) -> str:
    return datetime.fromtimestamp(when or 0).astimezone().isoformat(timespec="milliseconds")


def as_json(event: LogEvent) -> str:
    """An event as a line of JSON: C{time}, C{level}, C{namespace}, C{message}, of a failure its C{traceback}, and of
    a move that has ended its C{report}.
    """
    told = {
        "time": datetime.fromtimestamp(event.get("log_time", 0), UTC).isoformat(timespec="milliseconds"),
        "level": _level(event),
        "namespace": event.get("log_namespace", ""),
        "message": formatEvent(event),
    }
    failure = event.get("log_failure")
    if failure is not None:
        told["traceback"] = failure.getTraceback()
    if isinstance(event.get("report"), dict):
        told["report"] = event["report"]
    return json.dumps(told, default=str) + "\n"


def _level(event: LogEvent) -> str:
    name: str = level_of(event).name
    return name
