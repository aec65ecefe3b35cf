"""What has changed at the old server and is not at the new one yet: names of keys, within bounds. Pure.

The feed adds to it as it is told; who copies takes names out before they read the keys, so that a change which comes
while a key is being copied is a change again.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

MAX_BYTES = 16 * 1024 * 1024
NAME_COST_BYTES = 150
"""Counted for each name beside its own bytes."""


class Changes:
    """Names that wait to be copied.

    @ivar everything: any key may have changed, so that all have to be copied again.
    @ivar flushed: databases were emptied, so that the new server may have keys that the old one has not.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.everything = False
        self.flushed = False
        self._max_bytes = max_bytes
        self._bytes = 0
        self._names: dict[bytes, None] = {}

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: bytes) -> bool:
        return name in self._names

    @property
    def none(self) -> bool:
        """Whether the new server has all that is known to have changed."""
        return not (self._names or self.everything or self.flushed)

    @property
    def fullness(self) -> float:
        """How much of the bound is used; at 1 the names are given up for a pass over all keys."""
        return self._bytes / self._max_bytes

    def add(self, names: Iterable[bytes]) -> None:
        """These keys have changed, in a database that nobody tells. What does not fit makes it L{everything}."""
        for name in names:
            if name not in self._names:
                self._names[name] = None
                self._bytes += len(name) + NAME_COST_BYTES
        if self._bytes > self._max_bytes:
            self.all_changed()

    def all_changed(self) -> None:
        """Any key may have changed."""
        self._names.clear()
        self._bytes = 0
        self.everything = True

    def take(self, most: int) -> list[bytes]:
        """Take out the oldest names, so many at the most. What changes from now on is added anew."""
        taken = list(islice(self._names, most))
        for name in taken:
            del self._names[name]
            self._bytes -= len(name) + NAME_COST_BYTES
        return taken
