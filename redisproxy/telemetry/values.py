"""What is handed to the thread that exports."""

from __future__ import annotations

from dataclasses import dataclass

from redisproxy.figures.spans import Span


@dataclass(frozen=True)
class Moment:
    """All figures. @ivar text: as Prometheus gets them. @ivar time: when they were read, in seconds since 1970."""

    text: bytes
    time: float


@dataclass(frozen=True)
class Ended:
    """A span. @ivar time: when it ended, in seconds since 1970. @ivar inside: pauses that belong to it."""

    span: Span
    time: float
    inside: tuple[Ended, ...] = ()
