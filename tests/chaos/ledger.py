"""What one client knows of its data: acknowledged writes are there exactly once, others at most once.

A command whose reply never came may still be carried out later: it may lie in the receive buffer of a stopped server.
So whatever was written without an answer stays possible to the end, and a key with such a write is left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Count:
    """A key that is only incremented.

    @ivar low: it is at least this much. @ivar high: it is at most this much.
    """

    low: int = 0
    high: int = 0

    def replied(self, value: object) -> str:
        """INCR was answered; what is wrong with the answer."""
        if not isinstance(value, int) or not self.low < value <= self.high + 1:
            return f"INCR answered {value!r}, from {self.low + 1} to {self.high + 1} was possible"
        # What is unanswered and not in this value may come later still.
        self.low = value
        self.high += 1
        return ""

    def unanswered(self) -> None:
        """An INCR was sent, and its reply never came."""
        self.high += 1

    def final(self, value: int) -> str:
        """What is wrong with the value in the end."""
        right = self.low <= value <= self.high
        return "" if right else f"the counter is {value}, from {self.low} to {self.high} was possible"


@dataclass
class Elements:
    """A list to whose end unique elements are pushed."""

    acknowledged: list[str] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)

    def final(self, found: list[str]) -> str:
        """What is wrong with the list in the end."""
        counted, pushed = Counter(found), self.unknown.union(self.acknowledged)
        doubled = [each for each, times in counted.items() if times > 1]
        strange = [each for each in found if each not in pushed]
        known = [each for each in found if each not in self.unknown]
        if doubled or strange:
            return f"elements are there twice: {doubled[:5]}, or were never pushed: {strange[:5]}"
        if known != self.acknowledged:
            lost = [each for each in self.acknowledged if each not in counted]
            return f"acknowledged elements are lost: {lost[:5]}" if lost else "elements are in another order"
        return ""


@dataclass
class Slot:
    """A key that is SET again and again, until a SET is not answered; then a new key is begun.

    @ivar possible: every value that it may have; None is no value.
    """

    possible: list[str | None] = field(default_factory=lambda: [None])

    def acknowledged(self, value: str) -> None:
        """A SET was answered."""
        self.possible = [value]

    def unanswered(self, value: str) -> None:
        """The reply to a SET never came."""
        self.possible.append(value)

    def read(self, value: str | None) -> str:
        """What is wrong with a value that was read."""
        return "" if value in self.possible else f"{value!r} was read, possible was {self.possible}"


@dataclass
class Jobs:
    """A queue with unique jobs and blocked workers.

    @ivar lost_pops: workers that went away while they waited, and may have taken a job along.
    """

    pushed: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    popped: list[str] = field(default_factory=list)
    lost_pops: list[str] = field(default_factory=list)

    def final(self, left: Iterable[str]) -> str:
        """What is wrong when `left` is in the queue in the end."""
        seen = Counter([*self.popped, *left])
        doubled = [job for job, times in seen.items() if times > 1]
        strange = seen.keys() - self.pushed - self.unknown
        missing = self.pushed - seen.keys()
        if doubled or strange:
            return f"jobs came twice: {doubled[:5]}, or from nowhere: {sorted(strange)[:5]}"
        if len(missing) > len(self.lost_pops):
            taken = len(self.lost_pops)
            return f"{len(missing)} jobs are lost, workers could have taken {taken}: {sorted(missing)[:5]}"
        return ""
