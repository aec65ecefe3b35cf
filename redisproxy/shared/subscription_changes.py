"""Subscriptions that are just changing: who publishes later waits until the server has confirmed them.

On Redis what arrives first is first. Here a subscriber has a connection of its own, and a server that finds several
readable looks first at the one that is always busy, the publishers' shared one, although its bytes came later.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

LIMIT_S = 0.1
"""A subscriber that reads slowly does not keep publishers waiting for longer, and only once until it has read on."""


class Publisher(Protocol):
    """A client that publishes."""

    def changes_settled(self) -> None:
        """Go on. Called once."""


class SubscriptionChanges:
    """The commands that change subscriptions and are not answered, and the publishers that came after them."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._last = 0
        self._open: dict[int, None] = {}
        self._waiting: dict[Publisher, tuple[int, IDelayedCall]] = {}
        self._free: set[Publisher] = set()

    def begin(self) -> int:
        """A command that changes subscriptions is sent; its number. A client has one at a time."""
        self._last += 1
        self._open[self._last] = None
        return self._last

    def end(self, number: int) -> None:
        """The command of this number is answered, or will never be."""
        self._open.pop(number, None)
        self._settle()

    def hold(self, publisher: Publisher) -> bool:
        """Whether `publisher` has to wait for what came before it; it is called back then, and may go on."""
        if publisher in self._free:
            self._free.discard(publisher)
            return False
        if not self._open:
            return False
        due = self._clock.seconds() + LIMIT_S
        self._waiting[publisher] = self._last, self._clock.callLater(LIMIT_S, self._overdue, publisher, due)
        return True

    def forget(self, publisher: Publisher) -> None:
        """`publisher` has gone away."""
        self._stop_waiting(publisher)
        self._free.discard(publisher)

    def _overdue(self, publisher: Publisher, due: float) -> None:
        """Wait no longer; where this process stood still meanwhile, what has come in that time is read first."""
        if self._clock.seconds() - due > LIMIT_S:
            after, _ = self._waiting[publisher]
            self._waiting[publisher] = after, self._clock.callLater(LIMIT_S, self._give_up, publisher)
        else:
            self._give_up(publisher)

    def _give_up(self, publisher: Publisher) -> None:
        after, _ = self._waiting[publisher]
        for number in [number for number in self._open if number <= after]:
            del self._open[number]
        self._settle()

    def _settle(self) -> None:
        oldest = next(iter(self._open), None)
        for publisher, (after, _) in list(self._waiting.items()):
            if oldest is None or after < oldest:
                self._let_go(publisher)

    def _let_go(self, publisher: Publisher) -> None:
        if self._stop_waiting(publisher):
            self._free.add(publisher)
            publisher.changes_settled()

    def _stop_waiting(self, publisher: Publisher) -> bool:
        """Whether it has waited. Its limit goes with it, or would cut short what it waits for next."""
        if publisher not in self._waiting:
            return False
        _, limit = self._waiting.pop(publisher)
        if limit.active():
            limit.cancel()
        return True
