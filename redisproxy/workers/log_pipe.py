"""A worker's log goes to the control process, which has the log file; it never makes the worker wait."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from twisted.logger import ILogObserver, eventAsText
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.logger import LogEvent


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
        try:
            os.write(self._descriptor, f"{text}{lost}\n".encode("utf-8", "backslashreplace"))
            self._dropped = 0
        except OSError:
            self._dropped += 1


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
