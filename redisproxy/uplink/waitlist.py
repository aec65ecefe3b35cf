"""Who waits for an uplink connection, in order of arrival, each with a limit in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from redisproxy.net.errors import UplinkUnavailable

if TYPE_CHECKING:
    from redisproxy.uplink.connection import UplinkConnection

Key = tuple[int, int]
"""Database and RESP version."""


@dataclass(eq=False, slots=True)
class Want:
    """One that waits; who is not `patient` has somewhere else to go."""

    key: Key
    pinned: bool
    patient: bool
    answer: Deferred[UplinkConnection]
    timeout: IDelayedCall


class Waitlist:
    """All that wait. Every want leaves the list exactly once: taken, refused, timed out or cancelled.

    @param limit_s: how long one may wait.
    @param cause: asked for the reason when one has waited too long.
    """

    def __init__(self, clock: IReactorTime, limit_s: float, cause: Callable[[], str]) -> None:
        self._clock = clock
        self._limit_s = limit_s
        self._cause = cause
        self._shared: dict[Key, dict[Want, None]] = {}
        self._pinned: dict[Want, None] = {}
        self._aside: dict[Want, None] = {}

    def __bool__(self) -> bool:
        return bool(self._shared or self._pinned)

    def add(self, key: Key, pinned: bool, patient: bool = True) -> Want:
        """Wait for a connection. C{answer} can be cancelled; it fails with L{UplinkUnavailable} at the limit."""
        answer: Deferred[UplinkConnection] = Deferred(lambda _: self.refuse(want, CancelledError()))
        timeout = self._clock.callLater(self._limit_s, lambda: self._timed_out(want))
        want = Want(key, pinned, patient, answer, timeout)
        group = self._pinned if pinned else self._shared.setdefault(key, {})
        group[want] = None
        return want

    def shared_keys(self) -> list[Key]:
        """The keys for which somebody waits for a shared connection."""
        return list(self._shared)

    def pinned_keys(self, start: int, stop: int) -> list[Key]:
        """The keys of those who wait for a pinned connection, from the `start`th to before the `stop`th."""
        return [want.key for want in list(self._pinned)[start:stop]]

    @property
    def pinned_count(self) -> int:
        """How many wait for a pinned connection."""
        return len(self._pinned)

    def first_pinned(self) -> Want | None:
        """Who has waited longest for a pinned connection; it stays in the list."""
        return next(iter(self._pinned), None)

    def all_shared(self, key: Key) -> list[Want]:
        """Everybody who waits for the shared connection of `key`; they stay in the list."""
        return list(self._shared.get(key, ()))

    def take(self, want: Want) -> bool:
        """Take `want` off the list; False when it has left it already."""
        if not self._remove(want):
            return False
        if want.timeout.active():
            want.timeout.cancel()
        return True

    def _remove(self, want: Want) -> bool:
        groups = (self._aside, self._pinned, self._shared.get(want.key, {}))
        group = next((each for each in groups if want in each), None)
        if group is None:
            return False
        del group[want]
        if not want.pinned and not group:
            del self._shared[want.key]
        return True

    def set_aside(self, want: Want) -> None:
        """Something is under way for `want`, which goes on waiting, with its limit; see L{put_back}."""
        if self._remove(want):
            self._aside[want] = None

    def put_back(self, want: Want) -> None:
        """Nothing came of what was under way for `want`: it is the next one again, unless it has left the list."""
        if want in self._aside:
            del self._aside[want]
            self._pinned = {want: None, **self._pinned}

    def refuse(self, want: Want, error: Exception) -> None:
        """Take `want` off the list and fail it, if it is still there."""
        if self.take(want):
            want.answer.errback(Failure(error))

    def refuse_key(self, key: Key, pinned: bool, error: Exception) -> None:
        """Fail everybody who waits for such a connection."""
        wants = list(self._pinned) if pinned else self.all_shared(key)
        for want in wants:
            if want.key == key:
                self.refuse(want, error)

    def refuse_impatient(self, after: int, error: Exception) -> None:
        """Fail those who do not need their pinned connection, but for the first `after` that wait."""
        for want in [each for each in list(self._pinned)[after:] if not each.patient]:
            self.refuse(want, error)

    def refuse_all(self, error: Exception) -> None:
        """Fail everybody."""
        wants = [*self._aside, *self._pinned, *(want for group in self._shared.values() for want in group)]
        for want in wants:
            self.refuse(want, error)

    def _timed_out(self, want: Want) -> None:
        self.refuse(want, UplinkUnavailable(self._cause()))
