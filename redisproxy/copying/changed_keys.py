"""Copies the keys that have changed, and tells how long what is left would take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime

if TYPE_CHECKING:
    from collections.abc import Callable

    from redisproxy.copying.changes import Changes
    from redisproxy.copying.figures import CopyFigures
    from redisproxy.copying.named_keys import NamedKeys

AT_ONCE = 1000


class ChangedKeys:
    """Takes names out of the changes and copies them.

    @param tell: called with the names that were copied.
    @ivar copied: how many names, since the beginning.
    """

    def __init__(
        self,
        changes: Changes,
        named: NamedKeys,
        figures: CopyFigures,
        clock: IReactorTime,
        tell: Callable[[list[bytes]], None],
    ) -> None:
        self.copied = 0
        self._tell = tell
        self._changes = changes
        self._named = named
        self._figures = figures
        self._clock = clock

    async def copy(self, but_slow: bool = False) -> None:
        """Copy those that are there now; what changes meanwhile is left.

        @param but_slow: leave those that have taken long before.
        @raise UplinkError: a server does not answer, or takes no more.
        """
        left = len(self._changes)
        while left > 0 and (names := self._changes.take(min(AT_ONCE, left))):
            left -= len(names)
            await self._copy(names, but_slow)

    async def _copy(self, names: list[bytes], but_slow: bool) -> None:
        slow = {name for _, name in self._named.slow} if but_slow else set()
        self._changes.add(slow.intersection(names))
        names = [name for name in names if name not in slow]
        began = self._clock.seconds()
        slow_before = self._named.slow_s
        await self._named.copy_everywhere(names)
        self.copied += len(names)
        self._tell(names)
        slow_s = self._named.slow_s - slow_before
        self._figures.changed_took(len(names), max(0.0, self._clock.seconds() - began - slow_s))

    @property
    def slow_s(self) -> float:
        """How long the slow ones of those take that have changed."""
        return sum(seconds for (_, name), seconds in self._named.slow.items() if name in self._changes)

    @property
    def seconds(self) -> float:
        """How long all others take that have changed."""
        return len(self._changes) * self._figures.key_s

    def slow_names(self, most: int) -> str:
        """The slowest that have changed, for a message."""
        slow = [(seconds, db, name) for (db, name), seconds in self._named.slow.items() if name in self._changes]
        return ", ".join(
            f"{name.decode('utf-8', 'backslashreplace')} in database {db} ({seconds:.1f} s)"
            for seconds, db, name in sorted(slow, reverse=True)[:most]
        )
