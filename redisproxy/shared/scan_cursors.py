"""Cursors of SCAN, HSCAN, SSCAN and ZSCAN, marked with the Redis server that they come from.

A cursor means something only to the server that gave it: on another one it would silently skip keys. After the first
switch, the cursors that clients get bear the number of the server in the bits from 40 to 52 (no hash table has as many
buckets, and a number below 2^53 passes through every client library unharmed). A cursor with another number is refused.

The uplink may be another redisproxy, whose cursors bear marks already: such a mark and the number of the server are
remembered together, and a mark of our own stands for the two.
"""

from __future__ import annotations

from collections.abc import Iterable

SHIFT = 40
NUMBERS = 4096
STALE = (
    "ERR redisproxy: this cursor was given by the Redis server before the switch and means nothing to the one now;"
    " begin again with cursor 0 (the setting allow_scan_across_switch passes it on)"
)
_POSITIONS = {b"SCAN": 1, b"HSCAN": 2, b"SSCAN": 2, b"ZSCAN": 2}
MAX_HEAD = 64
SPREAD = 61
"""So far apart begin the marks that stand for marks of another server."""


def mark_of(number: int) -> int:
    """The mark for a server number: 0 for the first server only."""
    return 0 if number == 0 else 1 + (number - 1) % (NUMBERS - 1)


class Marks:
    """The marks that stand for a server number and the mark of a proxy further on.

    Those for a Redis server are given out from the lowest number up. Where the others begin is computed from what they
    stand for, so that the workers of one proxy give the same ones, and a client may take its cursor to another worker.
    """

    def __init__(self) -> None:
        self._marks: dict[tuple[int, int], int] = {}
        self._meanings: dict[int, tuple[int, int]] = {}

    def mark(self, number: int, further: int) -> int:
        """The mark for a server number.

        @param further: the mark that the server itself has given; 0 when it is no proxy, or has none to give.
        """
        if not further:
            return mark_of(number)
        found = self._marks.get((number, further))
        return self._give(number, further) if found is None else found

    def _give(self, number: int, further: int) -> int:
        mark = first = NUMBERS - 1 - (number * SPREAD + further) % (NUMBERS - 1)
        while mark in self._meanings:
            mark = mark - 1 or NUMBERS - 1
            if mark == first:  # all are given: the oldest one goes
                mark = next(iter(self._meanings))
                del self._marks[self._meanings.pop(mark)]
        self._meanings[mark] = (number, further)
        self._marks[number, further] = mark
        return mark

    def export(self) -> tuple[tuple[int, int, int], ...]:
        """Every mark with the server number and the further mark that it stands for, in the order they were given."""
        return tuple((mark, number, further) for (number, further), mark in self._marks.items())

    def take_in(self, marks: Iterable[tuple[int, int, int]]) -> None:
        """Go on with the marks that another process has given, and this one has not begun to."""
        for mark, number, further in marks:
            self._meanings[mark] = (number, further)
            self._marks[number, further] = mark

    def further(self, mark: int, number: int, lenient: bool) -> int | None:
        """The mark that the server knows, in place of `mark`; None when that was given for another server."""
        meaning = self._meanings.get(mark)
        if meaning is not None and (lenient or meaning[0] == number):
            return meaning[1]
        return 0 if lenient or mark == mark_of(number) else None


class ScanCursors:
    """The cursors of the server in use.

    @ivar server_number: how many Redis servers there have been before it; 0 for the first.
    @ivar lenient: pass cursors of former servers on. @ivar marks: what the marks in cursors stand for.
    """

    def __init__(self) -> None:
        self.server_number = 0
        self.lenient = False
        self.marks = Marks()

    def incoming(self, args: list[bytes]) -> list[bytes] | None:
        """See L{incoming}."""
        return incoming(args, self.server_number, self.lenient, self.marks)

    def outgoing(self, data: bytes, number: int) -> bytes:
        """See L{outgoing}."""
        return outgoing(data, number, self.marks)


def position(args: list[bytes]) -> int:
    """Where the cursor stands among the arguments."""
    return _POSITIONS[args[0].upper()]


def incoming(args: list[bytes], number: int, lenient: bool, marks: Marks) -> list[bytes] | None:
    """What goes to Redis in place of `args`: the same object when nothing changes; None when the cursor is stale.

    @param number: of the server now; 0 for the first one.
    @param lenient: pass every cursor on, whatever server it comes from.
    """
    at = position(args)
    if at >= len(args) or not args[at].isdigit() or len(args[at]) > 20:
        return args  # Redis says what is wrong with it
    cursor = int(args[at])
    if cursor == 0 or cursor >> SHIFT >= NUMBERS:
        return args  # the second was never given by anybody
    further = marks.further(cursor >> SHIFT, number, lenient)
    if further is None:
        return None
    theirs = cursor & ((1 << SHIFT) - 1) | further << SHIFT
    return args if theirs == cursor else [*args[:at], b"%d" % theirs, *args[at + 1 :]]


def head_is_complete(data: bytes) -> bool:
    """Whether `data`, the beginning of a reply, holds all of the cursor or never will."""
    return not data.startswith(b"*2\r\n$"[: len(data)]) or data.count(b"\r\n") >= 3 or len(data) > MAX_HEAD


def outgoing(data: bytes, number: int, marks: Marks) -> bytes:
    """Mark the cursor in the beginning of a reply; anything else stays as it is."""
    parts = data.split(b"\r\n", 3)
    if len(parts) < 4 or parts[0] != b"*2" or not parts[2].isdigit():
        return data
    cursor = int(parts[2])
    if not 0 < cursor < NUMBERS << SHIFT:
        return data
    mark = marks.mark(number, cursor >> SHIFT)
    marked = b"%d" % (cursor & ((1 << SHIFT) - 1) | mark << SHIFT)
    return b"*2\r\n$%d\r\n%b\r\n%b" % (len(marked), marked, parts[3])
