"""What waits for replies in the queue of an uplink connection. C{_native.core} holds the compiled twin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

NOT_COUNTED = -1


class Entry:
    """Replies that somebody waits for.

    @ivar want: how many are not complete yet.
    @ivar counted: whether they were admitted at the gate (the proxy's own commands are not).
    @ivar timed: whether C{read_time_limit_ms} applies.
    @ivar family: of the commands; C{NOT_COUNTED} for what is not a client's. @ivar families: of each, if they are
        of several. @ivar arrived_ns, sent_ns: when the client had sent them, and when they left; 0 if unknown.
    @ivar head, count: the commands, or how they begin, and how many they were; only while slow ones are noted.
    @ivar sized: takes the size of one of the replies, in bytes; None mostly. @ivar before: how many come before it.
    @ivar size: of it so far.
    """

    __slots__ = (
        "arrived_ns", "before", "count", "counted", "families", "family", "head", "sent_ns", "sink", "size", "sized",
        "timed", "want"
    )  # fmt: skip

    def __init__(self, sink: Any, want: int, counted: bool, timed: bool) -> None:
        self.sink = sink
        self.want = want
        self.counted = counted
        self.timed = timed
        self.family = NOT_COUNTED
        self.families: bytes | None = None
        self.arrived_ns = self.sent_ns = self.count = 0
        self.head = b""
        self.sized: Callable[[int], None] | None = None
        self.before = self.size = 0

    def rest(self) -> Entry:
        """An entry for all but the next reply, which alone is left here."""
        rest = Entry(self.sink, self.want - 1, self.counted, self.timed)
        rest.family, rest.families = self.family, self.families
        rest.arrived_ns, rest.sent_ns = self.arrived_ns, self.sent_ns
        rest.head, rest.count = self.head, self.count
        if self.families is not None:
            self.family, self.families = self.families[-self.want], None
        self.count -= self.want - 1
        self.want = 1
        if self.sized is not None and self.before:
            rest.sized, rest.before = self.sized, self.before - 1
            self.sized = None
        return rest
