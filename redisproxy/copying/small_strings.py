"""Reading many small strings at once, without a script: GETRANGE of each, cut off where it is not small any more.

A value is there as soon as it is found, and nothing but its own command has to be read for it, which costs the old
server the least. What changes between two of these commands is among the changes.

Servers before 7.0 do not tell when a key expires, but how long it has left: between two answers to TIME with the same
millisecond that is as good. Keys for which these differ are left to who looks closer.
"""

from __future__ import annotations

from itertools import repeat
from typing import Any, NamedTuple

from redisproxy.copying.looks import time_ms
from redisproxy.forwarding.twins import encode_command, encode_each

VALUES_BYTES, VALUE_BYTES = 2 * 1024 * 1024, 1024 * 1024
"""What all values of a batch may have together, and one of them: so much is asked for at the most."""

_HEAD = b"*4\r\n$8\r\nGETRANGE\r\n"
_EXPIRY = b"*2\r\n$11\r\nPEXPIRETIME\r\n"
_LEFT = b"*2\r\n$4\r\nPTTL\r\n"
_TIME = b"*1\r\n$4\r\nTIME\r\n"
_BETWEEN = 20
"""So many keys are asked between two TIMEs: few enough that a millisecond is seldom over meanwhile."""


class Written(NamedTuple):
    """Commands for the new server.

    @ivar keys: how many keys they write. @ivar left: keys that they do not: not small, empty or gone, of another type.
    """

    wire: bytes
    commands: int
    keys: int
    left: list[bytes]


class SmallStrings:
    """Some keys, of which all are strings when they are asked for.

    @param expiring: whether any may have a time to live. @param expiry_times: the server tells when they expire.
    """

    def __init__(self, names: list[bytes], expiring: bool, expiry_times: bool = True) -> None:
        self.names = names
        self._expiring = expiring
        self._expiry_times = expiry_times
        self._last = min(VALUE_BYTES, VALUES_BYTES // max(len(names), 1))
        """The last byte that is asked for; a value that has it is not small."""

    @property
    def replies(self) -> int:
        """How many commands L{request} has."""
        times = len(range(0, len(self.names), _BETWEEN)) + 1 if self._expiring and not self._expiry_times else 0
        return len(self.names) * (1 + self._expiring) + times

    def request(self) -> bytes:
        """What the old server is asked."""
        last = b"%d" % self._last
        values = encode_each(_HEAD, self.names, b"$1\r\n0\r\n$%d\r\n%b\r\n" % (len(last), last))
        return values + self._expiry_request() if self._expiring else values

    def _expiry_request(self) -> bytes:
        if self._expiry_times:
            return encode_each(_EXPIRY, self.names, b"")
        parts = [self.names[at : at + _BETWEEN] for at in range(0, len(self.names), _BETWEEN)]
        return _TIME + b"".join([encode_each(_LEFT, part, b"") + _TIME for part in parts])

    def written(self, replies: list[Any], many: bool) -> Written:
        """The commands that write what was answered.

        @param many: the new server takes MSET.
        """
        count = len(self.names)
        values, expiries = replies[:count], replies[count:]
        if expiries and not self._expiry_times:
            expiries = _expiries(expiries)
        small = self._all_small(values)
        if small and {*expiries} <= {-1}:
            return self._written(_pairs(self.names, values), [], [], many)
        plain: list[bytes] = []
        timed: list[bytes] = []
        left: list[bytes] = []
        for name, value, expiry in zip(self.names, values, expiries or repeat(-1), strict=False):
            if not (small or self._is_small(value)) or not isinstance(expiry, int) or expiry < -1:
                left.append(name)
            elif expiry >= 0:
                timed.append(encode_command(b"SET", name, value, b"PXAT", expiry))
            else:
                plain += (name, value)
        return self._written(plain, timed, left, many)

    def _all_small(self, values: list[Any]) -> bool:
        """L{_is_small} for all of them, in less time."""
        return {*map(type, values)} <= {bytes} and all(values) and max(map(len, values), default=0) <= self._last

    def _is_small(self, value: object) -> bool:
        """Whether it is small and not empty: a key that is gone looks as if it were empty."""
        return isinstance(value, bytes) and 0 < len(value) <= self._last

    def _written(self, plain: list[bytes], timed: list[bytes], left: list[bytes], many: bool) -> Written:
        if plain and many:
            timed.append(encode_command(b"MSET", *plain))
        elif plain:
            timed += [encode_command(b"SET", *pair) for pair in zip(plain[::2], plain[1::2], strict=True)]
        return Written(b"".join(timed), len(timed), len(self.names) - len(left), left)


def _expiries(replies: list[Any]) -> list[Any]:
    """When keys expire: -1 for never, None where that is not known to the millisecond.

    @param replies: times to live in ms, with the server's time before and after every L{_BETWEEN} of them.
    """
    expiries: list[Any] = []
    for at in range(0, len(replies) - 1, _BETWEEN + 1):
        before, *left, after = replies[at : at + _BETWEEN + 2]
        known = isinstance(before, list) and isinstance(after, list) and time_ms(before) == time_ms(after)
        now_ms = time_ms(before) if known else None
        expiries += [-1 if each == -1 else _sum(now_ms, each) for each in left]
    return expiries


def _sum(now_ms: int | None, left_ms: object) -> int | None:
    return now_ms + left_ms if now_ms is not None and isinstance(left_ms, int) and left_ms >= 0 else None


def _pairs(names: list[bytes], values: list[bytes]) -> list[bytes]:
    """Each name, and its value."""
    pairs = names * 2
    pairs[::2], pairs[1::2] = names, values
    return pairs
