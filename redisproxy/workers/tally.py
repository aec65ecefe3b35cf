"""How many clients a worker has, as the control process counts them: told ones, and those on their way."""

from __future__ import annotations

from collections.abc import Iterable


class Tally:
    """The clients of one kind.

    @ivar given: how many the worker was given in its life.
    """

    def __init__(self) -> None:
        self.given = 0
        self._known = 0
        self._left = 0

    def begin(self, given: int) -> None:
        """The worker has been given so many before it is counted here."""
        self.given = self._known = given

    def told(self, given: int, left: int) -> None:
        """The worker knows of so many that it was given, and has so many left."""
        self._known, self._left = given, left

    @property
    def now(self) -> int:
        """How many there are; those that the worker has not told of yet are taken for connected."""
        return self._left + self.given - self._known


class Present:
    """Which clients a worker has, as it told last."""

    MOST_NAMED = 50

    def __init__(self) -> None:
        self._addresses: dict[int, str] = {}

    def change(self, came: Iterable[tuple[int, str]], gone: Iterable[int]) -> None:
        """The worker tells what has changed."""
        for number in gone:
            self._addresses.pop(number, None)
        self._addresses.update(came)

    def __str__(self) -> str:
        named = [f"{number} from {address}" for number, address in sorted(self._addresses.items())]
        more = f" and {len(named) - self.MOST_NAMED} more" if len(named) > self.MOST_NAMED else ""
        return ", ".join(named[: self.MOST_NAMED]) + more or "none"
