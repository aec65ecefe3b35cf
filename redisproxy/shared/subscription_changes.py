"""Subscriptions that are just changing: who publishes later waits until the server has confirmed them.

On Redis what arrives first is first. Here a subscriber has a connection of its own, and a server that finds several
readable looks first at the one that is always busy, the publishers' shared one, although its bytes came later.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

LIMIT_S = 0.02
"""A subscriber that reads slowly, or a server that is slow, does not keep publishers waiting for longer."""
GIVEN_UP_S = 0.2
"""Nor does it keep anybody waiting who comes so long after it: a subscriber that does not read is never answered."""


class Publisher(Protocol):
    """A client that publishes."""

    def changes_settled(self) -> None:
        """Go on. Called once."""


class SubscriptionChanges:
    """The commands that change subscriptions and are not answered, and the publishers that came after them."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._last = 0
        self._open: dict[int, float] = {}
        self._waiting: dict[Publisher, tuple[int, IDelayedCall]] = {}
        self._free: set[Publisher] = set()

    def begin(self) -> int:
        """A command that changes subscriptions is sent; its number."""
        self._last += 1
        self._open[self._last] = self._clock.seconds()
        return self._last

    def end(self, number: int) -> None:
        """The command of this number is answered, or will never be."""
        self._open.pop(number, None)
        oldest = next(iter(self._open), None)
        for publisher, (after, _) in list(self._waiting.items()):
            if oldest is None or after < oldest:
                self._let_go(publisher)

    def hold(self, publisher: Publisher) -> bool:
        """Whether `publisher` has to wait for what came before it; it is called back then, and may go on."""
        if publisher in self._free:
            self._free.discard(publisher)
            return False
        if not self._is_waited_for():
            return False
        self._waiting[publisher] = self._last, self._clock.callLater(LIMIT_S, self._let_go, publisher)
        return True

    def _is_waited_for(self) -> bool:
        """Whether a change is open; those that nobody waits for any more are forgotten."""
        given_up = self._clock.seconds() - GIVEN_UP_S
        while self._open and (oldest := next(iter(self._open.items())))[1] <= given_up:
            del self._open[oldest[0]]
        return bool(self._open)

    def forget(self, publisher: Publisher) -> None:
        """`publisher` has gone away."""
        self._stop_waiting(publisher)
        self._free.discard(publisher)

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
