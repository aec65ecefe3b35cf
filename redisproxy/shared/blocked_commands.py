"""Where clients with blocking commands wait during a switch, so that however many they are, its pause is as short.

They wait anyway. They are called back from the server before the gate closes, while all others go on, and let go after
it has opened, a few in each turn of the reactor, so that nobody else waits for them either.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IReactorTime

BATCH = 25


class Waiting(Protocol):
    """A client whose blocking command waits."""

    def let_go(self) -> None:
        """Go on. Called once."""


class BlockedCommands:
    """The clients whose blocking commands wait for the end of a switch.

    @ivar closed: whether blocking commands are to wait here rather than at the server.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.closed = False
        self._clock = clock
        self._waiting: dict[Waiting, None] = {}
        self._scheduled = False

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, client: Waiting) -> bool:
        return client in self._waiting

    def close(self) -> None:
        """From now on blocking commands wait here."""
        self.closed = True

    def hold(self, client: Waiting) -> None:
        """Remember `client` until L{open}."""
        self._waiting[client] = None

    def forget(self, client: Waiting) -> None:
        """`client` has gone away."""
        self._waiting.pop(client, None)

    def open(self) -> None:
        """Let everybody go, in order of arrival, a few in each turn."""
        self.closed = False
        if self._waiting and not self._scheduled:
            self._scheduled = True
            self._clock.callLater(0, self._let_some_go)

    def _let_some_go(self) -> None:
        self._scheduled = False
        for client in list(self._waiting)[:BATCH]:
            if not self.closed and client in self._waiting:
                del self._waiting[client]
                client.let_go()
        if not self.closed:
            self.open()
