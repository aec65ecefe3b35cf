"""The large sorted sets that a copy keeps the same in place, because they change while it runs."""

from __future__ import annotations

from redisproxy.copying.endpoint import Endpoint
from redisproxy.copying.sorted_set_in_place import Exchanges, SortedSetInPlace

MOST = 32


class InPlace:
    """Remembers of the latest of them what both servers have.

    Whoever writes to one of these keys at the target in another way has to say so.

    @param wires: the connections of `source` and of `target`.
    """

    def __init__(self, source: Endpoint, target: Endpoint, wires: tuple[Exchanges, Exchanges]) -> None:
        self._ends = source, target
        self._wires = wires
        self._sets: dict[tuple[int, bytes], SortedSetInPlace] = {}

    async def adjust(self, db: int, key: bytes) -> bool:
        """As L{SortedSetInPlace.adjust}, in the database that is selected."""
        adjusting = self._sets.pop((db, key), None) or SortedSetInPlace(*self._ends, self._wires, key)
        adjusted = await adjusting.adjust()
        if adjusted:
            self._sets[db, key] = adjusting
            while len(self._sets) > MOST:
                del self._sets[next(iter(self._sets))]
        return adjusted

    def forget(self, db: int, key: bytes) -> None:
        """The target's value of this key is replaced."""
        self._sets.pop((db, key), None)

    def forget_all(self) -> None:
        """Any of them may be replaced at the target."""
        self._sets.clear()
