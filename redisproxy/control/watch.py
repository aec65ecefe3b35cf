"""The watch after a switchover: looks at the new server for a while, and goes back by itself if it serves badly."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.net.errors import UplinkError
from redisproxy.servers.connecting import connect_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from redisproxy.config import SwitchoverSettings, UplinkSettings
    from redisproxy.control.answers import Answer
    from redisproxy.net.network import Network
    from redisproxy.servers.redis_server import RedisServer

LOOK_S = 0.1
WINDOW_S = 1.0
"""Errors are counted over this time."""
SLOW_LOOKS = 3
"""So many answers in a row that take too long are no coincidence."""


class Watch:
    """Watches one server at a time.

    @ivar verdict: what came of the last watch, for the pages; empty while it goes on.
    """

    log = Logger(namespace="redisproxy.switchover")

    def __init__(self, network: Network, clock: Any, go_back: Callable[[str], Deferred[Any]]) -> None:
        """
        @param go_back: called with the reason.
        """
        self._network = network
        self._clock = clock
        self._go_back = go_back
        self._watching: Deferred[None] | None = None
        self._seen: Answer = {}
        self.verdict = ""

    def begin(self, uplink: UplinkSettings, settings: SwitchoverSettings) -> None:
        """Watch this server for C{watch_ms}."""
        self.stop("another switchover came")
        self.verdict, self._seen = "", {}
        watching = ensureDeferred(self._look_for_reason(uplink, settings))
        self._watching = watching.addCallback(self._judged).addErrback(self._failed)

    def stop(self, why: str) -> None:
        """Watch no more."""
        if self._watching is not None and not self._watching.called:
            self.verdict = f"ended: {why}"
            self._watching.cancel()

    def describe(self) -> Answer | None:
        """For the pages; None if there never was one."""
        return {**self._seen, "verdict": self.verdict} if self._watching is not None else None

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self.log.failure("the watch after a switchover failed", failure=failure)

    def _judged(self, reason: str) -> None:
        if not reason:
            self.verdict = "all was well"
            return
        self.verdict = f"going back: {reason}"
        self.log.error("switchover: going back by itself: {reason}", reason=reason)
        self._go_back(reason).addCallbacks(self._gone_back, self._not_gone_back)

    def _gone_back(self, answer: Answer) -> None:
        self.verdict = self.verdict.replace("going back", "went back", 1)

    def _not_gone_back(self, failure: Failure) -> None:
        text = failure.getErrorMessage()
        self.verdict = f"could not go back: {text}"
        self.log.error("switchover: could not go back by itself: {text}", text=text)

    async def _look_for_reason(self, uplink: UplinkSettings, settings: SwitchoverSettings) -> str:
        """Why to go back; empty when the time is over and all was well."""
        ends = self._clock.seconds() + settings.watch_ms / 1000
        try:
            server = await connect_to(uplink, f"the new server ({uplink.address})", self._network, self._clock)
        except UplinkError as error:
            return str(error)
        try:
            return await self._looked(server, _Bounds(settings), ends)
        except UplinkError as error:
            return str(error)
        finally:
            server.close()

    async def _looked(self, server: RedisServer, bounds: _Bounds, ends: float) -> str:
        while self._clock.seconds() < ends:
            asked = self._clock.seconds()
            errors = (await server.replica()).number("total_error_replies")
            now = self._clock.seconds()
            reason = bounds.exceeded(now, errors, (now - asked) * 1000)
            self._seen = {"left_s": round(max(0.0, ends - now), 1), **bounds.seen}
            if reason:
                return reason
            await deferLater(self._clock, LOOK_S)
        return ""


class _Bounds:
    """What is too much.

    @ivar seen: the last figures.
    """

    def __init__(self, settings: SwitchoverSettings) -> None:
        self._errors = settings.watch_errors
        self._latency_ms = settings.watch_latency_ms
        self._counts: deque[tuple[float, int]] = deque(maxlen=1000)
        self._slow = 0
        self.seen: Answer = {}

    def exceeded(self, now: float, errors: int, latency_ms: float) -> str:
        """Which bound is exceeded, in words; empty if none is.

        @param errors: the error replies of the server since it was started.
        """
        self._counts.append((now, errors))
        while now - self._counts[0][0] > WINDOW_S:
            self._counts.popleft()
        grown = errors - self._counts[0][1]
        self.seen = {"errors_per_s": grown, "latency_ms": round(latency_ms, 1)}
        if self._errors and grown > self._errors:
            return f"{grown} error replies within a second, more than switchover.watch_errors ({self._errors})"
        self._slow = self._slow + 1 if self._latency_ms and latency_ms > self._latency_ms else 0
        if self._slow >= SLOW_LOOKS:
            return (
                f"answers took longer than switchover.watch_latency_ms ({self._latency_ms} ms) {SLOW_LOOKS} times in a"
                f" row, the last one {latency_ms:.0f} ms"
            )
        return ""
