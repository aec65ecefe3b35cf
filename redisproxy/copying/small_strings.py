"""Reading many small strings at once, without a script: GETRANGE of each, cut off where it is not small any more.

A value is there as soon as it is found, and nothing but its own command has to be read for it, which costs the old
server the least. What changes between two of these commands is among the changes.
"""

from __future__ import annotations

from itertools import repeat
from typing import Any, NamedTuple

from redisproxy.forwarding.twins import encode_command, encode_each

VALUES_BYTES, VALUE_BYTES = 2 * 1024 * 1024, 1024 * 1024
"""What all values of a batch may have together, and one of them: so much is asked for at the most."""

_HEAD = b"*4\r\n$8\r\nGETRANGE\r\n"
_EXPIRY = b"*2\r\n$11\r\nPEXPIRETIME\r\n"


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

    @param expiring: whether any may have a time to live.
    """

    def __init__(self, names: list[bytes], expiring: bool) -> None:
        self.names = names
        self._expiring = expiring
        self._last = min(VALUE_BYTES, VALUES_BYTES // max(len(names), 1))
        """The last byte that is asked for; a value that has it is not small."""

    @property
    def replies(self) -> int:
        """How many commands L{request} has."""
        return len(self.names) * (1 + self._expiring)

    def request(self) -> bytes:
        """What the old server is asked."""
        last = b"%d" % self._last
        values = encode_each(_HEAD, self.names, b"$1\r\n0\r\n$%d\r\n%b\r\n" % (len(last), last))
        return values + encode_each(_EXPIRY, self.names, b"") if self._expiring else values

    def written(self, replies: list[Any], many: bool) -> Written:
        """The commands that write what was answered.

        @param many: the new server takes MSET.
        """
        count = len(self.names)
        values, expiries = replies[:count], replies[count:]
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


def _pairs(names: list[bytes], values: list[bytes]) -> list[bytes]:
    """Each name, and its value."""
    pairs = names * 2
    pairs[::2], pairs[1::2] = names, values
    return pairs
