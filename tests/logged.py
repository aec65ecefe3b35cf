"""What is logged while something is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer


@contextmanager
def logged() -> Iterator[list[tuple[str, str]]]:
    """The level and the text of each event, as they come."""
    told: list[tuple[str, str]] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        told.append((event["log_level"].name, str(formatEvent(event))))

    globalLogPublisher.addObserver(observe)
    try:
        yield told
    finally:
        globalLogPublisher.removeObserver(observe)
