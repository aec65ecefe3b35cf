"""What values are made of, one form for all types: an item is a tuple of bytes that says itself where it belongs.

So a value is a set of items, whatever its type, and may be read, written and added up in any order of its pieces.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

Item = tuple[bytes, ...]
PIECE_BYTES = 1 << 20
"""How much of a value is read at once, roughly."""

_MODULUS = 1 << 256
_FIRST, _MOST, _GROWTH = 16, 4096, 8


class PieceSize:
    """How many items of a value to read next, after what those before have taken.

    @ivar count: the number of items.
    """

    def __init__(self) -> None:
        self.count = _FIRST

    def took(self, items: Iterable[Item]) -> None:
        """Learn from what was read."""
        sizes = [sum(map(len, item)) + 16 for item in items]
        if sizes:
            fitting = PIECE_BYTES * len(sizes) // sum(sizes)
            self.count = max(1, min(fitting, _MOST, self.count * _GROWTH))


class Sum:
    """The sum of items, in which their order has no influence: equal sums are equal values.

    @ivar count: how many items it is of.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def add(self, items: Iterable[Item]) -> None:
        """Add items."""
        for item in items:
            framed = b"".join([b"%d:%b" % (len(part), part) for part in item])
            self._sum += int.from_bytes(blake2b(framed, digest_size=32).digest(), "little")
            self.count += 1

    def digest(self) -> bytes:
        """The sum as 32 bytes."""
        return (self._sum % _MODULUS).to_bytes(32, "little")
