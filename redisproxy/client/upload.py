"""A command that is too large to hold: each piece goes its way as it arrives. What is known of it meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redisproxy.forwarding.interfaces import Pending


class Upload:
    """The large command of one client, if one is under way.

    @ivar discarding: it was refused, and its rest is thrown away.
    """

    __slots__ = ("_pending", "_timed", "discarding")

    def __init__(self) -> None:
        self._pending: Pending | None = None
        self._timed = True
        self.discarding = False

    @property
    def sending(self) -> bool:
        """Whether its beginning was sent, and more is to come."""
        return self._pending is not None

    @property
    def under_way(self) -> bool:
        """Whether what arrives next is a piece of it."""
        return self._pending is not None or self.discarding

    def begun(self, pending: Pending, timed: bool) -> None:
        """Its beginning was sent. The time limit of its reply, if any, begins when all of it was."""
        self._pending = pending
        self._timed = timed

    def sent(self) -> None:
        """All of it was sent."""
        if self._pending is not None:
            self._pending.timed = self._timed
            self._pending = None

    def discard(self) -> bool:
        """It was refused: throw its rest away. True, because it is dealt with."""
        self.discarding = True
        return True
