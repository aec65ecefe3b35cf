"""A worker's log goes to the control process, which has the log file; it never makes the worker wait.

An event is a line: its level as in sd-daemon(3), such as C{<4>}, and its text as JSON, so that a traceback stays whole.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from twisted.logger import ILogObserver, LogLevel, eventAsText
from zope.interface import implementer

from redisproxy.net.log_levels import level_of

if TYPE_CHECKING:
    from twisted.logger import LogEvent


_PRIORITIES = {LogLevel.debug: 7, LogLevel.info: 6, LogLevel.warn: 4, LogLevel.error: 3, LogLevel.critical: 2}
_LEVELS = {str(priority): level for level, priority in _PRIORITIES.items()}
_EVENT = re.compile(r'<([0-7])>(".*")')


@implementer(ILogObserver)
class LogPipe:
    """An observer that writes to a pipe. What the pipe does not take is dropped, and counted in the next line."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._dropped = 0

    def __call__(self, event: LogEvent) -> None:
        text = eventAsText(event, includeTimestamp=False)
        lost = f" ({self._dropped} lines before this one were dropped)" if self._dropped else ""
        priority = _PRIORITIES.get(level_of(event), 6)
        try:
            os.write(self._descriptor, f"<{priority}>{json.dumps(text + lost)}\n".encode())
            self._dropped = 0
        except OSError:
            self._dropped += 1


def event_in(line: str) -> tuple[Any, str]:
    """The level and the text of a line; what is none of L{LogPipe} is as it is, at the level info."""
    found = _EVENT.fullmatch(line)
    if found is not None and found[1] in _LEVELS:
        try:
            return _LEVELS[found[1]], str(json.loads(found[2]))
        except ValueError:
            pass  # it was cut
    return LogLevel.info, line


class Lines:
    """Makes lines of what comes from the pipe; a part of one stays for the next time."""

    MAX_BYTES = 65536

    def __init__(self) -> None:
        self._rest = b""

    def add(self, data: bytes) -> list[str]:
        """The lines that are complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > self.MAX_BYTES:
            lines, self._rest = [*lines, self._rest], b""
        return [line.decode("utf-8", "replace") for line in lines if line]
