"""The upgrades of a run: when they come, and what each of them was for the clients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redisproxy.switch_test.timeline import Timeline, late_ms

SWITCHOVER, UPGRADE = "switchover", "upgrade"


def moves(switchovers: int, upgrades: int) -> list[str]:
    """The moves of a run in their order, upgrades spread evenly among switchovers."""
    counts = ((SWITCHOVER, switchovers), (UPGRADE, upgrades))
    return [kind for _, kind in sorted(((at + 0.5) / count, kind) for kind, count in counts for at in range(count))]


@dataclass
class Upgrade:
    """One upgrade that has taken place.

    @ivar began, ended: when it was asked for and answered, in seconds of the monotonic clock.
    @ivar answer: of C{cmd=upgrade}. @ivar longest: begin and end of the longest wait of a busy
        client of which a part fell into it.
    """

    began: float
    ended: float
    answer: dict[str, Any]
    longest: tuple[float, float] = (0.0, 0.0)

    def waited(self, began: float, ended: float) -> None:
        """A busy client has waited for a reply."""
        if began < self.ended and ended > self.began:
            self.longest = max(self.longest, (began, ended), key=lambda wait: wait[1] - wait[0])

    def told(self, late: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Milliseconds, clients handed over, clients that stayed in the process before, and the longest wait.

        @param late: the times when the load itself was late; C{load_late_ms} is the part of them in that wait.
        """
        figures = {key: self.answer[key] for key in ("ms", "hand_over_ms", "clients", "stayed")}
        began, ended = self.longest
        wait_ms = round((ended - began) * 1000, 1)
        return {**figures, "longest_wait_ms": wait_ms, "load_late_ms": late_ms(began, ended, late)}

    def add_to(self, timeline: Timeline, name: str) -> None:
        """Add what it did to the timeline."""
        handed = self.began + self.answer["ms"] / 1000
        begun = handed - self.answer["hand_over_ms"] / 1000
        timeline.add(self.began, begun, name, "starting the program")
        timeline.add(begun, handed, name, "hand over")
        timeline.add(handed, self.ended, name, "take charge")
