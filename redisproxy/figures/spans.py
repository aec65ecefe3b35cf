"""What has just ended and how long it took, for whoever traces it: moves with their steps, and pauses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Span:
    """Something that has just ended.

    @ivar seconds: how long it took. @ivar error: why it failed; empty when it did not.
    @ivar attributes: what else is known of it. @ivar steps: one after the other, with the seconds that each took.
    """

    name: str
    seconds: float
    error: str = ""
    attributes: Mapping[str, str | int | float] = field(default_factory=dict)
    steps: tuple[tuple[str, float], ...] = ()
