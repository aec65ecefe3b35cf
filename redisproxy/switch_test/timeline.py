"""The phases of a run by time, so that a client's long wait can be explained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

SHOWN = 4
BETWEEN = "between switchovers"


class Timeline:
    """The phases of a run, on the monotonic clock, which all processes of a machine share."""

    def __init__(self) -> None:
        self._phases: list[tuple[float, float, int, str]] = []

    def add(self, began: float, ended: float, switchover: int, name: str) -> None:
        """Add one phase."""
        self._phases.append((began, ended, switchover, name))

    def add_steps(self, began: float, switchover: int, steps: Iterable[dict[str, Any]]) -> None:
        """Add the steps of a switchover's report; the first one began at `began`."""
        for step in steps:
            ended = began + step["ms"] / 1000
            self.add(began, ended, switchover, step["name"])
            began = ended

    def explain(self, wait: dict[str, Any], late: list[dict[str, Any]]) -> dict[str, Any]:
        """What went on during a wait.

        @param late: the times when the load itself did not read its connections.
        @return: load, command, ms; C{during}, the phases and their milliseconds, the longest first; C{switchover}, the
            number of the last switchover during the wait; C{load_late_ms}.
        """
        began, ended = wait["began"], wait["ended"]
        during, number = self._shares_ms(began, ended)
        if (rest_ms := wait["ms"] - sum(during.values())) > 0.1:
            during[BETWEEN] = rest_ms
        late_ms = sum(max(0.0, min(ended, each["ended"]) - max(began, each["began"])) for each in late) * 1000
        longest = sorted(during.items(), key=lambda item: -item[1])[:SHOWN]
        return {
            "ms": wait["ms"],
            "load": wait["load"],
            "command": wait["command"],
            "switchover": number,
            "during": {name: round(ms, 1) for name, ms in longest},
            "load_late_ms": round(late_ms, 1),
        }

    def _shares_ms(self, began: float, ended: float) -> tuple[dict[str, float], int]:
        """How much of this time fell into each phase, and the number of the last switchover in it."""
        during: dict[str, float] = {}
        number = 0
        for start, stop, switchover, name in self._phases:
            shared_ms = (min(ended, stop) - max(began, start)) * 1000
            if shared_ms > 0:
                during[name] = during.get(name, 0.0) + shared_ms
                number = switchover
        return during, number


def in_words(told: dict[str, Any]) -> str:
    """The explanation of a wait in one line."""
    during = ", ".join(f"{name} {ms:.0f} ms" for name, ms in told["during"].items())
    late = f"; the load itself was late by {told['load_late_ms']:.0f} ms" if told["load_late_ms"] >= 1 else ""
    return f"{told['command']} of {told['load']}, switchover {told['switchover']}: {during}{late}"
