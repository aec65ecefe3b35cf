"""What a round has come to, and what clients may have seen of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.chaos.incidents import LOST, UNAVAILABLE

NOTHING: frozenset[str] = frozenset()
ANYTHING = frozenset({LOST, UNAVAILABLE})
LONGEST_PAUSE_MS = 2300
"""The pause budget, plus what a busy machine adds."""
TOO_LONG = "the pause would have become longer"


@dataclass
class Outcome:
    """What was done, what clients may have seen of it, and what was wrong."""

    text: str
    allowed: frozenset[str] = NOTHING
    problems: list[str] = field(default_factory=list)
    moved: bool = False


def held_too_long(answer: dict[str, Any]) -> list[str]:
    """What is wrong with the pause of a switchover."""
    pause_ms = answer.get("report", {}).get("pause_ms", 0)
    return [f"clients were held for {pause_ms:.0f} ms"] if pause_ms > LONGEST_PAUSE_MS else []


def said(answer: dict[str, Any]) -> str:
    """The answer to a switchover, for the transcript."""
    if answer["ok"]:
        return f"done, pause of {answer['report']['pause_ms']:.0f} ms"
    pause_ms = answer.get("report", {}).get("pause_ms", 0)
    return f"rolled back, pause of {pause_ms:.0f} ms: " + answer["error"].replace("\n", "; ")[:300]
