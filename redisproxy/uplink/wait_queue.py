"""Who waits for an uplink connection, in order of arrival, each with a limit in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from redisproxy.forwarding.interfaces import Key
from redisproxy.forwarding.waits import Waits
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.uplink.connection import UplinkConnection


@dataclass(eq=False, slots=True)
class Request:
    """One that waits."""

    key: Key
    pinned: bool
    answer: Deferred[UplinkConnection]
    timeout: IDelayedCall
    since: float


class WaitQueue:
    """All that wait. Every request leaves the queue exactly once: taken, refused, timed out or cancelled.

    @param limit_s: how long one may wait.
    @param cause: asked for the reason when one has waited too long.
    @param waits: where it is noted how long they have waited.
    """

    def __init__(self, clock: IReactorTime, limit_s: float, cause: Callable[[], str], waits: Waits) -> None:
        self._clock = clock
        self._limit_s = limit_s
        self._cause = cause
        self._waits = waits
        self._shared: dict[Key, dict[Request, None]] = {}
        self._pinned: dict[Request, None] = {}
        self._under_way: dict[Request, None] = {}
        self._impatient: dict[Request, None] = {}

    def __bool__(self) -> bool:
        return bool(self._shared or self._pinned)

    def add(self, key: Key, pinned: bool, patient: bool = True) -> Request:
        """Wait for a connection. C{answer} can be cancelled; it fails with L{UplinkUnavailable} at the limit.

        @param patient: who is not has somewhere else to go; see L{refuse_impatient}.
        """
        answer: Deferred[UplinkConnection] = Deferred(lambda _: self.refuse(request, CancelledError()))
        timeout = self._clock.callLater(self._limit_s, lambda: self._timed_out(request))
        request = Request(key, pinned, answer, timeout, self._clock.seconds())
        group = self._pinned if pinned else self._shared.setdefault(key, {})
        group[request] = None
        if not patient:
            self._impatient[request] = None
        return request

    def shared_keys(self) -> list[Key]:
        """The keys for which somebody waits for a shared connection."""
        return list(self._shared)

    def pinned_keys(self, start: int, stop: int) -> list[Key]:
        """The keys of those who wait for a pinned connection, from the `start`th to before the `stop`th."""
        return [request.key for request in islice(self._pinned, start, stop)]

    @property
    def pinned_count(self) -> int:
        """How many wait for a pinned connection."""
        return len(self._pinned)

    def first_pinned(self) -> Request | None:
        """Who has waited longest for a pinned connection; it stays in the queue."""
        return next(iter(self._pinned), None)

    def all_shared(self, key: Key) -> list[Request]:
        """Everybody who waits for the shared connection of `key`; they stay in the queue."""
        return list(self._shared.get(key, ()))

    def take(self, request: Request) -> bool:
        """Take `request` off the queue; False when it has left it already."""
        if not self._remove(request):
            return False
        self._impatient.pop(request, None)
        if request.timeout.active():
            request.timeout.cancel()
        self._waits.add(self._clock.seconds() - request.since)
        return True

    def _remove(self, request: Request) -> bool:
        groups = (self._under_way, self._pinned, self._shared.get(request.key, {}))
        group = next((each for each in groups if request in each), None)
        if group is None:
            return False
        del group[request]
        if not request.pinned and not group:
            del self._shared[request.key]
        return True

    def begin_serving(self, request: Request) -> None:
        """Something is under way for `request`, which goes on waiting, with its limit; see L{put_back}."""
        if self._remove(request):
            self._under_way[request] = None

    def put_back(self, request: Request) -> None:
        """Nothing came of what was under way for `request`: it is the next one again, unless it has left the queue."""
        if request in self._under_way:
            del self._under_way[request]
            self._pinned = {request: None, **self._pinned}

    def refuse(self, request: Request, error: Exception) -> None:
        """Take `request` off the queue and fail it, if it is still there."""
        if self.take(request):
            request.answer.errback(Failure(error))

    def refuse_key(self, key: Key, pinned: bool, error: Exception) -> None:
        """Fail everybody who waits for such a connection."""
        requests = list(self._pinned) if pinned else self.all_shared(key)
        for request in requests:
            if request.key == key:
                self.refuse(request, error)

    def refuse_impatient(self, after: int, error: Exception) -> None:
        """Fail those who do not need their pinned connection, but for the first `after` that wait."""
        if not self._impatient:
            return
        first = set(islice(self._pinned, after))
        for request in [each for each in self._impatient if each in self._pinned and each not in first]:
            self.refuse(request, error)

    def refuse_all(self, error: Exception) -> None:
        """Fail everybody."""
        requests = [*self._under_way, *self._pinned, *(request for group in self._shared.values() for request in group)]
        for request in requests:
            self.refuse(request, error)

    def _timed_out(self, request: Request) -> None:
        self.refuse(request, UplinkUnavailable(self._cause()))
