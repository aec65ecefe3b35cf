"""Notes of what clients change without the server telling of it, while a copy is being made of its keyspace.

Handlers add what a command has changed when its reply comes, before it goes to the client. Who copies takes the notes
by an order. What does not fit within the bounds becomes "everything".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redisproxy.commands.changed_keys import Change

MAX_KEYS = 100_000
MAX_BYTES = 8_388_608
DatabaseKey = tuple[int, bytes]


@dataclass(frozen=True)
class Noted:
    """What was noted since the last time. Keys come with their databases, each once, in no order.

    @ivar keys: changed, or maybe so. @ivar perhaps: keys that a script has declared, and has changed silently only if
        they are streams or of a module's type.
    @ivar functions: functions were loaded or deleted.
    @ivar everything: any key of any database may have changed, and more than is said here.
    @ivar flushed: databases were emptied, of which CLIENT TRACKING tells, and keyspace notifications do not.
    """

    keys: tuple[DatabaseKey, ...] = ()
    perhaps: tuple[DatabaseKey, ...] = ()
    functions: bool = False
    everything: bool = False
    flushed: bool = False


class Notes:
    """What is noted.

    @ivar on: whether anything is to be noted.
    """

    def __init__(self, max_keys: int = MAX_KEYS, max_bytes: int = MAX_BYTES) -> None:
        self.on = False
        self._max_keys = max_keys
        self._max_bytes = max_bytes
        self._incomplete = False
        self._clear()

    def _clear(self) -> None:
        self._keys: set[DatabaseKey] = set()
        self._perhaps: set[DatabaseKey] = set()
        self._bytes = 0
        self._functions = False
        self._everything = False
        self._flushed = False

    def begin(self) -> None:
        """Note from now on; nothing is noted yet."""
        self.on = True
        self._incomplete = False
        self._clear()

    def end(self) -> None:
        """Note no more, and forget."""
        self.on = False
        self._clear()

    def add(self, changes: Iterable[tuple[int, Change]]) -> None:
        """These have happened, each in its database; nothing if nothing is to be noted."""
        if not self.on:
            return
        for db, change in changes:
            self._everything |= change.everything
            self._functions |= change.functions
            self._flushed |= change.flushed
            self._add(self._keys, db, change.keys)
            self._add(self._perhaps, db, change.perhaps)

    def _add(self, noted: set[DatabaseKey], db: int, keys: tuple[bytes, ...]) -> None:
        for key in keys:
            if not self._everything and (db, key) not in noted:
                noted.add((db, key))
                self._bytes += len(key)
        if len(self._keys) + len(self._perhaps) > self._max_keys or self._bytes > self._max_bytes:
            self.miss()

    def miss(self) -> None:
        """Something was not noted."""
        self._keys.clear()
        self._perhaps.clear()
        self._everything = True

    def miss_from_now_on(self) -> None:
        """Not everything is noted any more, until it begins anew: clients go where nobody notes for this copy."""
        self._incomplete = True

    def take(self) -> Noted:
        """What was noted since the last time."""
        keys, perhaps = tuple(self._keys), tuple(self._perhaps - self._keys)
        noted = Noted(keys, perhaps, self._functions, self._everything or self._incomplete, self._flushed)
        self._clear()
        return noted
