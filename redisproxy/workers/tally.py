"""How many clients a worker has, as the control process counts them: told ones, and those on their way."""

from __future__ import annotations


class Tally:
    """The clients of one kind.

    @ivar given: how many the worker was given in its life.
    """

    def __init__(self) -> None:
        self.given = 0
        self._known = 0
        self._left = 0

    def told(self, given: int, left: int) -> None:
        """The worker knows of so many that it was given, and has so many left."""
        self._known, self._left = given, left

    @property
    def now(self) -> int:
        """How many there are; those that the worker has not told of yet are taken for connected."""
        return self._left + self.given - self._known
