"""What comes of one seed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """The outcome of one seed.

    @ivar violation: what must never happen, and happened; empty when all was well.
    """

    seed: int
    violation: str = ""
    transcript: list[str] = field(default_factory=list)
    events: int = 0
    commands: int = 0
    switchovers: int = 0
    digest: int = 0
    answers: list[str] = field(default_factory=list)


def hash_of(line: str, before: int) -> int:
    """A number that is the same in every process."""
    return zlib.crc32(line.encode(), before)
