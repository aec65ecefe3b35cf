"""The phases of a run by time, so that a client's long wait can be explained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

SHOWN = 4
BETWEEN = "between moves"


class Timeline:
    """The phases of a run, on the monotonic clock, which all processes of a machine share."""

    def __init__(self) -> None:
        self._phases: list[tuple[float, float, str, str]] = []

    def add(self, began: float, ended: float, move: str, name: str) -> None:
        """Add one phase. @param move: the switchover or upgrade with its number."""
        self._phases.append((began, ended, move, name))

    def add_steps(self, began: float, move: str, steps: Iterable[dict[str, Any]]) -> None:
        """Add the steps of a switchover's report; the first one began at `began`."""
        for step in steps:
            ended = began + step["ms"] / 1000
            self.add(began, ended, move, step["name"])
            began = ended

    def explain(self, wait: dict[str, Any], late: list[dict[str, Any]]) -> dict[str, Any]:
        """What went on during a wait.

        @param late: the times when the load itself did not read its connections.
        @return: load, command, ms; C{during}, the phases and their milliseconds, the longest first; C{move}, the
            last switchover or upgrade during the wait; C{load_late_ms}.
        """
        began, ended = wait["began"], wait["ended"]
        during, move = self._shares_ms(began, ended)
        if (rest_ms := wait["ms"] - sum(during.values())) > 0.1:
            during[BETWEEN] = rest_ms
        longest = sorted(during.items(), key=lambda item: -item[1])[:SHOWN]
        return {
            "ms": wait["ms"],
            "load": wait["load"],
            "command": wait["command"],
            "move": move,
            "during": {name: round(ms, 1) for name, ms in longest},
            "load_late_ms": late_ms(began, ended, late),
        }

    def _shares_ms(self, began: float, ended: float) -> tuple[dict[str, float], str]:
        """How much of this time fell into each phase, and the last move in it."""
        during: dict[str, float] = {}
        last = ""
        for start, stop, move, name in self._phases:
            shared_ms = (min(ended, stop) - max(began, start)) * 1000
            if shared_ms > 0:
                during[name] = during.get(name, 0.0) + shared_ms
                last = move
        return during, last


def late_ms(began: float, ended: float, late: Iterable[dict[str, Any]]) -> float:
    """For how much of this time the load itself was late."""
    shared_s = (min(ended, each["ended"]) - max(began, each["began"]) for each in late)
    total_s: float = sum(max(0.0, each) for each in shared_s)
    return round(total_s * 1000, 1)


def in_words(told: dict[str, Any]) -> str:
    """The explanation of a wait in one line."""
    during = ", ".join(f"{name} {ms:.0f} ms" for name, ms in told["during"].items())
    late = f"; the load itself was late by {told['load_late_ms']:.0f} ms" if told["load_late_ms"] >= 1 else ""
    move = f", {told['move']}" if told["move"] else ""
    return f"{told['command']} of {told['load']}{move}: {during}{late}"
