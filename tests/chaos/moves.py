"""A switchover with nothing in its way but the clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.chaos.outcome import TOO_LONG, Outcome, held_too_long, said


def undisturbed(switch: Callable[[], dict[str, Any]], what: str) -> Outcome:
    """It has to be done, unless the clients would have had to wait for too long."""
    answer = switch()
    problems = held_too_long(answer)
    if not answer["ok"] and TOO_LONG not in answer["error"]:
        problems.append(f"the {what} failed: {answer['error']}")
    return Outcome(said(answer), problems=problems, moved=answer["ok"])
